"""Stage: rows that a job built go, accepted and rejected ones in one pass, to Parquet files beside its table.

What comes as pieces goes by `jobs.staged_pieces`, judged by the same rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.contracts import Contract
from jobs.spark import shuffle_tasks

# What a build may say about a row that it rejects: why, from which file and line, and the redacted row. A row
# with `_skipped` stands for so many things that are rightly left out: they are told, and not quarantined.
REJECTION = {
    "_reason": "string",
    "_file": "string",
    "_offset": "long",
    "_raw": "string",
    "_skipped": "long",
    "_day": "date",
}
BUCKET, REJECTED = "subject_bucket", "rejected"


@dataclass(frozen=True)
class Staged:
    """Files that a run wrote beside its table."""

    folder: str
    path: str

    @property
    def good(self) -> str:
        """Folder of the accepted rows."""
        return f"{self.path}/rejected=false"

    @property
    def bad(self) -> str:
        """Folder of the rejected rows."""
        return f"{self.path}/rejected=true"


def accept(built: DataFrame, about: Contract, days: Sequence[date]) -> DataFrame:
    """Cast to the contract, give every row that breaks a row rule its reason, drop rows of other days."""
    typed = [column_of(built, name, column.type).alias(name) for name, column in about.columns.items()]
    notes = [column_of(built, name, kind).alias(name) for name, kind in REJECTION.items()]
    frame = built.select(*typed, *notes)
    broken = [
        F.when(~F.coalesce(F.expr(rule), F.lit(False)), F.lit(name)) for name, rule in about.rows.items()
    ]
    frame = frame.withColumn("_reason", F.coalesce("_reason", *broken)).withColumn(
        REJECTED, F.col("_reason").isNotNull()
    )
    if about.day is None:
        return frame
    arrival = [name for name in ("arrival_date", about.day) if name in about.columns]
    own = F.when(F.col(REJECTED), F.coalesce("_day", *arrival, F.lit(days[0]))).otherwise(F.col(about.day))
    return frame.withColumn("_day", own).where(_among(F.col("_day"), days))


def column_of(frame: DataFrame, name: str, kind: str) -> Column:
    """A column of a type, null where the frame has none of that name."""
    return F.col(f"`{name}`").cast(kind) if name in frame.columns else F.lit(None).cast(kind)


def write(frame: DataFrame, about: Contract, staged: Staged, *, is_bucketed: bool = False) -> None:
    """Write the rows in the contract's order, a file per partition."""
    by = about.partition_by
    gathered = frame if is_bucketed else _by_partition(frame, about) if by else frame.coalesce(1)
    gathered.sortWithinPartitions(REJECTED, *by, *about.order).write.mode("overwrite").partitionBy(
        REJECTED, *by
    ).parquet(staged.path)


def _by_partition(frame: DataFrame, about: Contract) -> DataFrame:
    """Bring the rows of a partition into one task.

    Buckets are dealt out by their number: by a hash, one task would get both of a day's two every other day.
    """
    if BUCKET not in about.partition_by:
        return frame.repartition(*about.partition_by)
    day = F.unix_date(about.day) if about.day else F.lit(0)
    return frame.repartitionById(shuffle_tasks(frame.sparkSession), F.col(BUCKET) + day)


def _among(column: Column, days: Sequence[date]) -> Column:
    if days[-1].toordinal() - days[0].toordinal() + 1 == len(days):
        return column.between(F.lit(days[0]), F.lit(days[-1]))
    return column.isin(list(days))
