"""What models know of a subject at a closing's end, or on any evening: the same for training and for scores.

Rows are named by `closing_id`, `closing_date` and subject: for scores each day is a closing of its own.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.sources import changes

ONE = ("closing_id", "subject")
COLUMNS = ("role", "region", "segment", "category1", "category2")
COUNTED = r"period_(visits|sales|lines)_\d+"
MAPS = {"features": "", "widget_shares": "share/", "widget_reward_means": "reward_mean/", "_counts": ""}
"""Columns of a joined row that hold features, and what their keys begin with among all features."""
Spans = Sequence[tuple[date, date]]


def counts(subject_daily: DataFrame, spans: Mapping[str, Spans]) -> DataFrame:
    """Visits, sales and lines by period, of those who bought in any."""
    table = [
        (closing, number, first, last)
        for closing, own in spans.items()
        for number, (first, last) in enumerate(own)
    ]
    ddl = "closing_id string, number int, first date, last date"
    listed = F.broadcast(subject_daily.sparkSession.createDataFrame(table, ddl))
    bought = subject_daily.where(F.col("lines") > 0).join(
        listed, on=F.col("activity_date").between(F.col("first"), F.col("last")), how="inner"
    )
    # Cents are added as whole numbers: no order of the days matters.
    wholes = {"period_visits": F.lit(1), "period_sales": F.col("sales_cents"), "period_lines": F.col("lines")}
    entries = [
        F.struct(
            F.lit(f"{name}_{number}").alias("key"),
            (
                F.sum(F.when(F.col("number") == number, whole).otherwise(0)).cast("double")
                / (100.0 if name == "period_sales" else 1.0)
            ).alias("value"),
        )
        for name, whole in wholes.items()
        for number in range(len(next(iter(spans.values()))))
    ]
    return bought.groupBy(*ONE).agg(F.map_from_entries(F.array(*entries)).alias("_counts"))


def groups(users: DataFrame, ending: DataFrame, demographics: Sequence[str]) -> DataFrame:
    """Demographics as of the closing's end."""
    held = changes.valid(users, "subject")
    then = (F.col("closing_date") >= F.col("valid_from")) & (F.col("closing_date") < F.col("valid_until"))
    return held.join(ending, on=then, how="inner").select(*ONE, *demographics)


def evenings(spark: SparkSession, days: Sequence[date]) -> DataFrame:
    """Return days as if each were a closing of its own, named by itself, with no period behind it."""
    ddl = "closing_id string, closing_date date, labels_until date"
    return F.broadcast(spark.createDataFrame([(str(day), day, None) for day in days], ddl))


def newest_segments(segments: DataFrame, ending: DataFrame, segmentation: str) -> DataFrame:
    """Newest segment at the closing's end, and within the next period."""
    own = segments.where(F.col("segmentation") == segmentation).select("subject", "as_of_date", "name")
    upto = F.col("as_of_date") <= F.greatest("closing_date", "labels_until")
    is_known = F.col("as_of_date") <= F.col("closing_date")
    newest = F.struct("as_of_date", "name")
    found = own.join(ending, on=upto, how="inner").groupBy(*ONE)
    return found.agg(
        F.max(F.when(is_known, newest))["name"].alias("segment"),
        F.max(F.when(~is_known, newest))["name"].alias("_next_segment"),
    )


def features() -> Column:
    """All features of a joined row as one map, its keys in order."""
    parts = [_prefixed(column, prefix) if prefix else F.col(column) for column, prefix in MAPS.items()]
    return F.map_from_entries(F.sort_array(F.map_entries(F.map_concat(*parts))))


def places(names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return by column of MAPS which of the features it holds: their number, and their key there."""
    found: dict[str, dict[int, str]] = {}
    for number, name in enumerate(names):
        column = next((one for one, prefix in MAPS.items() if prefix and name.startswith(prefix)), None)
        column = column or ("_counts" if re.fullmatch(COUNTED, name) else "features")
        found.setdefault(column, {})[number] = name.removeprefix(MAPS[column])
    return found


def categories(demographics: Sequence[str]) -> Column:
    """All categories of a joined row as one map; missing ones are absent."""
    names = sorted({*COLUMNS, *demographics})
    whole = F.create_map(*(part for name in names for part in (F.lit(name), F.col(name))))
    return F.map_filter(whole, lambda _, value: value.isNotNull())


def undeclared(
    names: Sequence[str], declarations: Collection[str], demographics: Collection[str]
) -> list[str]:
    """Return the features that nothing makes any more."""
    patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(name)) for name in declarations]
    patterns += [COUNTED, *map(re.escape, demographics)]
    return [name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)]


def _prefixed(column: str, prefix: str) -> Column:
    return F.transform_keys(column, lambda name, _: F.concat(F.lit(prefix), name))
