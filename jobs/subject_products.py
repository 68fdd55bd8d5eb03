"""subject_products: one row per subject, product and quarterly checkpoint: on how many days it was bought.

As subject_totals, for products: a checkpoint is the one before it plus the days since, is made `late_days`
after its quarter ended, and stands for all days up to it, so that nobody reads a whole history each night.
A subject has many more products than categories: checkpoints by month would be most of what is stored.

Reads   order_lines since the checkpoint before, and that checkpoint
Writes  subject_products, partition settled_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.checkpoints import is_settled, newest, that_count
from jobs.shell import Job, State, Until

OF = ("subject", "subject_bucket", "product_id")


def build(
    order_lines: DataFrame, subject_products: DataFrame, *, days: Sequence[date], late_days: int
) -> DataFrame:
    """Make the checkpoints that settle on these days; on most days there is none."""
    settled = [
        day for day in days if is_settled(day, late_days) and (day - timedelta(late_days)).month % 3 == 0
    ]
    if not settled:
        return subject_products.limit(0)
    past = history(order_lines, subject_products, before=settled[0] - timedelta(late_days))
    spans = F.array(*[F.lit(day) for day in settled])
    counted = F.filter(spans, lambda day: F.date_sub(day, late_days) >= F.col("day"))
    return (
        past.withColumn("settled_date", F.explode(counted))
        .groupBy(*OF, "settled_date")
        .agg(F.sum("visits").cast("int").alias("visits"), F.max("latest_date").alias("latest_date"))
        .withColumn("until_date", F.date_sub("settled_date", late_days))
    )


def late(
    order_lines: DataFrame,  # noqa: ARG001 - bound by name
    subject_products: DataFrame,
    *,
    days: Sequence[date],
) -> DataFrame:
    """Name the checkpoints that counted the earliest of the days."""
    return that_count(subject_products, days[0])


def history(order_lines: DataFrame, subject_products: DataFrame, *, before: date) -> DataFrame:
    """What subjects bought in all: their newest checkpoint that ends before a day, and every day since it.

    Grain: a subject, product and `day`, or a checkpoint, which stands on the last day that it counts; with
    `visits` and `latest_date`. Without a checkpoint it is the whole of order_lines.
    """
    found = newest(subject_products, before=before)
    since = order_lines if found is None else order_lines.where(F.col("order_date") > F.lit(found.until))
    daily = since.select(*OF, F.col("order_date").alias("day")).repartition("subject").distinct()
    visits = daily.withColumns({"visits": F.lit(1), "latest_date": F.col("day")})
    if found is None:
        return visits
    checkpoint = found.rows.select(*OF, F.col("until_date").alias("day"), "visits", "latest_date")
    return visits.unionByName(checkpoint.repartition("subject"))


JOB = Job(
    build, reads=(Until("order_lines"), State("subject_products")), writes="subject_products", late=late
)

if __name__ == "__main__":
    JOB.main()
