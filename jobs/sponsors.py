"""Sponsors: who lies on a circle of sponsors as of a day, as when two people sponsor each other.

A circle is no single row's fault, so `users` keeps its rows. But a team sale or a recruit within one would be
a sale to oneself: `outcomes` turns it away.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ml.circles import on_circle

COLUMNS = "day date, on_circle string"
SCHEMA = pa.schema([("day", pa.date32()), ("on_circle", pa.string())])


def circles(sponsored: DataFrame, days: Sequence[date]) -> DataFrame:
    """List who lies on a circle: grain one day and person.

    sponsored: subject, sponsor, valid_from, valid_until. Only who both has a sponsor and sponsors somebody
    can lie on one; these few come to one task, which holds about 100 bytes for each.
    """
    edges = sponsored.where(
        F.col("sponsor").isNotNull()
        & (F.col("valid_from") <= F.lit(max(days)))
        & (F.col("valid_until") > F.lit(min(days)))
    ).select("subject", "sponsor", "valid_from", "valid_until")
    sponsors = edges.select(F.col("sponsor").alias("subject")).distinct()
    inner = edges.join(sponsors, on="subject", how="left_semi")
    return inner.coalesce(1).mapInArrow(_finder(sorted(days)), COLUMNS)


def _finder(days: Sequence[date]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if not (rows := list(batches)):
            return
        edges = pa.Table.from_batches(rows)
        for day in days:
            at = pa.scalar(day, pa.date32())
            holds = pc.and_(pc.less_equal(edges["valid_from"], at), pc.greater(edges["valid_until"], at))
            found = on_circle_of(edges.filter(holds))
            yield pa.RecordBatch.from_arrays([pa.repeat(at, len(found)), found], schema=SCHEMA)

    return find


def on_circle_of(edges: pa.Table) -> pa.Array:
    """Return who lies on a circle of these edges (subject, sponsor), each subject's only one."""
    subjects = edges["subject"].combine_chunks()
    place = pc.index_in(edges["sponsor"], value_set=subjects)
    parent = np.asarray(pc.fill_null(place, -1), dtype=np.int64)
    return subjects.filter(pa.array(on_circle(parent)))
