"""subject_features: one row per subject and day, with what is known of it at the end of that day.

Partition d uses rows of days up to d and serves decisions of day d + 1. Every subject with any history by
then has a row, save those who left.

Lifetime values are the newest checkpoint of subject_totals plus the days since. Of what it counts, windows
read a few numbers by day, and no maps (jobs/subject_past.py): so a day costs nearly the same whatever lies
behind it.

Click rates and vectors are made where a feature set or segmentation names one (jobs/taste_rows.py), and
what was done lately where a page's filters or a set ask (jobs/lately.py).

Reads   subject_totals; subject_daily since its checkpoint, and in windows; users, widgets up to the last day;
        subject_widgets, widget_stats and subject_vectors of the last 16 weeks; outcomes of the last 4
Writes  subject_features, partition feature_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from jobs import feature_rows, maps, taste_rows
from jobs.config import Consent, Declaration, FeatureSet, Page, Segmentation
from jobs.consent import without_refusals
from jobs.lately import LATELY, SESSION_DAYS, Asked, with_lately
from jobs.shell import Job, State, Until
from jobs.subject_past import Past
from ml.features import MISSING, RECENT_DAYS, Population, population_as_of

EPOCH = date(1970, 1, 1)
MAPS = {
    "widget_shares": "share/",
    "widget_reward_means": "reward_mean/",
    "widget_click_rates": taste_rows.CLICK_RATE,
    "vector": taste_rows.VECTOR,
    "lately": LATELY,
    "features": "",
}
"""Which map column holds the features whose names begin so."""
BY_WHOLE_NAME = ("lately",)
"""Map columns whose keys are whole names; those of others are what follows."""


def build(
    subject_daily: DataFrame,
    subject_totals: DataFrame,
    users: DataFrame,
    widgets: DataFrame,
    consents: DataFrame,
    subject_widgets: DataFrame | None = None,
    widget_stats: DataFrame | None = None,
    subject_vectors: DataFrame | None = None,
    outcomes: DataFrame | None = None,
    *,
    days: Sequence[date],
    feature_declarations: Mapping[str, Declaration],
    feature_sets: Mapping[str, FeatureSet],
    demographics: Mapping[str, Sequence[str]],
    consent: Consent,
    segmentation_specs: Mapping[str, Segmentation] = {},
    pages: Mapping[str, Page] = {},
    session_gap_minutes: int = 30,
    vector_version: str = "",
    vector_half_life_days: Annotated[float, Field(gt=0)] = 28.0,
) -> DataFrame:
    """Compute each subject's features as of the end of each day.

    `demographics` lists, for each field of `users` that becomes a feature, its groups from low to high.
    """
    changes = widgets.select("widget", "changed_date", "category", "is_deleted").collect()  # widgets are few
    declared = {name: feature for name, feature in feature_declarations.items() if feature.how != "computed"}
    asked = Asked.of(pages, feature_sets)
    windows = [1, *(feature.window for feature in declared.values() if feature.window)]
    past = Past.before(subject_daily, subject_totals, days[0])
    population = _population(past, days, {row["category"] for row in changes if row["category"]})
    activity = past.for_windows(days, windows).select(
        "subject", "subject_bucket", "day", F.lit(True).alias("is_activity"), *feature_rows.ACTIVITY
    )
    people = users.select(
        "subject", "subject_bucket", F.col("changed_date").alias("day"), F.lit(False).alias("is_activity"),
        "role", "region", "is_deleted", "has_demographics", *demographics,
    )  # fmt: skip
    rows = activity.unionByName(people, allowMissingColumns=True)
    measures = None
    tasted = [frame for frame in (subject_widgets, widget_stats, subject_vectors) if frame is not None]
    if len(tasted) == 3 and names_tastes(feature_sets, segmentation_specs):
        tastes, measures = taste_rows.prepare(
            *tasted, days=days, version=vector_version, half_life_days=vector_half_life_days
        )
        rows = rows.unionByName(tastes, allowMissingColumns=True)
    compute = feature_rows.kernel(
        population,
        _carousels(changes, days, population),
        {name: list(groups) for name, groups in demographics.items()},
        {
            feature.name.removeprefix(MISSING)
            for chosen in feature_sets.values()
            for feature in chosen.context
        },
        declared,
        measures,
    )
    whole = rows.repartition("subject").sortWithinPartitions("subject", "day")
    computed = whole.mapInArrow(compute, feature_rows.SCHEMA)
    found = with_lately(
        computed, past.daily, subject_widgets, outcomes, [row.asDict() for row in changes],
        days=days, asked=asked, gap_minutes=session_gap_minutes,
    )  # fmt: skip
    return without_refusals(found, consents, consent, subject="subject", day="feature_date")


def feature_columns(batch: pa.RecordBatch | pa.Table, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Read features out of rows of subject_features: by name (n,) float64, NaN where missing.

    `share/WIDGET`, `reward_mean/PAGE/WIDGET`, `click_rate/PAGE/WIDGET` and `vector/DIMENSION` come from maps
    of their own (MAPS), all other names from features. Rows whose maps are null, subjects without history,
    are missing throughout.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for column, prefix in MAPS.items():
        own = [name for name in names if name.startswith(prefix) and name not in found]
        if not own:
            continue
        values = maps.table(batch.column(column), [_key(column, prefix, name) for name in own])
        found |= {name: values[:, j] for j, name in enumerate(own)}
    return found


def names_tastes(sets: Mapping[str, FeatureSet], specs: Mapping[str, Segmentation]) -> bool:
    """Tell whether any set or segmentation names a click rate or a vector: else they are not made."""
    names = [feature.name for one in sets.values() for feature in (*one.context, *one.action)]
    names += [feature.name for spec in specs.values() for feature in spec.features]
    tastes = (taste_rows.CLICK_RATE, taste_rows.VECTOR)
    return any(name.removeprefix(MISSING).startswith(tastes) for name in names)


def feature_column(name: str) -> Column:
    """Return a feature as a column of subject_features, by the same names; null where missing."""
    column, prefix = next((column, prefix) for column, prefix in MAPS.items() if name.startswith(prefix))
    value = F.col(column)[_key(column, prefix, name)]
    return F.when(~F.isnan(value), value)


def _key(column: str, prefix: str, name: str) -> str:
    return name if column in BY_WHOLE_NAME else name.removeprefix(prefix)


def _population(past: Past, days: Sequence[date], shown: Collection[str]) -> Population:
    """Add up the population's days: bounded by days × (categories + arms), so they may come to the driver."""
    earliest = days[0] - timedelta(RECENT_DAYS)  # only totals need what is older: it is one sum
    is_recent = F.col("day") > F.lit(max(earliest, past.until or earliest))
    day = F.when(is_recent, F.col("day")).otherwise(F.lit(earliest)).alias("day")
    rows = past.rows()
    visits = rows.where(F.col("visits") > 0).groupBy(day).agg(F.sum("visits").alias("n"))
    bought = rows.select(day, F.explode("category_visits").alias("name", "n"))
    by_category = bought.groupBy("day", "name").agg(F.sum("n").alias("n"))
    # What the checkpoint counts of the recent days, which is one sum there.
    between = F.col("day").between(F.lit(earliest + timedelta(1)), F.lit(past.until or earliest))
    older = _by_arm(past.daily.where(between), F.col("day")).collect()
    return population_as_of(
        [_number(day) for day in days],
        {_number(row["day"]): row["n"] for row in visits.collect()},
        [(_number(row["day"]), row["name"], row["n"]) for row in by_category.collect()],
        [
            *(
                (_number(row["day"]), row["name"], row["n"], row["micro"])
                for row in (*_by_arm(rows, day).collect(), *older)
            ),
            *((_number(earliest), row["name"], -row["n"], -row["micro"]) for row in older),
        ],
        shown,
    )


