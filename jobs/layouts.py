"""layouts: one draw per subject and page, drawn at the end of layout_date and shown from the next day on.

A night draws for whom an epoch begins, and whose draw cannot stand, since what it was drawn by changed: the
page's settings, policy, candidates or labels, the subject's role or region, the features of its day, or the
code. Everybody else's draws stand where they are (`jobs.standing`). Of several nights at once only the first
leans on what stands, the others are drawn whole; so are nights of other scenarios.

Reads   subject_features (of the days and the 7 before), policies and widgets (up to the days), and layouts
        (of the days and the 6 before; rows of other scenarios of the days are handed through, since a day is
        replaced as a whole); releases, which say what policy is live as of a night: until one does, the
        page's own is
Writes  layouts, partition layout_date and subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

An epoch begins on the day on which the subject was last active, on its own day of every `epoch_days` by hash,
or on the day since when the page has its policy or candidates, whichever came last. Features and policy are
those of that day, so any order of nights gives the same layouts. Positions, temperature, floor, goals and
rules are those of the run: when they change, every draw does. Whom a widget is for is asked of a subject's
role and region as of the night.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial, reduce
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import steering
from jobs.algorithms import PARAMETERS
from jobs.config import ConfigError, FeatureSet, Page, Policy
from jobs.contracts import contract
from jobs.drawing import WHO, PageRules, draw_pages
from jobs.drawn_before import Drawn
from jobs.due import KEYS, due, of_night
from jobs.epochs import CHANGES, Epochs, widgets_as_of
from jobs.inputs import MissingInput
from jobs.kinds import NOTHING_SAID, Kinds
from jobs.live import POLICY, LivePolicies
from jobs.page_words import named
from jobs.scenarios import BACKFILL, LIVE
from jobs.shell import Days, Job, State, Until
from jobs.spark import collected, frame_of
from jobs.standing import NIGHTS
from jobs.standing_asked import EpochRow
from jobs.store.encode import COLUMNS as SERVED
from jobs.subject_features import MAPS
from jobs.variants import NO_NAMES, VariantNames

LONGEST_EPOCH = NIGHTS
DEFAULT_VARIANTS = 64
DEFAULT = "default:"
SEEN = ("variant", *SERVED)
"""What readers see of a draw: not `terms`, say, which other code may name otherwise."""

LOG = logging.getLogger(__name__)


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
    drawn_before: Drawn | None = None,
    known_days: Mapping[str, Collection[date]] | None = None,
    scenario: str = LIVE,
    epoch_days: int = LONGEST_EPOCH,
) -> DataFrame:
    """Draw pages for subjects with features whose draw does not stand, and the defaults for those without.

    `known_days` names by table the days that have rows, others than those that are read among them; where it
    is not told, the rows are asked.
    `served_until` is the night of the live generation: what readers saw of it and of older nights stays as
    it was served. `drawn_before` says what the first of the days may lean on; without it every page is drawn.

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
    with_features = known_days["subject_features"] if known_days else _days_of(subject_features)
    plans = _plans(
        policies, widgets, releases,
        days=days, known=sorted(with_features), pages=pages, specs=specs, kinds=kinds,
        length=epoch_days,
    )  # fmt: skip
    _require_features(plans)
    rules = _rules(plans, policies, specs, feature_sets, seed=seed, scenario=scenario, names=variants)
    epochs = _epoch_rows(plans, rules)
    is_live = scenario == LIVE
    served = [day for day in days if is_live and served_until is not None and day <= served_until]
    may_stand = drawn_before if is_live and not served else None
    found = due(subject_features, epochs, days, epoch_days, may_stand)
    to_draw = found.rows.unionByName(_default_rows(subject_features, plans, subject_buckets))
    ordered = to_draw.repartition("subject").sortWithinPartitions("layout_date", "subject", "feature_date")
    about = contract("layouts")
    drawn = ordered.mapInArrow(partial(draw_pages, rules=rules, schema=about.arrow_schema), about.ddl)
    kept = layouts.select(*about.columns)
    earlier = kept.where(F.col("layout_date").isin(list(days)))
    if served:
        stands = [of_night(kept, subject_features, day) for day in served]
        return _beside_served(drawn, earlier, reduce(DataFrame.unionByName, stands), served[-1])
    has_rows = known_days is None or not set(days).isdisjoint(known_days["layouts"])
    rows = drawn.unionByName(earlier.where(F.col("scenario") != scenario)) if has_rows else drawn
    return rows.unionByName(found.told(days[0]), allowMissingColumns=True) if found.stood else rows


