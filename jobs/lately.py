"""What a subject did lately that counts for or against a widget: rows of `lately` for subject_features.

    lately/bought/{widget}                  days from the last purchase in the widget's category to the day
                                            that is served, up to 84
    lately/unclicked/{days}/{page}/{widget} sights of the last `days` days, where nothing came of any
    lately/after/{widget}                   the share of the widget's category in the last session, the j-th
                                            look from its end counting 0.8^j
    lately/after_last/{widget}              1 when it was looked at last
    lately/after_most/{widget}              1 when it was looked at most
    lately/after_days                       days from that session to the day that is served, up to 28

A look is a detail page opened or something put into the basket; a session of looks ends where they pause for
longer than `session_gap_minutes`. They are made for the days on which a page's filters (`jobs.page_filters`)
or a feature set ask for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config import FeatureSet, Page
from jobs.day_windows import held_within
from jobs.epochs import widgets_as_of
from jobs.page_filters import BOUGHT, LONGEST_DAYS, UNCLICKED
from ml.features import MISSING, STRONGEST

LATELY = "lately/"
AFTER, AFTER_LAST, AFTER_MOST, AFTER_DAYS = (
    "lately/after", "lately/after_last", "lately/after_most", "lately/after_days"
)  # fmt: skip
SESSION_DAYS = 28
MOST_LOOKS = 50
"""Looks of a session that count: the 51st from its end would count 0.00001."""
DECAY = 0.8
MAP = "map<string,double>"


@dataclass(frozen=True)
class Asked:
    """What is asked for: purchases, by page the windows in which sights are counted, the last session."""

    bought: bool
    sights: frozenset[tuple[str, int]]
    after: bool = False

    @classmethod
    def of(cls, pages: Mapping[str, Page], feature_sets: Mapping[str, FeatureSet]) -> "Asked":
        """Gather what pages' filters and feature sets name."""
        rules = [(page.page, page.rules.filters) for page in pages.values() if page.rules]
        sights = {(page, seen.days) for page, of in rules for seen in of.seen_too_often.values()}
        named = [each.name for one in feature_sets.values() for each in (*one.context, *one.action)]
        named = [name.removeprefix(MISSING) for name in named]
        for name in named:
            if name.startswith(f"{UNCLICKED}/"):
                days, page = name.removeprefix(f"{UNCLICKED}/").split("/")[:2]
                sights.add((page, int(days)))
        bought = any(of.already_bought for _, of in rules) or any(name.startswith(BOUGHT) for name in named)
        return cls(bought, frozenset(sights), any(name.startswith(AFTER) for name in named))


def with_lately(
    features: DataFrame,
    past: DataFrame,
    subject_widgets: DataFrame | None,
    outcomes: DataFrame | None,
    changes: Sequence[Mapping[str, Any]],
    *,
    days: Sequence[date],
    asked: Asked,
    gap_minutes: int,
) -> DataFrame:
    """Add the column `lately` to features; null where nothing is asked or known.

    past : activity by subject and `day`, with `category_visits`. changes : rows of widgets.
    """
    found = features
    parts: list[Column] = []
    if asked.bought or asked.after:
        found = found.join(F.broadcast(_shown(features, changes, days)), on="feature_date", how="left")
    if asked.bought:
        found = found.join(_bought(past, days), on=["subject", "feature_date"], how="left")
        parts.append(_by_widget(BOUGHT, "_bought"))
    if asked.after and outcomes is not None:
        looks = _after(outcomes, days, gap_minutes)
        found = found.join(looks, on=["subject", "feature_date"], how="left")
        names = {AFTER: "_after", AFTER_LAST: "_after_last", AFTER_MOST: "_after_most"}
        parts += [_by_widget(name, column) for name, column in names.items()]
        parts.append(F.when(F.col("_days").isNotNull(), F.create_map(F.lit(AFTER_DAYS), "_days")))
    if asked.sights and subject_widgets is not None:
        sights = _unclicked(subject_widgets, days, asked.sights)
        found = found.join(sights, on=["subject", "feature_date"], how="left")
        parts.append(F.col("_unclicked"))
    if not parts:
        return features.withColumn("lately", F.lit(None).cast(MAP))
    nothing = F.create_map().cast(MAP)
    lately = F.map_concat(*(F.coalesce(part, nothing) for part in parts))
    return found.select(*features.columns, F.when(F.size(lately) > 0, lately).alias("lately"))


def _shown(features: DataFrame, changes: Sequence[Mapping[str, Any]], days: Sequence[date]) -> DataFrame:
    """Return by day `_shown`: widgets with the category that each shows."""
    rows = [
        (day, widget, category)
        for day in days
        for widget, category in sorted(_categories(changes, day).items())
    ]
    listed = features.sparkSession.createDataFrame(rows, "feature_date date, widget string, category string")
    return listed.groupBy("feature_date").agg(F.collect_list(F.struct("widget", "category")).alias("_shown"))