def _by_arm(rows: DataFrame, day: Column) -> DataFrame:
    earned = rows.select(day, "reward_micros", F.explode("reward_counts").alias("name", "n"))
    micro = F.sum(F.col("reward_micros")[F.col("name")]).alias("micro")
    return earned.groupBy("day", "name").agg(F.sum("n").alias("n"), micro)


def _carousels(
    changes: Sequence[Row], days: Sequence[date], population: Population
) -> dict[str, NDArray[np.int64]]:
    """By widget with a category, the category's code on each day, -1 while it is not shown."""
    found: dict[str, NDArray[np.int64]] = {}
    for row in sorted(changes, key=lambda row: (row["widget"], row["changed_date"])):
        codes = found.setdefault(row["widget"], np.full(len(days), -1, dtype=np.int64))
        code = -1 if row["is_deleted"] else population.category_codes.get(row["category"], -1)
        codes[[day >= row["changed_date"] for day in days]] = code
    return {widget: codes for widget, codes in found.items() if (codes >= 0).any()}


def _number(day: date) -> int:
    return (day - EPOCH).days


JOB = Job(
    build,
    reads=(
        Until("subject_daily"),
        State("subject_totals"),
        Until("users"),
        Until("widgets"),
        Until("consents"),
        Until("subject_widgets", before=taste_rows.READ_DAYS),
        Until("widget_stats", before=taste_rows.READ_DAYS),
        Until("subject_vectors", before=taste_rows.READ_DAYS),
        Until("outcomes", before=SESSION_DAYS),
    ),
    writes="subject_features",
)

if __name__ == "__main__":
    JOB.main()