def _beside_served(drawn: DataFrame, earlier: DataFrame, stood: DataFrame, served_until: date) -> DataFrame:
    """Keep the live rows of nights that were served; what readers would see otherwise now is a backfill's.

    stood : the layouts that stand on those nights.
    """
    seen = ["layout_date", *SEEN]
    is_served = F.col("layout_date") <= F.lit(served_until)
    served = earlier.where(is_served & (F.col("scenario") == LIVE))
    now = drawn.where(is_served & (F.size("widgets") > 0))
    was = stood.withColumn("variant", F.coalesce("variant", F.lit(""))).select(*seen)
    differing = now.join(was, on=seen, how="left_anti").withColumn("scenario", F.lit(BACKFILL))
    kept = earlier.where(~F.col("scenario").isin(LIVE, BACKFILL))
    return drawn.where(~is_served).unionByName(served).unionByName(differing).unionByName(kept)


def late(
    layouts: DataFrame, *, days: Sequence[date], served_until: date | None = None, scenario: str = LIVE
) -> DataFrame:
    """Name the later nights that lean on these: they are drawn again, unless they were served."""
    written = [day for day in days if served_until is None or day > served_until]
    is_later = F.col("layout_date") > F.lit(min(written, default=date.max))
    is_live = (F.col("scenario") == LIVE) & F.lit(scenario == LIVE)
    return layouts.where(is_later & is_live).select(F.col("layout_date").alias("day")).distinct()


DEFAULT_ROW = {
    "layout_date": "date", "subject": "string", "subject_bucket": "int", "feature_date": "date",
    "pages": "bigint",
}  # fmt: skip


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


def _days_of(subject_features: DataFrame) -> set[date]:
    return {row["feature_date"] for row in subject_features.select("feature_date").distinct().collect()}


def _plans(
    policies: DataFrame,
    widgets: DataFrame,
    releases: DataFrame,
    *,
    days: Sequence[date],
    known: Sequence[date],
    pages: Mapping[str, Page],
    specs: Mapping[str, Policy],
    kinds: Kinds,
    length: int,
) -> list[Plan]:
    """Say for each page which specs are live on the days: what `releases` says, else the page's own."""
    verdicts = releases.where(F.col("kind") == POLICY).select("kind", "name", "as_of_date", "details")
    changed, fitted, said = collected(
        widgets.select(*CHANGES), policies.select("spec_digest", "fitted_date"), verdicts
    )
    changes, told = [row.asDict() for row in changed], [row.asDict() for row in said]
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


def _drawn_days(plan: Plan) -> list[date]:
    """Return the days that a plan's draws may be of, in rising order."""
    of = plan.epochs
    return sorted({of.begins(day, own) for day in plan.nights for own in of.own_days(day)})


def _epoch_rows(plans: Sequence[Plan], rules: Sequence[PageRules]) -> list[EpochRow]:
    return [
        EpochRow(
            day, own, drawn := plan.epochs.begins(day, own),
            1 << place, rule.page.page, len(rule.variants), rule.terms[drawn], rule.asks_who,
        )
        for place, (plan, rule) in enumerate(zip(plans, rules, strict=True))
        for day in plan.nights
        for own in plan.epochs.own_days(day)
    ]  # fmt: skip


def _rules(
    plans: Sequence[Plan],
    policies: DataFrame,
    specs: Mapping[str, Policy],
    feature_sets: Mapping[str, FeatureSet],
    *,
    seed: int,
    scenario: str,
    names: VariantNames,
) -> list[PageRules]:
    """Give each plan its policies and candidates by day of the draw, as plain values for the workers."""
    drawn_days = [_drawn_days(plan) for plan in plans]
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
        of = names.of(page)
        rule = PageRules(page, spec, features, seed, scenario, models, candidates, labels, of)
        rules.append(replace(rule, terms={drawn: rule.terms_of(drawn) for drawn in days}))
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


def _default_rows(subject_features: DataFrame, plans: Sequence[Plan], subject_buckets: int) -> DataFrame:
    rows = [
        {
            "layout_date": day,
            "subject": default_subject(plan.epochs.page.page, number),
            "subject_bucket": number % subject_buckets,
            "feature_date": plan.epochs.begins(day, plan.epochs.hash_day(day, number)),
            "pages": 1 << place,
        }
        for place, plan in enumerate(plans)
        for day in plan.nights
        for number in range(DEFAULT_VARIANTS)
    ]
    named = frame_of(subject_features.sparkSession, rows, DEFAULT_ROW)
    unknown = [F.lit(None).cast("map<string,double>").alias(name) for name in MAPS]
    unknown += [F.lit(None).cast("string").alias(name) for name in WHO]
    return named.select(*KEYS, *unknown, "pages")


JOB = Job(
    build,
    reads=(
        Until("subject_features", before=LONGEST_EPOCH),
        Until("policies"),
        Until("widgets"),
        Days("layouts", before=NIGHTS - 1),
        State("releases"),
    ),
    writes="layouts",
    late=late,
    late_reads=(Days("layouts", before=-1, after=NIGHTS - 1),),
)

if __name__ == "__main__":
    JOB.main()
