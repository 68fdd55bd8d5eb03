"""Change tables: what arrived about an entity on a day, and which change holds on which day."""

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

FOREVER = date(9999, 12, 31)
NOTES = ("_reason", "_file", "_offset", "_raw")
REPLACED = "a later row of the same day replaces it"


def business_day(instant: Column, zone: str) -> Column:
    """The business day of an instant; sessions run in UTC."""
    return F.to_date(F.from_utc_timestamp(instant, zone))


def bucket(subject: Column, buckets: int) -> Column:
    """The bucket of a subject: the last 16 bits of its pseudonym, modulo the number of buckets."""
    return (F.conv(F.right(subject, F.lit(4)), 16, 10).cast("int") % buckets).cast("int")


def newest(rows: DataFrame, *keys: str) -> DataFrame:
    """Keep one row per key: the last of the last file. Equal ones are dropped, others told to be replaced.

    Rows that have a reason already, or no key, are left alone. `keys` must hold the day of arrival, so that a
    day's rows do not depend on which days are run together.
    """
    alone = F.col("_reason").isNotNull()
    for key in keys:
        alone = alone | F.col(key).isNull()
    content = F.struct(*[name for name in rows.columns if name not in NOTES])
    same_key = Window.partitionBy(*keys, F.when(alone, F.struct("_file", "_offset")))
    latest = same_key.orderBy(F.desc("_file"), F.desc("_offset"))
    ranked = rows.withColumns(
        {"_rank": F.row_number().over(latest), "_newest": F.first(content).over(latest)}
    )
    is_newest = F.col("_rank") == 1
    kept = ranked.where(is_newest | ~F.col("_newest").eqNullSafe(content))
    return kept.withColumn("_reason", F.when(is_newest, F.col("_reason")).otherwise(F.lit(REPLACED))).drop(
        "_rank", "_newest"
    )


def valid(changes: DataFrame, key: str) -> DataFrame:
    """Add `valid_from` and `valid_until` (exclusive): the days on which a change is its key's newest."""
    later = F.lead("changed_date").over(Window.partitionBy(key).orderBy("changed_date"))
    return changes.withColumns(
        {"valid_from": F.col("changed_date"), "valid_until": F.coalesce(later, F.lit(FOREVER))}
    )
