"""feedback: one row per position of a layout as served, with what came of it (the join service).

An outcome credits at most one decision of its own subject:
- by trace: it names decision and position, shares the trace, and comes within `trace_hours`. Such an
  outcome belongs to that decision alone, whether it is in time for a reward or not;
- else by window: the last decision of its page and widget that was seen and served before it (last touch),
  when a detail view follows within `reward.detail_seconds`, a basket add within the session gap.
Nothing comes before its decision by more than `clock_skew_seconds`.

`trace_hours` is less than a day, so a day's feedback follows from that day and its two neighbours.

Reads   decisions and outcomes, of the interval and the day before and after
Writes  feedback, partition decision_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Reward
from jobs.contracts import contract
from jobs.credit import Rule, matcher
from jobs.shell import Days, Job

REWARDED = ("detail", "basket")


def build(
    decisions: DataFrame,
    outcomes: DataFrame,
    *,
    reward: Reward,
    clock_skew_seconds: int,
    session_gap_minutes: int,
    trace_hours: int,
) -> DataFrame:
    """Give each decision the outcomes that it earned: one shuffle and sort by subject, no join."""
    rule = Rule(
        version=reward.version,
        basket=reward.basket,
        detail=reward.detail,
        detail_seconds=reward.detail_seconds,
        basket_seconds=session_gap_minutes * 60,
        trace_seconds=trace_hours * 3600,
        skew_seconds=clock_skew_seconds,
    )
    served = decisions.select(
        "subject",
        F.col("served_at").alias("at"),
        F.lit(None).cast("string").alias("kind"),
        "trace_id",
        "decision_id",
        "position",
        "page",
        "widget",
        "decision_date",
        "subject_bucket",
        "draw_id",
        "propensity",
        "policy_version",
        "is_seen",
    )
    happened = outcomes.where(F.col("kind").isin(*REWARDED)).select(
        "subject",
        F.col("happened_at").alias("at"),
        "kind",
        "trace_id",
        "decision_id",
        "position",
        "page",
        "widget",
    )
    both = served.unionByName(happened, allowMissingColumns=True)
    about = contract("feedback")
    matched = matcher(rule, about.arrow_schema.remove_metadata())
    return both.repartition("subject").sortWithinPartitions("subject").mapInArrow(matched, about.ddl)


JOB = Job(
    build,
    reads=(Days("decisions", before=1, after=1), Days("outcomes", before=1, after=1)),
    writes="feedback",
)

if __name__ == "__main__":
    JOB.main()
