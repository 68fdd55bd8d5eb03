"""Export so many layouts, and watch the memory that it takes, mapped files aside."""

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from jobs.store import content
from jobs.store.content import Inputs
from jobs.store.export import export
from tests.store import given as nights

ROWS = 10_000


def many(count: int) -> Inputs:
    """Return the inputs of a night of so many subjects, made a batch at a time."""
    pattern = nights.layout("k1-x", "home", positions=12)
    few = nights.inputs([*nights.layouts([], pages=("home",)), pattern])

    def layouts(columns: Sequence[str]) -> pa.RecordBatchReader:
        rows = few.layouts(columns).read_all().combine_chunks()
        alike = rows.slice(len(rows) - 1).take(pa.array([0] * ROWS))

        def batches() -> Iterator[pa.RecordBatch]:
            yield from rows.slice(0, len(rows) - 1).to_batches()
            for start in range(0, count, ROWS):
                batch = alike
                if "subject" in columns:
                    ids = pa.array([f"k1-{nights.hex_id(number)}" for number in range(start, start + ROWS)])
                    batch = batch.set_column(
                        batch.schema.get_field_index("subject"), rows.schema.field("subject"), ids
                    )
                yield from batch.combine_chunks().to_batches()

        return pa.RecordBatchReader.from_batches(rows.schema, batches())

    return Inputs(layouts, few.strongest, few.own_lists, few.shared_lists, few.widgets, few.products)


def of_export(folder: str, count: int) -> tuple[int, int]:
    """Export so many layouts; return how many there are and the most memory taken, in MiB."""
    content.SORT_MEMORY = "128MB"
    over = threading.Event()
    peak = [0]

    def watch() -> None:
        while not over.wait(0.02):
            found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
            peak.append(int(found[1]) if found else 0)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    done = export(folder, nights.night(), many(count))
    over.set()
    watcher.join()
    return done.live.layouts, max(peak) // 1024
