"""A night's rows under two pseudonyms each, while the key of pseudonyms changes; for the export only."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.store.content import ROWS, Inputs, bounded
from jobs.tables import located


def under_both(inputs: Inputs, names: str) -> Inputs:
    """Add, to each row of a subject whose pseudonym changed, the same row under the one before.

    names : folder of Parquet with columns before, now.
    """

    def layouts(columns: Sequence[str]) -> pa.RecordBatchReader:
        rows = inputs.layouts(columns)
        return _doubled(rows, names) if "subject" in columns else rows

    return replace(
        inputs,
        layouts=layouts,
        strongest=_doubled(inputs.strongest, names),
        own_lists=_doubled(inputs.own_lists, names),
        who=_doubled(inputs.who, names) if inputs.who else None,
    )


def _doubled(rows: pa.RecordBatchReader, names: str) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(rows.schema, _both(rows, names))


def _both(rows: pa.RecordBatchReader, names: str) -> Iterator[pa.RecordBatch]:
    """Join in bounded memory; what a subject's list is called by does not reach the store."""
    filesystem, base = located(names)
    pairs = ds.dataset(base, format="parquet", filesystem=filesystem)
    with TemporaryDirectory(prefix="vitrine-") as scratch, bounded(scratch) as connection:
        known = connection.from_arrow(pairs)
        joined = connection.from_arrow(rows).join(known, "subject = now", how="left")
        for batch in joined.to_arrow_reader(ROWS):
            yield batch.select(rows.schema.names).cast(rows.schema)
            moved = batch.filter(pc.is_valid(batch["before"]))
            if len(moved):
                at = rows.schema.get_field_index("subject")
                renamed = moved.select(rows.schema.names).set_column(at, "subject", moved["before"])
                yield renamed.cast(rows.schema)
