"""Change tables: what arrived about an entity on a day, and which change holds on which day."""

from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

FOREVER = date(9999, 12, 31)
TAIL = 16  # hexadecimal digits
NOTES = ("_reason", "_file", "_offset", "_raw", "_skipped")
REPLACED = "a later row of the same day replaces it"


def business_day(instant: Column, zone: str) -> Column:
    """The business day of an instant; sessions run in UTC."""
    return F.to_date(F.from_utc_timestamp(instant, zone))


def bucket(subject: Column, buckets: int) -> Column:
    """The bucket of a subject: the last 16 bits of its pseudonym, modulo the number of buckets."""
    return (F.conv(F.right(subject, F.lit(4)), 16, 10).cast("int") % buckets).cast("int")


def tail(pseudonym: str) -> Column:
    """The end of a pseudonym, by which an id may name its owner: 64 bits, as in `hits.event_id`."""
    return F.right(F.col(pseudonym), F.lit(TAIL))


def tails(pseudonyms: pa.Array) -> pa.Array:
    """The ends of pseudonyms in Arrow."""
    return pc.utf8_slice_codeunits(pseudonyms, -TAIL)


def newest(rows: DataFrame, *keys: str, arrived: str | None = None, said: str | None = None) -> DataFrame:
    """Keep one row per key: the last of the last file, or of the last day that it `arrived` on.

    Where rows tell when something was `said`, the latest of a day comes first, wherever it stands.

    What arrived on an earlier day was corrected and is dropped; so are equal rows. Other ones are told to be
    replaced. Rows that have a reason already, or no key, are left alone. `keys` must hold the day of arrival
    or the row's own day, so that a day's rows do not depend on which days are run together.
    """
    alone = F.col("_reason").isNotNull()
    for key in keys:
        alone = alone | F.col(key).isNull()
    on = F.lit(None) if arrived is None else F.col(arrived)
    content = F.struct(*[name for name in rows.columns if name not in (*NOTES, arrived)])
    same_key = Window.partitionBy(*keys, F.when(alone, F.struct("_file", "_offset")))
    at = F.lit(None) if said is None else F.col(said)
    latest = same_key.orderBy(F.desc(on), F.desc(at), F.desc("_file"), F.desc("_offset"))
    ranked = rows.withColumns(
        {
            "_rank": F.row_number().over(latest),
            "_newest": F.first(content).over(latest),
            "_newest_on": F.first(on).over(latest),
        }
    )
    is_newest = F.col("_rank") == 1
    is_replaced = ~F.col("_newest").eqNullSafe(content) & F.col("_newest_on").eqNullSafe(on)
    kept = ranked.where(is_newest | is_replaced)
    return kept.withColumn("_reason", F.when(is_newest, F.col("_reason")).otherwise(F.lit(REPLACED))).drop(
        "_rank", "_newest", "_newest_on"
    )


def corrected(rows: DataFrame, key: str, day: str, late_days: int) -> DataFrame:
    """Of the deliveries of a key that came within `late_days` of a row's `day`, keep the newest.

    A row is dropped when a newer one of its key, of whatever day, arrived in time; told to be replaced when
    both arrived on one day and differ. Rows that have a reason already, or no key, are left alone.
    """
    alone = F.col("_reason").isNotNull() | F.col(key).isNull()
    content = F.struct(*[name for name in rows.columns if name not in (*NOTES, "arrival_date")])
    same_key = Window.partitionBy(key, F.when(alone, F.struct("_file", "_offset")))
    following = F.lead(F.struct("arrival_date", content.alias("content"))).over(
        same_key.orderBy("arrival_date", "_file", "_offset")
    )
    next_on = F.col("_next")["arrival_date"]
    in_time = F.coalesce(next_on <= F.date_add(day, late_days), F.lit(False))
    is_replaced = (next_on == F.col("arrival_date")) & (F.col("_next")["content"] != content)
    ranked = rows.withColumn("_next", following)
    told = F.when(in_time, F.lit(REPLACED)).otherwise(F.col("_reason"))
    return ranked.where(~in_time | is_replaced).withColumn("_reason", told).drop("_next")


def untimely(what: str, day: str, late_days: int) -> Column:
    """Why the day of a thing cannot be, given the day it arrived."""
    is_future = F.col(day) > F.col("arrival_date")
    is_too_late = F.col("arrival_date") > F.date_add(day, late_days)
    return F.when(is_future, F.lit(f"{what} cannot come from the future")).when(
        is_too_late, F.lit(f"{what} must not come later than late_days")
    )


def edge(days: Sequence[date], late_days: int) -> list[date]:
    """Those of the days on which something may arrive for a day that is none of them."""
    asked = set(days)
    return [day for day in days if not asked.issuperset(day - timedelta(n) for n in range(1, late_days + 1))]


def valid(changes: DataFrame, key: str) -> DataFrame:
    """Add `valid_from` and `valid_until` (exclusive): the days on which a change is its key's newest."""
    later = F.lead("changed_date").over(Window.partitionBy(key).orderBy("changed_date"))
    return changes.withColumns(
        {"valid_from": F.col("changed_date"), "valid_until": F.coalesce(later, F.lit(FOREVER))}
    )
