"""policies: for every day, each spec of conf/policies fitted on what was seen up to that day.

Reads   bandit_statistics since the newest checkpoint of bandit_totals, and that; widgets up to the last day;
        widget_stats of the days and the 28 before, for what comes with a widget's reward (jobs.page_goals)
Writes  policies, partition fitted_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

A day's model is a sum of daily statistics: buckets in their order within a day, days from the oldest, aged
by the spec's half-life; the newest `open_days`, whose rewards may still come, do not count. A day before
anything was seen has no policy. Where arms share by their labels, widgets that nobody has seen have
parameters too.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import algorithms, page_goals
from jobs.bandit_totals import Start, half_lives, joined, newest
from jobs.config import FeatureSet, Policy, Reward
from jobs.contracts import contract
from jobs.epochs import widgets_as_of
from jobs.shell import Job, State, Until
from jobs.specs import WIDGET_LABELS
from jobs.statistic_rows import ORDER, daily, first_of
from ml.bandits import statistics
from ml.bandits.statistics import Statistics

Changes = Sequence[Mapping[str, Any]]
Stats = Sequence[Mapping[str, Any]]


def build(
    bandit_statistics: DataFrame,
    widgets: DataFrame,
    bandit_totals: DataFrame | None = None,
    widget_stats: DataFrame | None = None,
    *,
    days: Sequence[date],
    policies: Mapping[str, Policy],
    feature_sets: Mapping[str, FeatureSet],
    reward: Reward,
) -> DataFrame:
    """Fit every spec for every day; without checkpoints the whole of bandit_statistics is read."""
    specs = [spec for _, spec in sorted(policies.items())]
    wanted = bandit_statistics.where(F.col("reward_version") == reward.version).where(
        F.col("feature_set").isin([spec.feature_set for spec in specs])
    )
    totals = bandit_totals
    if totals is None:
        totals = wanted.sparkSession.createDataFrame([], contract("bandit_totals").ddl)
    totals = totals.where(F.col("reward_version") == reward.version)
    closed = days[0] - timedelta(max((spec.open_days for spec in specs), default=0))
    groups = [(spec.page, spec.feature_set, reward.version) for spec in specs if spec.window_days is None]
    before, lives = closed + timedelta(1), half_lives(specs)
    start = newest(wanted, totals, before=before, lives=lives, groups=groups)
    windows = [days[0] - timedelta(spec.window_days) for spec in specs if spec.window_days]
    rows = joined(wanted, totals, start, min(windows, default=None))
    ordered = rows.repartition("page", "feature_set").sortWithinPartitions(*ORDER)
    about = contract("policies")
    listed = widgets.select(
        "widget", "changed_date", "pages", "is_deleted", "created_date", *WIDGET_LABELS
    ).collect()
    fit = partial(
        fit_all,
        specs=specs,
        feature_sets=dict(feature_sets),
        changes=[row.asDict() for row in listed],
        days=list(days),
        start=start,
        stats=_stats(widget_stats, days),
        schema=about.arrow_schema,
    )
    return ordered.mapInArrow(fit, about.ddl)


def fit_all(
    batches: Iterator[pa.RecordBatch],
    *,
    specs: Sequence[Policy],
    feature_sets: Mapping[str, FeatureSet],
    changes: Changes,
    days: Sequence[date],
    start: Start,
    stats: Stats,
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """Fit the specs on the statistics of one partition: whole histories of pages and feature sets."""
    read = list(batches)
    if not read:
        return
    rows = pa.Table.from_batches(read)
    for spec in specs:
        of_spec = (pc.field("page") == spec.page) & (pc.field("feature_set") == spec.feature_set)
        history = rows.filter(of_spec)
        if spec.window_days is None:
            history = start.rows_of(history, spec.half_life_days)
        else:
            history = history.filter(pc.field("half_life_days").is_null())
        if history.num_rows:
            features = feature_sets[spec.feature_set]
            fitted = list(fit_each(spec, features, history, changes, days, stats))
            yield pa.RecordBatch.from_pylist(fitted, schema=schema)


def fit_each(
    spec: Policy,
    features: FeatureSet,
    history: pa.Table,
    changes: Changes,
    days: Sequence[date],
    stats: Stats = (),
) -> Iterator[dict[str, Any]]:
    """Fit one spec for each day that has anything to learn from."""
    seen, by_day = daily(history)
    first = first_of(history)
    window = spec.window_days
    sums_as_of = statistics.as_of_each(
        by_day,
        days,
        window_days=window,
        half_life_days=spec.half_life_days,
        open_days=spec.open_days,
    )
    for day, sums in sums_as_of:
        if sums is None:
            continue
        shown = [seen[arm] for arm in np.flatnonzero(sums.n)]
        labels = widgets_as_of(changes, day)
        arms = shown
        if algorithms.knows_all_widgets(spec):
            current = [name for name, about in labels.items() if _is_on(about, spec.page)]
            arms = sorted({*shown, *current})
        model = algorithms.fit(spec, features, arms, _of_arms(sums, seen, arms), labels)
        oldest = day - timedelta(window - 1) if window else first
        created = {name: about["created_date"] for name, about in labels.items() if about.get("created_date")}
        yield {
            "policy_version": f"{spec.name}@{day}",
            "fitted_date": day,
            "page": spec.page,
            "spec": spec.name,
            "spec_digest": spec.digest,
            "feature_set": spec.feature_set,
            "reward_version": history["reward_version"][0].as_py(),
            "fitted_from": next(then for then, _ in by_day if then >= oldest) if window else first,
            "widgets": arms,
            "n": _of_arms(sums, seen, arms).n,
            **algorithms.parameters(model),
            "worths": page_goals.worths(_sums(stats, spec, day), created, day, arms).ravel()
            if algorithms.expects_reward(spec)
            else None,
        }


def _stats(widget_stats: DataFrame | None, days: Sequence[date]) -> Stats:
    """Collect what was earned by day, page and widget: as many numbers as widgets and days."""
    if widget_stats is None:
        return ()
    first = days[0] - timedelta(page_goals.WINDOW - 1)
    sums = [F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in page_goals.SUMS]
    by_day = widget_stats.where(F.col("stat_date") >= F.lit(first)).groupBy("stat_date", "page", "widget")
    return [row.asDict() for row in by_day.agg(*sums).collect()]


def _sums(stats: Stats, spec: Policy, day: date) -> dict[str, dict[str, int]]:
    """Return by widget of a spec's page what was earned in the days that count as of a day."""
    found: dict[str, dict[str, int]] = {}
    oldest, newest_day = day - timedelta(page_goals.WINDOW - 1), day - timedelta(spec.open_days)
    for row in stats:
        if row["page"] == spec.page and oldest <= row["stat_date"] <= newest_day:
            of = found.setdefault(row["widget"], dict.fromkeys(page_goals.SUMS, 0))
            for name in page_goals.SUMS:
                of[name] += row[name]
    return found


def _of_arms(sums: Statistics, seen: Sequence[str], arms: Sequence[str]) -> Statistics:
    """Return the statistics of these arms, in this order; zeros for those that nobody has seen."""
    places = {widget: place for place, widget in enumerate(seen)}
    chosen = statistics.empty(len(arms), sums.width)
    known = [place for place, arm in enumerate(arms) if arm in places]
    at = [places[arms[place]] for place in known]
    for name in ("n", "xx", "rx", "rr"):
        getattr(chosen, name)[known] = getattr(sums, name)[at]
    return chosen


def _is_on(widget: Mapping[str, Any], page: str) -> bool:
    return not widget["is_deleted"] and page in (widget["pages"] or [])


JOB = Job(
    build,
    reads=(
        Until("bandit_statistics"),
        Until("widgets"),
        State("bandit_totals"),
        Until("widget_stats", before=page_goals.WINDOW),
    ),
    writes="policies",
)

if __name__ == "__main__":
    JOB.main()
