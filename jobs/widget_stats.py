"""widget_stats: one row per day, page, widget and position: servings, sightings, clicks, earnings.

They sum over days, and over widgets to a page's examination curve: `seen` against `served` where the front
end logs what came into view, `lower_micros` against `upper_micros` where it does not (`ml.position_bias`).

Reads   feedback, of the interval
Writes  widget_stats, partition stat_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.shell import Days, Job

MICRO = 1_000_000


def build(feedback: DataFrame) -> DataFrame:
    """Count by widget and position; weigh each click by the chance of its order with either neighbour."""
    layout = Window.partitionBy("decision_date", "decision_id").orderBy("position")
    above, below = F.lag("propensity").over(layout), F.lead("propensity").over(layout)
    here = F.col("propensity")
    clicked = is_click()
    weighed = feedback.select(
        F.col("decision_date").alias("stat_date"),
        "page",
        "widget",
        "position",
        "is_seen",
        clicked.alias("is_click"),
        is_basket().alias("is_basket"),
        F.coalesce(F.col("rewards")["revenue"], F.lit(0.0)).cast("long").alias("cents"),
        F.when(F.col("is_seen"), F.round(F.col("reward") * MICRO)).cast("long").alias("reward_of_seen"),
        F.when(clicked, _swap_micros(here, below)).alias("upper"),
        F.when(clicked, _swap_micros(above, here)).alias("lower"),
    )
    return weighed.groupBy("stat_date", "page", "widget", "position").agg(
        F.count("*").alias("served"),
        F.count_if("is_seen").alias("seen"),
        F.count_if("is_click").alias("clicks"),
        F.count_if("is_basket").alias("baskets"),
        F.sum("cents").alias("revenue_cents"),
        F.coalesce(F.sum("reward_of_seen"), F.lit(0)).alias("reward_micros"),
        F.coalesce(F.sum("upper"), F.lit(0)).alias("upper_micros"),
        F.coalesce(F.sum("lower"), F.lit(0)).alias("lower_micros"),
    )


def is_click() -> Column:
    """Whether anything came of a position."""
    return F.col("match") != "none"


def is_basket() -> Column:
    """Whether a shown product went into the basket."""
    return F.coalesce(F.col("rewards")["basket"], F.lit(0.0)) > 0


def _swap_micros(upper: Column, lower: Column) -> Column:
    """`ml.position_bias.swap_weight` in millionths; null at the layout's ends and where nothing was drawn."""
    weight = 1 + (1 - upper) / (1 - lower * (1 - upper))
    return F.when((upper < 1) & lower.isNotNull(), F.round(weight * MICRO).cast("long"))


JOB = Job(build, reads=(Days("feedback"),), writes="widget_stats")

if __name__ == "__main__":
    JOB.main()
