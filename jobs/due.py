"""Who is drawn on a night, and from which day's features: rows for `jobs.drawing`.

A subject's epoch begins on a day that `jobs.epochs` tells by its own day: its hash day, or the day on which
it was last active. It is drawn from its features of that day; who has none of that day (they were away) from
those of the night. Whose draw stands, as `jobs.standing` tells, is not drawn. DataFrames in and out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial, reduce

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from jobs.drawing import WHO
from jobs.drawn_before import Drawn
from jobs.epochs import EPOCH_ZERO
from jobs.scenarios import LIVE
from jobs.sources import schemas
from jobs.spark import frame_of
from jobs.standing import NIGHTS
from jobs.standing_asked import COUNTS, EPOCH_ROW, TONIGHT, UNDRAWN, EpochRow, counted, undrawn
from jobs.store.keys import DEFAULT_PREFIX
from jobs.subject_features import MAPS

KEYS = ("layout_date", "subject", "subject_bucket", "feature_date")
TOLD = {"_reason": "string", "_skipped": "bigint", "_day": "date"}


@dataclass(frozen=True)
class Due:
    """Rows to draw, and how many of the night's layouts stand as they were drawn, of all."""

    rows: DataFrame
    stood: int = 0
    of: int = 0

    def told(self, night: date) -> DataFrame:
        """Return what the run's manifest tells of it."""
        reason = f"of {self.of:,} layouts stand as they were drawn on an earlier night"
        row = {"_reason": reason, "_skipped": self.stood, "_day": night}
        return frame_of(self.rows.sparkSession, [row], TOLD)


def due(
    subject_features: DataFrame,
    epochs: Sequence[EpochRow],
    days: Sequence[date],
    epoch_days: int,
    before: Drawn | None = None,
) -> Due:
    """Pick the features from which subjects are drawn on nights.

    before : the draws that may stand on the first of the nights, if any may.
    """
    tonight = _tonight(subject_features, days, epoch_days)
    drawn = [_fresh(tonight, [epoch for epoch in epochs if epoch.feature_date == epoch.layout_date])]
    older = [epoch for epoch in epochs if epoch.feature_date < epoch.layout_date]
    counts: Sequence[Row] = ()
    if before is not None:
        # What is due is counted first: where it is nothing, as on most nights, no older features are read.
        asked = [epoch for epoch in epochs if epoch.layout_date == days[0]]
        first = tonight.where(F.col("layout_date") == F.lit(days[0])).select(*TONIGHT)
        counts = first.mapInArrow(partial(counted, epochs=asked, drawn=before), schemas.ddl(COUNTS)).collect()
        needed = {row["feature_date"] for row in counts if not row["is_standing"]}
        wanted = [epoch for epoch in older if epoch.layout_date == days[0] and epoch.feature_date in needed]
        older = [epoch for epoch in older if epoch.layout_date != days[0]]
        if wanted:
            rows = first.mapInArrow(partial(undrawn, epochs=wanted, drawn=before), schemas.ddl(UNDRAWN))
            drawn.append(_older(rows, subject_features, wanted))
    if older:
        drawn.append(_older(_asked(tonight, older), subject_features, older))
    return Due(
        reduce(DataFrame.unionByName, drawn),
        sum(row["layouts"] for row in counts if row["is_standing"]),
        sum(row["layouts"] for row in counts),
    )


def _tonight(subject_features: DataFrame, days: Sequence[date], epoch_days: int) -> DataFrame:
    """Return the features of the nights themselves, with each subject's own day."""
    number = F.pmod(F.xxhash64("subject"), F.lit(epoch_days))
    age = F.pmod(F.datediff("feature_date", F.lit(EPOCH_ZERO)) - number, F.lit(epoch_days)).cast("int")
    own_date = F.greatest(F.date_sub("feature_date", age), F.least("last_active_date", "feature_date"))
    of_days = subject_features.where(F.col("feature_date").isin(list(days)))
    return of_days.withColumns({"layout_date": F.col("feature_date"), "own_date": own_date})


def _fresh(tonight: DataFrame, epochs: Sequence[EpochRow]) -> DataFrame:
    """Return who is drawn from the features of the night itself: nothing else is read of them."""
    listed = _listed(tonight, epochs).groupBy("layout_date", "own_date")
    pages = F.broadcast(listed.agg(F.sum("page_bit").alias("pages")))
    return tonight.join(pages, on=["layout_date", "own_date"], how="inner").select(
        *KEYS, *MAPS, *WHO, "pages"
    )


def _asked(tonight: DataFrame, epochs: Sequence[EpochRow]) -> DataFrame:
    """Return each subject and page with the day it is drawn from."""
    listed = F.broadcast(_listed(tonight, epochs))
    return tonight.select(*TONIGHT).join(listed, on=["layout_date", "own_date"], how="inner")


def _older(asked: DataFrame, subject_features: DataFrame, epochs: Sequence[EpochRow]) -> DataFrame:
    """Give who is asked for their features of the day they are drawn from, or else of the night."""
    days = sorted({epoch.feature_date for epoch in epochs})
    dated = subject_features.where(F.col("feature_date").isin(days))
    there = dated.select("subject", "feature_date", F.lit(True).alias("is_there"))
    drawn = F.when(F.col("is_there"), F.col("feature_date")).otherwise(F.col("layout_date"))
    found = asked.join(there, on=["subject", "feature_date"], how="left").withColumn("feature_date", drawn)
    whom = [F.first(name).alias(name) for name in ("subject_bucket", *WHO)]
    by_day = found.groupBy("subject", "feature_date", "layout_date").agg(
        *whom, F.sum("page_bit").alias("pages")
    )
    read = sorted({*days, *(epoch.layout_date for epoch in epochs)})
    features = subject_features.where(F.col("feature_date").isin(read)).select(
        "subject", "feature_date", *MAPS
    )
    return by_day.join(features, on=["subject", "feature_date"], how="inner").select(
        *KEYS, *MAPS, *WHO, "pages"
    )


def _listed(frame: DataFrame, epochs: Sequence[EpochRow]) -> DataFrame:
    return frame_of(frame.sparkSession, [epoch._asdict() for epoch in epochs], EPOCH_ROW)


def of_night(layouts: DataFrame, subject_features: DataFrame, night: date) -> DataFrame:
    """Return the live layouts that stand on a night, as its own rows would say it."""
    within = F.col("layout_date").between(F.lit(night - timedelta(NIGHTS - 1)), F.lit(night))
    live = layouts.where(within & (F.col("scenario") == LIVE))
    newest = F.max_by(F.struct(*layouts.columns), "layout_date").alias("newest")
    rows = live.groupBy("subject", "page", F.coalesce("variant", F.lit(""))).agg(newest).select("newest.*")
    own = live.where(F.col("layout_date") == F.lit(night))
    defaults = own.where(F.col("subject").startswith(DEFAULT_PREFIX))
    shown = defaults.select("page", F.coalesce("variant", F.lit("")).alias("variant")).distinct()
    present = subject_features.where(F.col("feature_date") == F.lit(night)).select("subject")
    earlier = rows.where(F.col("layout_date") < F.lit(night)).withColumn(
        "variant", F.coalesce("variant", F.lit(""))
    )
    standing = earlier.join(F.broadcast(shown), on=["page", "variant"], how="left_semi").join(
        present, on="subject", how="left_semi"
    )
    found = own.unionByName(standing.select(*layouts.columns).withColumn("layout_date", F.lit(night)))
    return found.where(F.size("widgets") > 0)
