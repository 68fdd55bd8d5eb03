"""layouts: one draw per subject and page, drawn at the end of layout_date and shown on the next day.

Reads   subject_features (of the days and the 7 before), policies and widgets (up to the days), and layouts
        (of the days: rows of other scenarios are handed through, since a day is replaced as a whole);
        releases, which say what policy is live as of a night: until one does, the page's own is
Writes  layouts, partition layout_date and subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

A subject's draw stands while its epoch lasts. An epoch begins on the day on which the subject was last
active, on its own day of every `epoch_days` by hash, or on the day since when the page has its policy or
candidates, whichever came last. Features and policy are those of that day, so any order of nights gives
the same layouts. Positions, temperature, floor, goals and rules are those of the run: when they change,
every draw does. Whom a widget is for is asked of a subject's role and region as of the night.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import steering
from jobs.algorithms import PARAMETERS
from jobs.config import ConfigError, FeatureSet, Page, Policy
from jobs.contracts import contract
from jobs.drawing import PageRules, draw_pages
from jobs.epochs import EPOCH_ZERO, Epochs, widgets_as_of
from jobs.inputs import MissingInput
from jobs.kinds import NOTHING_SAID, Kinds
from jobs.labels import LABELS
from jobs.live import POLICY, LivePolicies
from jobs.page_words import named
from jobs.scenarios import BACKFILL, LIVE
from jobs.shell import Days, Job, State, Until
from jobs.subject_features import MAPS
from jobs.variants import NO_NAMES, VariantNames

LONGEST_EPOCH = 7
DEFAULT_VARIANTS = 64
DEFAULT = "default:"

# layout_date, own epoch day, day of the draw, page bit
EpochRow = tuple[date, date, date, int]
EPOCH_ROW = "layout_date date, own_date date, feature_date date, page_bit long"

LOG = logging.getLogger(__name__)
KEYS = ("layout_date", "subject", "subject_bucket", "feature_date")
WHO = ("role", "region")


def build(
    subject_features: DataFrame,
    policies: DataFrame,
    widgets: DataFrame,
    layouts: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    pages: Mapping[str, Page],
    specs: Mapping[str, Policy],
    feature_sets: Mapping[str, FeatureSet],
    subject_buckets: int,
    seed: int,
    kinds: Kinds = NOTHING_SAID,
    variants: VariantNames = NO_NAMES,
    served_until: date | None = None,
    scenario: str = LIVE,
    epoch_days: int = LONGEST_EPOCH,
) -> DataFrame:
    """Draw every page for every subject with features, and the defaults for those without.

    `served_until` is the night of the live generation: what readers saw of it and of older nights stays as
    it was served.

    Raises
    ------
    MissingInput
        When a page has no candidate as of a draw's day, or a night no features to draw from: everyone would
        get a default layout.
    ConfigError
        When `epoch_days` asks for more days than are read.

    """
    if not 1 <= epoch_days <= LONGEST_EPOCH:
        raise ConfigError(
            f"conf: jobs.layouts.epoch_days = {epoch_days} cannot be: it must lie in 1 to {LONGEST_EPOCH}."
        )
    plans = _plans(
        subject_features, policies, widgets, releases,
        days=days, pages=pages, specs=specs, kinds=kinds, length=epoch_days,
    )  # fmt: skip
    _require_features(plans)
    rows = _epoch_rows(plans)
    rules = [
        replace(one, variants=variants.of(one.page))
        for one in _rules(plans, rows, policies, specs, feature_sets, seed=seed, scenario=scenario)
    ]
    to_draw = _subject_rows(subject_features, rows, days, epoch_days).unionByName(
        _default_rows(subject_features, plans, subject_buckets)
    )
    ordered = to_draw.repartition("subject").sortWithinPartitions("layout_date", "subject", "feature_date")
    about = contract("layouts")
    drawn = ordered.mapInArrow(partial(draw_pages, rules=rules, schema=about.arrow_schema), about.ddl)
    earlier = layouts.where(F.col("layout_date").isin(list(days))).select(*about.columns)
    if scenario == LIVE and served_until is not None and days[0] <= served_until:
        return _beside_served(drawn, earlier, served_until)
    return drawn.unionByName(earlier.where(F.col("scenario") != scenario))


def _beside_served(drawn: DataFrame, earlier: DataFrame, served_until: date) -> DataFrame:
    """Keep the live rows of nights that were served; what is drawn otherwise now is a backfill's."""
    is_served = F.col("layout_date") <= F.lit(served_until)
    served = earlier.where(is_served & (F.col("scenario") == LIVE))
    differing = drawn.where(is_served).exceptAll(served).withColumn("scenario", F.lit(BACKFILL))
    kept = earlier.where(~F.col("scenario").isin(LIVE, BACKFILL))
    return drawn.where(~is_served).unionByName(served).unionByName(differing).unionByName(kept)


