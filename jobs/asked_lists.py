"""Lists that are made only where a widget of the day asks for them: entries of jobs.product_lists.

    own:SUBJECT:buy again         bought on two visits or more, none of them in the last `trend_days`; most
                                  visits first
    own:SUBJECT:recently viewed   opened or put into the basket in the last `window_days`, the latest first
    own:SUBJECT:bought together   what goes with the subject's last visit: Σ over its products a of
                                  n(a, b) / √(n(a) n(b)), n counting visits of the last `window_days`, both
                                  on `trend_least` visits or more; nothing that was in that visit
    own:SUBJECT:bought in N days  bought in the last N days, the latest first
    trending:region:REGION        growth as of `trending`, among subjects of a region as of the list day
    trending:season               growth of the `window_days` that follow a year ago over those before them

The first three are asked for by a widget's purpose, that of N days by a page whose products go by it
(`bought_products`), the others by a widget of the list's name.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.config import Page
from jobs.day_windows import held_within
from jobs.store.pages import OF_PURPOSE, bought_list

BUY_AGAIN, VIEWED, TOGETHER = OF_PURPOSE
TRENDING = "trending"
REGION, SEASON = "region:", "season"
YEAR_DAYS = 364
"""A year of whole weeks, so that days of the week meet."""


@dataclass(frozen=True)
class Windows:
    """Lengths in days and counts, as product_lists has them in conf/."""

    window_days: int
    trend_days: int
    trend_least: int
    trend_prior: float


def asked(widgets: DataFrame) -> set[str]:
    """Return the purposes and names of widgets that ask for a list: widgets are few."""
    named = widgets.where(F.col("purpose").isin(*OF_PURPOSE) | F.col("widget").startswith(f"{TRENDING}:"))
    found = {name for row in named.select("purpose", "widget").distinct().collect() for name in row}
    return {name for name in found if name in OF_PURPOSE or str(name).startswith(f"{TRENDING}:")}


def bought_days(pages: Mapping[str, Page]) -> list[int]:
    """Return of how many days pages ask what was bought."""
    return sorted({page.bought_products.days for page in pages.values() if page.bought_products})


def entries(
    order_lines: DataFrame,
    bought: DataFrame,
    outcomes: DataFrame | None,
    subject_features: DataFrame,
    wanted: Collection[str],
    days: Sequence[date],
    of: Windows,
    bought_days: Collection[int] = (),
) -> list[DataFrame]:
    """Return entries of the lists that are wanted, in the columns of product_lists' own.

    bought : list_date, subject, product_id, visits, latest, of all that was bought until each list day.
    bought_days : of how many days lists of what was bought are wanted.
    """
    present = subject_features.select(F.col("feature_date").alias("list_date"), "subject")
    found = []
    if BUY_AGAIN in wanted:
        rested = F.datediff("list_date", "latest") >= of.trend_days
        again = bought.where((F.col("visits") >= 2) & rested).withColumn("score", F.col("visits"))
        found.append(_own(again, BUY_AGAIN))
    if VIEWED in wanted and outcomes is not None:
        found.append(_own(_viewed(outcomes, days, of.window_days), VIEWED))
    if TOGETHER in wanted:
        found.append(_own(_together(order_lines, days, of), TOGETHER))
    for length in bought_days:
        lately = bought.where(F.datediff("list_date", "latest") < length)
        scored = lately.withColumn("score", F.unix_date("latest"))
        found.append(_own(scored, bought_list(length)))
    own = [frame.join(present, on=["list_date", "subject"], how="left_semi") for frame in found]
    if any(name.startswith(f"{TRENDING}:{REGION}") for name in wanted):
        own.append(_of_regions(order_lines, subject_features, days, of))
    if f"{TRENDING}:{SEASON}" in wanted:
        own.append(_of_season(order_lines, days, of))
    return own


def _own(frame: DataFrame, name: str) -> DataFrame:
    return frame.select(
        "list_date", "product_id", F.lit("own").alias("kind"), "subject", F.lit(name).alias("category"),
        F.col("score").cast("double").alias("score"), "latest",
    )  # fmt: skip


def _shared(frame: DataFrame, name: Column, score: Column) -> DataFrame:
    return frame.select(
        "list_date", "product_id", F.lit(TRENDING).alias("kind"), F.lit(None).cast("string").alias("subject"),
        name.alias("category"), score.cast("double").alias("score"), F.lit(None).cast("date").alias("latest"),
    )  # fmt: skip


def _viewed(outcomes: DataFrame, days: Sequence[date], window_days: int) -> DataFrame:
    is_look = F.col("kind").isin("detail", "basket") & F.col("product_id").isNotNull()
    looks = outcomes.where(is_look & (F.col("outcome_date") > F.lit(days[0] - timedelta(window_days))))
    dated = looks.withColumn("list_date", held_within(days, "outcome_date", window_days))
    last = dated.groupBy("list_date", "subject", "product_id").agg(F.max("happened_at").alias("at"))
    return last.select(
        "list_date",
        "subject",
        "product_id",
        F.unix_micros("at").alias("score"),
        F.to_date("at").alias("latest"),
    )


def _together(order_lines: DataFrame, days: Sequence[date], of: Windows) -> DataFrame:
    since = F.lit(days[0] - timedelta(of.window_days - 1))
    visits = (
        order_lines.where(F.col("order_date") >= since)
        .select("subject", "order_date", "product_id")
        .distinct()
        .withColumn("list_date", held_within(days, "order_date", of.window_days))
    )
    visit = ["list_date", "subject", "order_date"]
    counts = visits.groupBy("list_date", "product_id").agg(F.count("*").alias("n"))
    often = counts.where(F.col("n") >= of.trend_least)
    kept = visits.join(often.drop("n"), on=["list_date", "product_id"], how="left_semi")
    pairs = (
        kept.withColumnRenamed("product_id", "a")
        .join(kept.withColumnRenamed("product_id", "b"), on=visit, how="inner")
        .where(F.col("a") != F.col("b"))
        .groupBy("list_date", "a", "b")
        .agg(F.count("*").alias("both"))
        .where(F.col("both") >= of.trend_least)
    )
    near = (
        pairs.join(
            often.select("list_date", F.col("product_id").alias("a"), F.col("n").alias("na")),
            ["list_date", "a"],
        )
        .join(
            often.select("list_date", F.col("product_id").alias("b"), F.col("n").alias("nb")),
            ["list_date", "b"],
        )
        .withColumn("near", F.col("both") / F.sqrt(F.col("na") * F.col("nb")))
    )
    newest = F.max("order_date").over(Window.partitionBy("list_date", "subject"))
    last = visits.withColumn("newest", newest).where(F.col("order_date") == F.col("newest"))
    basket = last.select(
        "list_date", "subject", F.col("product_id").alias("a"), F.col("order_date").alias("latest")
    )
    scored = (
        basket.join(near, on=["list_date", "a"], how="inner")
        .groupBy("list_date", "subject", F.col("b").alias("product_id"))
        .agg(F.sum("near").alias("score"), F.max("latest").alias("latest"))
    )
    return scored.join(
        last.select("list_date", "subject", "product_id"),
        on=["list_date", "subject", "product_id"],
        how="left_anti",
    )


def _of_regions(
    order_lines: DataFrame, subject_features: DataFrame, days: Sequence[date], of: Windows
) -> DataFrame:
    regions = subject_features.where(F.col("region").isNotNull()).select(
        F.col("feature_date").alias("list_date"), "subject", "region"
    )
    longest = of.window_days + of.trend_days
    recent = order_lines.where(F.col("order_date") > F.lit(days[0] - timedelta(longest)))
    visits = recent.select("subject", "product_id", "order_date").distinct()
    dated = visits.withColumn("list_date", held_within(days, "order_date", longest))
    age = F.datediff("list_date", "order_date")
    counted = (
        dated.join(regions, on=["list_date", "subject"], how="inner")
        .groupBy("list_date", "region", "product_id")
        .agg(
            F.count_if(age < of.trend_days).alias("recent"), F.count_if(age >= of.trend_days).alias("earlier")
        )
    )
    grown = counted.where(F.col("recent") >= of.trend_least)
    return _shared(
        grown, F.concat(F.lit(REGION), "region"), growth(of.trend_days / of.window_days, of.trend_prior)
    )


def _of_season(order_lines: DataFrame, days: Sequence[date], of: Windows) -> DataFrame:
    # `ahead` days after the list day's own, a year ago: 1 to window_days follow it, 0 and less came before.
    first, last = (
        days[0] - timedelta(YEAR_DAYS + of.window_days),
        days[-1] - timedelta(YEAR_DAYS - of.window_days),
    )
    around = order_lines.where(F.col("order_date").between(F.lit(first), F.lit(last)))
    visits = around.select("subject", "product_id", "order_date").distinct()
    then = F.date_sub("list_date", YEAR_DAYS)
    dated = visits.withColumn("list_date", F.explode(F.array(*map(F.lit, days))))
    ahead = F.datediff("order_date", then)
    counted = (
        dated.where((ahead > -of.window_days) & (ahead <= of.window_days))
        .groupBy("list_date", "product_id")
        .agg(F.count_if(ahead > 0).alias("recent"), F.count_if(ahead <= 0).alias("earlier"))
    )
    grown = counted.where(F.col("recent") >= of.trend_least)
    return _shared(grown, F.lit(SEASON), growth(1.0, of.trend_prior))


def growth(share: float, prior: float) -> Column:
    """Visits over those of the days before them, brought to one length; few visits are no trend."""
    return (F.col("recent") + prior) / (F.col("earlier") * share + prior)
