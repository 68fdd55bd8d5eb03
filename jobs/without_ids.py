"""Hits without ids: which of them are copies of an event that another source saw with its ids.

GA4's consent mode sends hits of who refused without `user_id` and `user_pseudo_id`. The span of the same
event may be there, and both would be counted. They are matched by what names one event and nobody: the event
id that the front end gave both, or the order placed. Product, page and time would match whoever looked at
the same page at that hour, so a hit that has neither is counted apart.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.sources.hits import NOBODY

ORDER = "order_placed"


def matched(delivered: DataFrame, copy_minutes: int) -> DataFrame:
    """Give a hit without ids the event id and device of the one event it is a copy of.

    That has the same name and the same shared id, or order, within `copy_minutes`; of several none is meant.
    """
    # A shared id is followed by the end of a pseudonym, or by the word for nobody: `hits.event_id`.
    shared = F.regexp_replace("event_id", "-[^-]*$", "")
    is_order = (F.col("event_name") == ORDER) & F.col("order_id").isNotNull()
    near = copy_minutes * 60 * 10**6
    beside = (
        Window.partitionBy("event_name", F.when(is_order, F.col("order_id")).otherwise(shared))
        .orderBy(F.unix_micros("event_at"))
        .rangeBetween(-near, near)
    )
    is_named = F.col("_reason").isNull() & (F.col("subject") != NOBODY)
    named = F.when(is_named, F.struct("event_id", "device"))
    is_copy = (F.col("subject") == NOBODY) & (F.col("_first") == F.col("_last"))
    with_both = delivered.withColumns(
        {"_first": F.min(named).over(beside), "_last": F.max(named).over(beside)}
    )
    given = {
        name: F.when(is_copy, F.col("_first")[name]).otherwise(F.col(name)) for name in ("event_id", "device")
    }
    return with_both.withColumns(given).drop("_first", "_last")
