"""What tests of exports run in processes of their own: one that dies on the way, and readers that read on."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.store import Store
from jobs.store.content import Inputs
from jobs.store.export import export
from tests.store import given as nights
from tests.store import peak as peaks

SUBJECTS = 150
Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def first() -> Inputs:
    """Return the first night's inputs: everyone in epoch 0."""
    return nights.inputs(*rows_of_night(0))


def second() -> Inputs:
    """Return the second night's inputs: everyone in epoch 1, ten gone, ten new."""
    return nights.inputs(*rows_of_night(1), batch=50)


@cache
def rows_of_night(epoch: int) -> Rows:
    """Return layouts and lists of a night."""
    subjects = range(10 * epoch, SUBJECTS + 10 * epoch)
    return nights.layouts(subjects, dict.fromkeys(subjects, epoch)), nights.lists(subjects)


def write(folder: str, where: str, batch: int = 0) -> None:
    """Export the second night; kill this process after the named step, or while that batch is read."""

    def die_at(step: str) -> None:
        if step == where:
            os.kill(os.getpid(), signal.SIGKILL)

    inputs = second()

    def dying(columns: list[str]) -> pa.RecordBatchReader:
        reader = inputs.layouts(columns)

        def batches() -> Iterator[pa.RecordBatch]:
            for number, rows in enumerate(reader):
                if where == "reading" and len(columns) > 3 and number == batch:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield rows

        return pa.RecordBatchReader.from_batches(reader.schema, batches())

    given = Inputs(
        dying, inputs.strongest, inputs.own_lists, inputs.shared_lists, inputs.widgets, inputs.products
    )
    Path(folder, "exporting").touch()
    export(folder, nights.night(nights.DAY + timedelta(1), "run-2"), given, step=die_at)


def keep_reading(folder: str) -> int:
    """Read layouts until it is over; each must be of the generation that it says it is of. Count reads."""
    over, reads = _terminated(), 0
    store = Store.open(folder, clock=lambda: nights.NOON)
    while not over():
        number = 10 + reads % (SUBJECTS - 10)
        found = store.get(nights.subject(number), "home")
        epoch = found.generation - 1
        assert found.draw_id == nights.layout(nights.subject(number), "home", epoch)["draw_id"], found
        reads += 1
        if reads == 1:
            Path(folder, "reading").touch()
    return reads


def rows_of(epoch: int, count: int) -> Inputs:
    """Return the inputs of a night on which everyone is in that epoch, and so is each list."""
    subjects = range(count)
    lists = [{**row, "products": [str(epoch)]} for row in nights.lists()]
    return nights.inputs(nights.layouts(subjects, dict.fromkeys(subjects, epoch), pages=("home",)), lists)


def epoch_shown(store: Store, number: int) -> int:
    """Read a subject's page; layout and products must be of the one epoch that is returned."""
    page = store.page(nights.subject(number), "home")
    epoch = page.layout.generation - 1
    assert page.layout.draw_id == nights.layout(nights.subject(number), "home", epoch)["draw_id"], page
    assert {tile.product_id for slot in page.slots for tile in slot.tiles} == {str(epoch)}, page
    return epoch


def follow(folder: str, count: int, over: Callable[[], bool] | None = None) -> list[int]:
    """Read one page after another until it is over, and once more; return the epochs that were seen."""
    over = over or _terminated()
    store, epochs = Store.open(folder, clock="generation"), list[int]()
    while not over():
        epochs.append(epoch_shown(store, len(epochs) % count))
    return [*epochs, epoch_shown(store, 0)]


def peak(folder: str, count: int) -> tuple[int, int]:
    """Export so many layouts; return how many there were and the most memory taken, in MiB."""
    return peaks.of_export(folder, count)


def _terminated() -> Callable[[], bool]:
    """Return what tells whether this process was asked to end."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    return lambda: bool(told)
