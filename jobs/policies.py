"""policies: for every day, each spec of conf/policies fitted on what was seen up to that day.

Reads   bandit_statistics and widgets, up to the last day
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

from jobs import algorithms
from jobs.config import FeatureSet, Policy, Reward
from jobs.contracts import contract
from jobs.epochs import widgets_as_of
from jobs.shell import Job, Until
from ml.bandits import statistics
from ml.bandits.statistics import Statistics

DailyStatistics = list[tuple[date, Statistics]]
Changes = Sequence[Mapping[str, Any]]

ORDER = ("page", "feature_set", "decision_date", "subject_bucket", "widget")


LABELS = ("theme", "core_theme", "intent", "kind", "size", "page_context")


def build(
    bandit_statistics: DataFrame,
    widgets: DataFrame,
    *,
    days: Sequence[date],
    policies: Mapping[str, Policy],
    feature_sets: Mapping[str, FeatureSet],
    reward: Reward,
) -> DataFrame:
    """Fit every spec for every day."""
    specs = [spec for _, spec in sorted(policies.items())]
    wanted = bandit_statistics.where(F.col("reward_version") == reward.version).where(
        F.col("feature_set").isin([spec.feature_set for spec in specs])
    )
    grouped = wanted.select(*ORDER, "reward_version", "n", "xx", "rx", "rr").repartition(
        "page", "feature_set"
    )
    ordered = grouped.sortWithinPartitions(*ORDER)
    about = contract("policies")
    listed = widgets.select("widget", "changed_date", "pages", "is_deleted", *LABELS).collect()
    fit = partial(
        fit_all,
        specs=specs,
        feature_sets=dict(feature_sets),
        changes=[row.asDict() for row in listed],
        days=list(days),
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
        if history.num_rows:
            features = feature_sets[spec.feature_set]
            fitted = list(fit_each(spec, features, history, changes, days))
            yield pa.RecordBatch.from_pylist(fitted, schema=schema)


def daily(rows: pa.Table) -> tuple[list[str], DailyStatistics]:
    """Return the arms, in the order of their names, and the statistics of each day, buckets summed in order.

    `rows` are sorted by day, bucket and widget.
    """
    widgets = sorted(set(rows["widget"].to_pylist()))
    places = {widget: place for place, widget in enumerate(widgets)}
    arms = np.array([places[widget] for widget in rows["widget"].to_pylist()], dtype=np.int64)
    columns = {name: rows[name].combine_chunks() for name in ("n", "xx", "rx", "rr")}
    width = len(columns["rx"][0])
    n = columns["n"].to_numpy(zero_copy_only=False)
    rr = columns["rr"].to_numpy(zero_copy_only=False)
    xx = _numbers(columns["xx"], statistics.triangle(width))
    rx = _numbers(columns["rx"], width)
    dates = rows["decision_date"].to_pylist()
    found: DailyStatistics = []
    for row, (day, arm) in enumerate(zip(dates, arms, strict=True)):
        if not found or found[-1][0] != day:
            found.append((day, statistics.empty(len(widgets), width)))
        sums = found[-1][1]
        sums.n[arm] += n[row]
        sums.xx[arm] += xx[row]
        sums.rx[arm] += rx[row]
        sums.rr[arm] += rr[row]
    return widgets, found


def fit_each(
    spec: Policy, features: FeatureSet, history: pa.Table, changes: Changes, days: Sequence[date]
) -> Iterator[dict[str, Any]]:
    """Fit one spec for each day that has anything to learn from."""
    seen, by_day = daily(history)
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
        oldest = day - timedelta(window - 1) if window else by_day[0][0]
        yield {
            "policy_version": f"{spec.name}@{day}",
            "fitted_date": day,
            "page": spec.page,
            "spec": spec.name,
            "spec_digest": spec.digest,
            "feature_set": spec.feature_set,
            "reward_version": history["reward_version"][0].as_py(),
            "fitted_from": next(then for then, _ in by_day if then >= oldest),
            "widgets": arms,
            "n": _of_arms(sums, seen, arms).n,
            **algorithms.parameters(model),
        }


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


def _numbers(column: pa.ListArray, width: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = column.flatten().to_numpy(zero_copy_only=False)
    if len(values) != len(column) * width:
        raise ValueError(
            f"statistics of one feature set must all have {width} numbers: give a changed set a new name"
        )
    return values.reshape(len(column), width)


JOB = Job(build, reads=(Until("bandit_statistics"), Until("widgets")), writes="policies")

if __name__ == "__main__":
    JOB.main()