def _by_widget(name: str, column: str) -> Column:
    """Make features of widgets out of a map of categories: of those whose category it has."""
    own = F.array(*(F.struct(F.lit(one).alias("widget"), F.col(one).alias("category")) for one in STRONGEST))
    none = F.array().cast("array<struct<widget:string,category:string>>")
    values = F.col(column)
    known = F.filter(
        F.concat(own, F.coalesce("_shown", none)),
        lambda one: one["category"].isNotNull() & values[one["category"]].isNotNull(),
    )
    entries = F.transform(
        known, lambda one: F.struct(F.concat(F.lit(f"{name}/"), one["widget"]), values[one["category"]])
    )
    return F.when(values.isNotNull(), F.map_from_entries(entries))


def _bought(past: DataFrame, days: Sequence[date]) -> DataFrame:
    """Return by subject and day `_bought`: by category the days since it was bought."""
    since = F.lit(days[0] - timedelta(LONGEST_DAYS - 1))
    bought = past.where(F.col("day") >= since).select(
        "subject", "day", F.explode(F.map_keys("category_visits")).alias("category")
    )
    return (
        bought.withColumn("feature_date", held_within(days, "day", LONGEST_DAYS))
        .groupBy("subject", "feature_date", "category")
        .agg(F.max("day").alias("day"))
        .groupBy("subject", "feature_date")
        .agg(F.map_from_entries(F.collect_list(F.struct("category", _age("day")))).alias("_bought"))
    )


def _after(outcomes: DataFrame, days: Sequence[date], gap_minutes: int) -> DataFrame:
    """Return by subject and day what the last session of looks was about, by category."""
    is_look = F.col("kind").isin("detail", "basket") & F.col("category").isNotNull()
    looks = outcomes.where(is_look & (F.col("outcome_date") >= F.lit(days[0] - timedelta(SESSION_DAYS - 1))))
    dated = looks.withColumn("feature_date", held_within(days, "outcome_date", SESSION_DAYS))
    of = ("subject", "feature_date")
    latest_first = Window.partitionBy(*of).orderBy(F.desc("happened_at"), F.desc("outcome_id"))
    at = F.unix_seconds("happened_at")
    paused = F.coalesce(F.lag(at).over(latest_first) - at > gap_minutes * 60, F.lit(False))
    numbered = dated.select(
        *of, "category", "outcome_date",
        paused.alias("paused"), (F.row_number().over(latest_first) - 1).alias("place"),
    )  # fmt: skip
    in_order = Window.partitionBy(*of).orderBy("place")
    own = numbered.where(F.col("place") < MOST_LOOKS).withColumn(
        "pauses", F.sum(F.col("paused").cast("int")).over(in_order)
    )
    weight = F.pow(F.lit(DECAY), F.col("place"))
    counted = own.where("pauses = 0").groupBy(*of, "category").agg(
        F.sum(weight).alias("weight"), F.count("*").alias("looks"), F.min("place").alias("place"),
        F.max("outcome_date").alias("day"),
    )  # fmt: skip
    order = F.struct(F.col("looks"), -F.col("place"))
    whole = counted.groupBy(*of).agg(
        F.map_from_entries(F.collect_list(F.struct("category", "weight"))).alias("weights"),
        F.sum("weight").alias("total"), F.min_by("category", "place").alias("last"),
        F.max_by("category", order).alias("most"), F.max("day").alias("day"),
    )  # fmt: skip
    one = F.lit(1.0)
    return whole.select(
        *of,
        F.transform_values("weights", lambda _, value: value / F.col("total")).alias("_after"),
        F.create_map("last", one).alias("_after_last"),
        F.create_map("most", one).alias("_after_most"),
        _age("day").alias("_days"),
    )


def _unclicked(
    subject_widgets: DataFrame, days: Sequence[date], sights: Iterable[tuple[str, int]]
) -> DataFrame:
    """Return by subject and day `_unclicked`: by feature the sights of a window without a click."""
    listed = subject_widgets.sparkSession.createDataFrame(sorted(sights), "page string, window int")
    longest = max(window for _, window in sights)
    recent = subject_widgets.where(F.col("stat_date") >= F.lit(days[0] - timedelta(longest - 1)))
    dated = recent.join(F.broadcast(listed), on="page", how="inner").withColumn(
        "feature_date", held_within(days, "stat_date", F.col("window"))
    )
    counted = dated.groupBy("subject", "feature_date", "window", "page", "widget").agg(
        F.sum("seen").cast("double").alias("seen"), F.sum("clicks").alias("clicks")
    )
    key = F.concat_ws("/", F.lit(UNCLICKED), "window", "page", "widget")
    return (
        counted.where((F.col("clicks") == 0) & (F.col("seen") > 0))
        .groupBy("subject", "feature_date")
        .agg(F.map_from_entries(F.collect_list(F.struct(key, F.col("seen")))).alias("_unclicked"))
    )


def _age(name: str) -> Column:
    """Days from a row's day to the day that is served, which is the one after `feature_date`."""
    return (F.datediff("feature_date", F.col(name)) + 1).cast("double")


def _categories(changes: Sequence[Mapping[str, Any]], day: date) -> dict[str, str]:
    """Return by widget the category that it shows as of a day."""
    newest = widgets_as_of(changes, day)
    return {
        widget: row["category"] for widget, row in newest.items() if row["category"] and not row["is_deleted"]
    }
