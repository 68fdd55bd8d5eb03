"""subject_daily: one row per subject and day on which it did something; every column sums.

Maps have their keys in order, and a day without any has an empty map. A day with orders but no lines (all
were dropped as no merchandise) still is a row. Who did not agree as of a day has none of that day.

Reads   orders, order_lines and feedback, of the interval; consents as of each day
Writes  subject_daily, partition activity_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import Consent
from jobs.consent import with_consent
from jobs.shell import Days, Job, Until

DAY = ("subject", "subject_bucket", "activity_date")
COUNTS = {"orders": "int", "lines": "int", "sales_cents": "long", "decisions": "int"}


def build(
    orders: DataFrame, order_lines: DataFrame, feedback: DataFrame, consents: DataFrame, *, consent: Consent
) -> DataFrame:
    """Sum up each subject's day: first by category and by page and widget, then as a whole."""
    facts = (
        _orders(orders)
        .unionByName(_lines(order_lines), allowMissingColumns=True)
        .unionByName(_positions(feedback), allowMissingColumns=True)
    )
    # One shuffle serves both groupings.
    parts = (
        facts.repartition("subject")
        .groupBy(*DAY, "category", "shown")
        .agg(
            *(F.sum(name).alias(name) for name in COUNTS),
            F.count("reward").alias("reward_count"),
            F.sum("reward").alias("reward_sum"),
        )
    )
    whole = parts.groupBy(*DAY).agg(
        *(F.coalesce(F.sum(name), F.lit(0)).cast(kind).alias(name) for name, kind in COUNTS.items()),
        _map("category", F.lit(1)).alias("category_visits"),
        _map("shown", F.col("reward_count").cast("int")).alias("reward_counts"),
        _map("shown", F.col("reward_sum")).alias("reward_sums"),
    )
    asked = with_consent(whole, consents, consent, subject="subject", day="activity_date")
    return asked.where("is_consented").drop("is_consented")


def _orders(orders: DataFrame) -> DataFrame:
    return orders.select(
        "subject", "subject_bucket", F.col("order_date").alias("activity_date"), F.lit(1).alias("orders")
    )


def _lines(order_lines: DataFrame) -> DataFrame:
    day = F.col("order_date").alias("activity_date")
    return order_lines.select(
        "subject", "subject_bucket", day, "category", F.lit(1).alias("lines"), "sales_cents"
    )


def _positions(feedback: DataFrame) -> DataFrame:
    is_first = F.col("position") == F.lit(0)
    return feedback.select(
        "subject",
        "subject_bucket",
        F.col("decision_date").alias("activity_date"),
        is_first.cast("int").alias("decisions"),
        F.when(F.col("is_seen"), F.concat_ws("/", "page", "widget")).alias("shown"),
        F.when(F.col("is_seen"), F.col("reward")).alias("reward"),
    )


def _map(key: str, value: Column) -> Column:
    entries = F.collect_list(F.when(F.col(key).isNotNull(), F.struct(F.col(key), value)))
    return F.map_from_entries(F.sort_array(entries))


JOB = Job(
    build,
    reads=(Days("orders"), Days("order_lines"), Days("feedback"), Until("consents")),
    writes="subject_daily",
)

if __name__ == "__main__":
    JOB.main()
