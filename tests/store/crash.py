"""What tests of exports run in processes of their own: one that dies on the way, and readers that read on."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

import jobs.store.redis_export  # noqa: F401 - so that forked processes have it
from jobs.store import Store
from jobs.store.content import Inputs
from jobs.store.export import export
from jobs.store.terms import Terms
from tests.store import given as nights
from tests.store import peak as peaks

LOCK_SECONDS = 0.5  # how long a writer that is killed keeps others out
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


def write(url: str, where: str, batch: int = 0, work: str = "") -> None:
    """Export the second night; kill this process after the named step, or while that batch is read.

    A store that is remote needs a folder for its work.
    """

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
    folder = work or url
    Path(folder).mkdir(exist_ok=True)
    Path(folder, "exporting").touch()
    terms = Terms(Path(work), renewal_nights=3, grace_seconds=0, lock_seconds=LOCK_SECONDS) if work else None
    export(url, nights.night(nights.DAY + timedelta(1), "run-2"), given, terms=terms, step=die_at)


def keep_reading(url: str, folder: str = "") -> int:
    """Read layouts until it is over; each must be of the generation that it says it is of. Count reads."""
    over, reads = _terminated(), 0
    store = Store.open(url, clock=lambda: nights.NOON)
    while not over():
        number = 10 + reads % (SUBJECTS - 10)
        found = store.get(nights.subject(number), "home")
        epoch = found.generation - 1
        assert found.draw_id == nights.layout(nights.subject(number), "home", epoch)["draw_id"], found
        reads += 1
        if reads == 1:
            Path(folder or url, "reading").touch()
    return reads


def epochs_of(store: Store) -> set[int]:
    """Read everybody who is in both nights; return the epochs seen, each of its own generation."""
    seen = set()
    for number in range(10, SUBJECTS):
        found = store.get(nights.subject(number), "home")
        epoch = found.generation - 1
        assert found.draw_id == nights.layout(nights.subject(number), "home", epoch)["draw_id"], found
        seen.add(epoch)
    return seen


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
