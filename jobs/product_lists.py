"""product_lists: one row per list of products and day, as of the end of that day.

bestsellers         most visits in the last `window_days`
trending            largest growth of the last `trend_days` over the `window_days` before them
category:NAME       best sellers of a category; longer, so that a reader can leave out a subject's own
own:SUBJECT:NAME    what a subject bought on most visits in a category, then latest; for the categories of
                    widgets, and the subject's two strongest; for subjects with features of that day alone,
                    so not for who left or does not agree
others              only where a widget or a page asks for them: jobs/asked_lists.py

A visit is a subject and day. Ties go to the lower product id, by number where ids are numbers. Products that
left the catalogue by that day are on no list; a product's category is the catalogue's of that day.

Reads   order_lines of the windows and since the newest checkpoint of subject_products, and that; products and
        widgets until the interval's end, subject_features of the interval; outcomes of the last 12 weeks
Writes  product_lists, partition list_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs import asked_lists
from jobs.config import Page
from jobs.contracts import contract
from jobs.day_windows import held_until
from jobs.shell import Days, Job, State, Until
from jobs.store.pages import bought_list
from jobs.subject_products import history

MOST_BOUGHT = 200
"""Products on a list of what a subject bought lately: nobody looks at it, so it is longer than a carousel."""
NO_PAGES: Mapping[str, Page] = {}
VIEWED_DAYS = 84
"""Days of outcomes that are read: `window_days` of them count."""


def build(
    order_lines: DataFrame,
    products: DataFrame,
    widgets: DataFrame,
    subject_features: DataFrame,
    subject_products: DataFrame | None = None,
    outcomes: DataFrame | None = None,
    *,
    days: Sequence[date],
    window_days: int,
    trend_days: int,
    trend_least: int,
    trend_prior: float,
    list_length: int,
    category_length: int,
    own_length: int,
    pages: Mapping[str, Page] = NO_PAGES,
) -> DataFrame:
    """Build every list of every day; without checkpoints own lists read the whole of order_lines."""
    catalogue = F.broadcast(_catalogue(products))
    sold = _sold(order_lines, catalogue, days, window_days, trend_days)
    growth = asked_lists.growth(trend_days / window_days, trend_prior)
    for_all = F.array_compact(
        F.array(
            F.when(F.col("visits") > 0, _entry("bestsellers", F.col("visits"))),
            F.when(F.col("visits") > 0, _entry("category", F.col("visits"), F.col("category"))),
            F.when(F.col("recent") >= trend_least, _entry("trending", growth)),
        )
    )
    ranked = sold.select("list_date", "product_id", F.explode(for_all).alias("entry")).select(
        "list_date",
        "product_id",
        "entry.*",
        F.lit(None).cast("string").alias("subject"),
        F.lit(None).alias("latest"),
    )
    common = _lists(ranked, F.when(F.col("kind") == "category", category_length).otherwise(list_length))
    checkpoints = subject_products
    if checkpoints is None:
        checkpoints = order_lines.sparkSession.createDataFrame([], contract("subject_products").ddl)
    bought = history(order_lines, checkpoints, before=days[0] + timedelta(1))
    counted = _counted(bought, days)
    own = _own(counted, catalogue, widgets, subject_features, days)
    found = common.unionByName(_lists(own, F.lit(own_length)))
    windows = asked_lists.Windows(window_days, trend_days, trend_least, trend_prior)
    asked, bought_days = asked_lists.asked(widgets), asked_lists.bought_days(pages)
    longest = F.when(F.col("category").isin(list(map(bought_list, bought_days))), MOST_BOUGHT)
    for entries in asked_lists.entries(
        order_lines, counted, outcomes, subject_features, asked, days, windows, bought_days
    ):
        found = found.unionByName(_lists(_in_catalogue(entries, catalogue), longest.otherwise(list_length)))
    return found


def _entry(kind: str, score: Column, category: Column | None = None) -> Column:
    return F.struct(
        F.lit(kind).alias("kind"),
        (F.lit(None) if category is None else category).cast("string").alias("category"),
        score.cast("double").alias("score"),
    )


def _catalogue(products: DataFrame) -> DataFrame:
    """Products with the span of list days, both inclusive, for which each of their rows holds."""
    following = F.lead("changed_date").over(Window.partitionBy("product_id").orderBy("changed_date"))
    spans = products.withColumn("held_until", F.coalesce(F.date_sub(following, 1), F.lit(date.max)))
    gone = F.coalesce("is_deleted", F.lit(False))
    return spans.where(~gone).select(
        "product_id", "category", F.col("changed_date").alias("held_from"), "held_until"
    )


def _sold(
    order_lines: DataFrame, catalogue: DataFrame, days: Sequence[date], window_days: int, trend_days: int
) -> DataFrame:
    """Visits of each product in the windows that end on each list day."""
    longest = window_days + trend_days - 1
    recent = order_lines.where(F.col("order_date") >= F.lit(days[0] - timedelta(longest)))
    daily = recent.groupBy("product_id", "order_date").agg(F.count_distinct("subject").alias("n"))
    until = F.date_add("order_date", longest)
    aged = daily.withColumn("list_date", held_until(days, "order_date", until)).withColumn(
        "age", F.datediff("list_date", "order_date")
    )
    age, zero = F.col("age"), F.lit(0)
    windows = aged.groupBy("list_date", "product_id").agg(
        F.sum(F.when(age < window_days, F.col("n")).otherwise(zero)).alias("visits"),
        F.sum(F.when(age < trend_days, F.col("n")).otherwise(zero)).alias("recent"),
        F.sum(F.when(age >= trend_days, F.col("n")).otherwise(zero)).alias("earlier"),
    )
    return _as_of(windows, catalogue)


def _counted(bought: DataFrame, days: Sequence[date]) -> DataFrame:
    """On how many visits each subject bought each product until each list day, and the latest of them."""
    # All that follows is grouped by subject: history is shuffled once, however many groupings there are.
    return (
        bought.withColumn("list_date", held_until(days, "day", F.lit(days[-1])))
        .groupBy("list_date", "subject", "product_id")
        .agg(F.sum("visits").alias("visits"), F.max("latest_date").alias("latest"))
    )


def _own(
    counted: DataFrame,
    catalogue: DataFrame,
    widgets: DataFrame,
    subject_features: DataFrame,
    days: Sequence[date],
) -> DataFrame:
    """What each subject bought until each list day, in the categories that may be shown to it."""
    strongest = subject_features.select(
        F.col("feature_date").alias("list_date"), "subject", "category1", "category2"
    )
    known = _as_of(counted, catalogue).join(strongest, on=["list_date", "subject"], how="inner")
    wanted = known.join(F.broadcast(_shown(widgets, days)), on=["list_date", "category"], how="left")
    own = F.col("category").eqNullSafe(F.col("category1")) | F.col("category").eqNullSafe(F.col("category2"))
    return wanted.where(F.col("is_shown").isNotNull() | own).select(
        "list_date",
        "product_id",
        F.lit("own").alias("kind"),
        "subject",
        "category",
        F.col("visits").cast("double").alias("score"),
        "latest",
    )


def _shown(widgets: DataFrame, days: Sequence[date]) -> DataFrame:
    """Categories that a widget of some page shows, by list day."""
    latest = F.row_number().over(Window.partitionBy("list_date", "widget").orderBy(F.desc("changed_date")))
    dated = widgets.withColumn("list_date", held_until(days, "changed_date", F.lit(days[-1])))
    standing = dated.withColumn("_nth", latest).where(
        (F.col("_nth") == 1) & ~F.coalesce("is_deleted", F.lit(False))
    )
    on_page = F.col("category").isNotNull() & (F.size("pages") > 0)
    return standing.where(on_page).select("list_date", "category", F.lit(True).alias("is_shown")).distinct()


def _as_of(frame: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Add each product's category as of the list day; drop products that are in no catalogue then."""
    held = F.col("list_date").between(F.col("held_from"), F.col("held_until"))
    return frame.join(catalogue, on="product_id", how="inner").where(held).drop("held_from", "held_until")


def _in_catalogue(frame: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Drop products that are in no catalogue on the list day."""
    return _as_of(frame, catalogue.drop("category"))


def _lists(entries: DataFrame, longest: Column) -> DataFrame:
    """The first products of each list, by score, then latest, then id."""
    of = ["list_date", "kind", "subject", "category"]
    ties = [F.asc_nulls_last(F.col("product_id").try_cast("bigint")), F.asc("product_id")]
    nth = F.row_number().over(Window.partitionBy(*of).orderBy(F.desc("score"), F.desc("latest"), *ties))
    in_order = F.sort_array(F.collect_list(F.struct("nth", "product_id")))
    return (
        entries.withColumn("nth", nth)
        .where(F.col("nth") <= longest)
        .groupBy(*of)
        .agg(F.transform(in_order, lambda entry: entry["product_id"]).alias("products"))
        .select(F.concat_ws(":", "kind", "subject", "category").alias("list_key"), *of, "products")
    )


JOB = Job(
    build,
    reads=(
        Until("order_lines"),
        Until("products"),
        Until("widgets"),
        Days("subject_features"),
        State("subject_products"),
        Until("outcomes", before=VIEWED_DAYS),
    ),
    writes="product_lists",
)

if __name__ == "__main__":
    JOB.main()
