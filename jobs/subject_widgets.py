"""subject_widgets: one row per subject, day, page and widget: how often served, where, seen, clicked.

With a page's examination curve (`ml.position_bias`, from widget_stats) the servings by position give
exposure, and clicks over exposure a click rate that does not depend on where a widget stood.

Reads   feedback, of the interval
Writes  subject_widgets, partition stat_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.shell import Days, Job
from jobs.widget_stats import is_basket, is_click


def build(feedback: DataFrame) -> DataFrame:
    """Count each subject's day by widget."""
    positions = F.collect_list("position")
    served = F.transform(
        F.sequence(F.lit(0), F.array_max("_positions")),
        lambda place: F.size(F.filter("_positions", lambda at: at == place)),
    )
    counted = (
        feedback.withColumnRenamed("decision_date", "stat_date")
        .repartition("subject")
        .groupBy("subject", "subject_bucket", "stat_date", "page", "widget")
        .agg(
            positions.alias("_positions"),
            F.count_if("is_seen").cast("int").alias("seen"),
            F.count_if(is_click()).cast("int").alias("clicks"),
            F.count_if(is_basket()).cast("int").alias("baskets"),
        )
    )
    return counted.withColumn("served", served).drop("_positions")


JOB = Job(build, reads=(Days("feedback"),), writes="subject_widgets")

if __name__ == "__main__":
    JOB.main()
