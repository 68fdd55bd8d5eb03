"""Processes for the tests of exports: one that dies on the way, and readers that go on reading."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing.queues import Queue
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

import pyarrow as pa

from jobs.store import Store
from jobs.store.content import Inputs
from jobs.store.export import export
from tests.store import given as nights

SUBJECTS = 150


def first() -> Inputs:
    """Return the first night's inputs: everyone in epoch 0."""
    return nights.inputs(nights.layouts(range(SUBJECTS)), nights.lists(range(SUBJECTS)))


def second() -> Inputs:
    """Return the second night's inputs: everyone in epoch 1, ten gone, ten new."""
    subjects = range(10, SUBJECTS + 10)
    return nights.inputs(
        nights.layouts(subjects, dict.fromkeys(subjects, 1)), nights.lists(subjects), batch=50
    )


def main(folder: str, where: str, batch: int = 0, ready: Event | None = None) -> None:
    """Export; kill this process after the named step, or while that batch is read."""

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
    if ready is not None:
        ready.set()
    export(folder, nights.night(nights.DAY + timedelta(1), "run-2"), given, step=die_at)


def keep_reading(folder: str, over: Event, reads: Synchronized) -> None:
    """Read layouts until it is over; each must be of the generation that it says it is of."""
    store = Store.open(folder, clock=lambda: nights.NOON)
    while not over.is_set():
        number = 10 + reads.value % (SUBJECTS - 10)
        found = store.get(nights.subject(number), "home")
        epoch = found.generation - 1
        assert found.draw_id == nights.layout(nights.subject(number), "home", epoch)["draw_id"], found
        reads.value += 1


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


def follow(folder: str, over: Event, seen: "Queue[list[int]]", count: int) -> None:
    """Read one page after another until it is over, and once more; tell the epochs that were seen."""
    store, epochs = Store.open(folder, clock="generation"), list[int]()
    while not over.is_set():
        epochs.append(epoch_shown(store, len(epochs) % count))
    seen.put([*epochs, epoch_shown(store, 0)])