def default_subject(page: str, number: int) -> str:
    """Return the name under which a page's default variant is drawn."""
    return f"{DEFAULT}{page}:{number:02d}"


def is_default(subject: str) -> bool:
    """Tell a default variant from a subject."""
    return subject.startswith(DEFAULT)


@dataclass(frozen=True)
class Plan:
    """A page while one spec is live: the nights that show it, and the epochs of its draws."""

    spec: str
    nights: list[date]
    epochs: Epochs


def _plans(
    subject_features: DataFrame,
    policies: DataFrame,
    widgets: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    pages: Mapping[str, Page],
    specs: Mapping[str, Policy],
    kinds: Kinds,
    length: int,
) -> list[Plan]:
    """Say for each page which specs are live on the days: what `releases` says, else the page's own."""
    known = sorted(
        row["feature_date"] for row in subject_features.select("feature_date").distinct().collect()
    )
    changes = [
        row.asDict()
        for row in widgets.select(
            "widget", "changed_date", "pages", "is_deleted", "kind", "purpose", *LABELS
        ).collect()
    ]
    fitted = policies.select("spec_digest", "fitted_date").collect()
    verdicts = releases.where(F.col("kind") == POLICY).select("kind", "name", "as_of_date", "details")
    told = [row.asDict() for row in verdicts.collect()]
    found = []
    for _, page in sorted(pages.items()):
        live = LivePolicies.of(page, told)
        by_spec: dict[str, list[date]] = {}
        for day in days:
            by_spec.setdefault(live.spec(day, specs), []).append(day)
        for spec, nights in sorted(by_spec.items()):
            digest = specs[spec].digest
            own = sorted(row["fitted_date"] for row in fitted if row["spec_digest"] == digest)
            served = [then for then in own if live.may_serve(spec, then)]
            found.append(
                Plan(spec, nights, Epochs(page, known, served, changes, length, live.changes, kinds))
            )
    return found


def _require_features(plans: Sequence[Plan]) -> None:
    for plan in plans:
        of = plan.epochs
        for day in plan.nights:
            # Who has no features on the night itself is drawn nothing of their own: they may have left.
            if day not in of.usable(day):
                raise MissingInput(
                    f"page {of.page.page!r} could only show defaults after {day}: subject_features has no row"
                    " of that day. Run lake_etl for it first."
                )


def _epoch_rows(plans: Sequence[Plan]) -> list[EpochRow]:
    return [
        (day, own, plan.epochs.begins(day, own), 1 << place)
        for place, plan in enumerate(plans)
        for day in plan.nights
        for own in plan.epochs.own_days(day)
    ]


def _rules(
    plans: Sequence[Plan],
    rows: Sequence[EpochRow],
    policies: DataFrame,
    specs: Mapping[str, Policy],
    feature_sets: Mapping[str, FeatureSet],
    *,
    seed: int,
    scenario: str,
) -> list[PageRules]:
    """Give each plan its policies and candidates by day of the draw, as plain values for the workers."""
    drawn_days = [sorted({row[2] for row in rows if row[3] == 1 << place}) for place in range(len(plans))]
    versions = [
        {drawn: f"{plan.spec}@{newest}" for drawn in days if (newest := plan.epochs.policy_day(drawn))}
        for plan, days in zip(plans, drawn_days, strict=True)
    ]
    fitted = _fitted(policies, {version for of_page in versions for version in of_page.values()})
    rules = []
    for plan, days, by_day in zip(plans, drawn_days, versions, strict=True):
        page = plan.epochs.page
        candidates = {drawn: plan.epochs.candidates(drawn) for drawn in days}
        if days and (astray := plan.epochs.out_of_place(days[-1])):
            LOG.warning(
                "Page %s is a last call: %s would send the buyer back to browsing, and is left out.",
                page.page,
                named(astray),
            )
        empty = [drawn for drawn, widgets in candidates.items() if not widgets]
        if empty:
            raise MissingInput(
                f"page {page.page!r} has no widget as of {empty[0]}: name it in a widget's pages"
                " (a last call takes those that conf/kinds.yaml does not send back to browsing)."
            )
        labels = {}
        if page.steered is not None:
            labels = {drawn: widgets_as_of(plan.epochs.changes, drawn) for drawn in days}
            _warn(page, candidates[days[-1]], labels[days[-1]], days[-1])
        spec = specs[plan.spec]
        models = {drawn: fitted[version] for drawn, version in by_day.items()}
        features = feature_sets[spec.feature_set]
        rules.append(PageRules(page, spec, features, seed, scenario, models, candidates, labels))
    return rules


