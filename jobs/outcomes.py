"""outcomes: one row per thing a subject did that may follow a decision.

A product view is a `detail`, a basket add a `basket`, an order placed an `order`. Bots, and who did not
agree, are left out.

Reads   events, of the interval
Writes  outcomes, partition outcome_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.shell import Days, Job

KINDS = {"product_view": "detail", "basket_add": "basket", "order_placed": "order"}


def build(events: DataFrame) -> DataFrame:
    """Keep what people did after a page was shown to them."""
    kind = F.coalesce(*(F.when(F.col("event_name") == name, F.lit(kind)) for name, kind in KINDS.items()))
    is_person = ~F.coalesce("is_bot", F.lit(False)) & F.coalesce("is_consented", F.lit(False))
    return events.where(F.col("event_name").isin(*KINDS) & is_person).select(
        F.col("event_id").alias("outcome_id"),
        F.col("event_date").alias("outcome_date"),
        F.col("event_at").alias("happened_at"),
        "subject",
        "subject_bucket",
        kind.alias("kind"),
        "trace_id",
        "page",
        "decision_id",
        "position",
        "widget",
        "product_id",
        "order_id",
        "value_cents",
    )


JOB = Job(build, reads=(Days("events"),), writes="outcomes")

if __name__ == "__main__":
    JOB.main()