def _warn(page: Page, candidates: Sequence[str], labels: Mapping[str, Mapping[str, Any]], day: date) -> None:
    """Tell the operator of rules that the night's widgets cannot follow."""
    for told in steering.unknown(page, candidates):
        LOG.warning(
            "Page %s: %s, which is none of its widgets as of %s: it is left out.", page.page, told, day
        )
    anybody = steering.eligible(page, candidates, None, None)
    text = steering.bind(page, anybody, labels)
    if not anybody or (text and steering.read(text).is_empty):
        LOG.warning(
            "Page %s: its rules leave no widget for everyone as of %s: its defaults are drawn without them.",
            page.page,
            day,
        )


def _fitted(policies: DataFrame, versions: Collection[str]) -> dict[str, dict[str, Any]]:
    """Collect these policies: a few rows a page."""
    wanted = policies.where(F.col("policy_version").isin(list(versions)))
    rows = wanted.select("policy_version", "widgets", "worths", *PARAMETERS).collect()
    return {row["policy_version"]: _plain(row.asDict()) for row in rows}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: np.array(row[name] or (), dtype=np.float64) for name in PARAMETERS}


def _subject_rows(
    subject_features: DataFrame, rows: Sequence[EpochRow], days: Sequence[date], epoch_days: int
) -> DataFrame:
    """Pick the rows of features that draw something: those of the day on which a subject's epoch began."""
    keys = ["layout_date", "own_date", "feature_date"]
    listed = subject_features.sparkSession.createDataFrame(list(rows), EPOCH_ROW)
    epochs = listed.groupBy(*keys).agg(F.sum("page_bit").alias("pages"))
    shown_from = F.greatest("feature_date", F.lit(min(days)))
    shown_to = F.least(F.date_add("feature_date", epoch_days - 1), F.lit(max(days)))
    dated = subject_features.where(shown_from <= shown_to).withColumn(
        "layout_date", F.explode(F.sequence(shown_from, shown_to))
    )
    number = F.pmod(F.xxhash64("subject"), F.lit(epoch_days))
    age = F.pmod(F.datediff("layout_date", F.lit(EPOCH_ZERO)) - number, F.lit(epoch_days)).cast("int")
    own_date = F.greatest(F.date_sub("layout_date", age), F.least("last_active_date", "feature_date"))
    chosen = dated.withColumn("own_date", own_date).join(F.broadcast(epochs), on=keys, how="inner")
    # Who left, or took consent back, since the epoch began has no features of the night itself.
    # Whom a widget is for is asked as of the night, too.
    present = subject_features.select(F.col("feature_date").alias("layout_date"), "subject", *WHO)
    kept = chosen.drop(*WHO).join(present, on=["layout_date", "subject"], how="inner")
    return kept.select(*KEYS, *MAPS, *WHO, "pages")


def _default_rows(subject_features: DataFrame, plans: Sequence[Plan], subject_buckets: int) -> DataFrame:
    rows = [
        (
            day,
            default_subject(plan.epochs.page.page, number),
            number % subject_buckets,
            plan.epochs.begins(day, plan.epochs.hash_day(day, number)),
            1 << place,
        )
        for place, plan in enumerate(plans)
        for day in plan.nights
        for number in range(DEFAULT_VARIANTS)
    ]
    named = subject_features.sparkSession.createDataFrame(
        rows, "layout_date date, subject string, subject_bucket int, feature_date date, pages long"
    )
    unknown = [F.lit(None).cast("map<string,double>").alias(name) for name in MAPS]
    unknown += [F.lit(None).cast("string").alias(name) for name in WHO]
    return named.select(*KEYS, *unknown, "pages")


JOB = Job(
    build,
    reads=(
        Until("subject_features", before=LONGEST_EPOCH),
        Until("policies"),
        Until("widgets"),
        Days("layouts"),
        State("releases"),
    ),
    writes="layouts",
)

if __name__ == "__main__":
    JOB.main()
