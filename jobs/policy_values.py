"""policy_values: what each spec would have earned, by estimator and goal, over a night and over the last 28.

Each day's decisions are judged with parameters of the days before (`judgements`), so a value is that of the
spec as it learns, night by night. A serving counts from the night on by which all that may come of it has
come (conf's windows: `Config.reward_hours`), so that a night's rows do not change afterwards. Workers sum
over their subjects; what comes here is a few numbers an estimate.

Reads   judgements, of the days and the 28 before
Writes  policy_values, partition as_of_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from jobs.config import MORE, Gate
from jobs.contracts import contract
from jobs.servings import GOALS, Servings, Wanted, served, summarised
from jobs.shell import Buckets, Job
from ml.ope.summarise import Prepared, Shares
from ml.ope.summary import Summary

WINDOW = 28
EVERYONE = "everyone"
SERVED = "(served)"
OBSERVED = "observed"

Name = tuple[str, str, date, date]  # spec, audience, first and last day


def build(
    buckets: DataFrame, *, days: Sequence[date], business_time_zone: str, reward_hours: int, gate: Gate
) -> DataFrame:
    """Estimate every spec's value over each night's servings and over the window that ends with it."""
    work = partial(_summaries, days=list(days), zone=business_time_zone, hours=reward_hours)
    rows = [
        row
        for (page, name), summary in summarised(buckets, work, Wanted(more=gate.more)).items()
        for row in _rows(page, name, summary)
    ]
    about = contract("policy_values")
    table = pa.Table.from_pylist(rows, about.arrow_schema.remove_metadata())
    return buckets.sparkSession.createDataFrame(table, about.ddl)


def _summaries(
    page: str, by_spec: Mapping[str, Servings], *, days: Sequence[date], zone: str, hours: int
) -> Iterator[tuple[Name, Summary]]:
    del page
    own = {f"{policy} {SERVED}": servings for policy, servings in served(by_spec).items()}
    # A night more than the windows have: a draw that was counted then is not counted again.
    start = days[0] - timedelta(WINDOW)
    count = (days[-1] - start).days + 1
    for spec, servings in {**by_spec, **own}.items():
        prepared, logged, first = Prepared.of(servings.judged), servings.logged(), servings.first()
        nights = (servings.nights(zone, hours) - np.datetime64(start)).astype(np.int64)
        shown = (servings.days - np.datetime64(start)).astype(np.int64)
        is_known = (nights >= 0) & (nights < count)
        for audience, is_own in _audiences(servings).items():
            rows = is_own & is_known
            part = {name: values[rows] for name, values in first.items()}
            shares = Shares.of(logged.rows(rows), part, nights[rows], count)
            for day in days:
                last = (day - start).days
                for length in (1, WINDOW) if audience == EVERYONE else (WINDOW,):
                    begin = last + 1 - length
                    within = rows & (nights >= begin) & (nights <= last)
                    if within.any():
                        is_open = is_own & (shown >= begin) & (shown <= last) & (nights > last)
                        yield (
                            (spec, audience, start + timedelta(begin), day),
                            prepared.summary(shares, begin, last + 1, within, int(is_open.sum())),
                        )


def _audiences(servings: Servings) -> dict[str, NDArray[np.bool_]]:
    """Return by audience which servings were for it: everyone, each role, each segment."""
    roles, segments = (servings.table[name].to_pylist() for name in ("role", "segments"))
    names = [{role, *(own or ())} for role, own in zip(roles, segments, strict=True)]
    found = sorted({name for own in names for name in own if name})
    by_name = {name: np.array([name in own for own in names], np.bool_) for name in found}
    return {EVERYONE: np.ones(len(names), np.bool_), **by_name}


def _rows(page: str, name: Name, summary: Summary) -> Iterator[dict[str, Any]]:
    spec, audience, first, last = name
    weights = summary.weights_of("target")
    sums = summary.estimates
    about = {
        "as_of_date": last, "first_date": first, "page": page, "audience": audience,
        "servings": sums.rows, "subjects": sums.clusters,
        "effective_servings": weights.effective_rows, "mean_weight": weights.mean,
        "largest_weight": weights.largest, "unsupported": float(sum(summary.unsupported.values())),
        "open_share": summary.open_rows / (summary.open_rows + sums.rows),
        "calibration": min((each.p_value for each in summary.tallies.calibrations()), default=1.0),
    }  # fmt: skip
    for estimate in sums.recipes:
        goal, estimator = estimate.split("/", 1)
        if goal not in (*GOALS, *MORE) or spec.endswith(SERVED) != (estimator == OBSERVED):
            continue
        interval = sums.interval(estimate)
        if math.isnan(interval.value):
            continue
        ends = {"lower": interval.lower, "upper": interval.upper, "error": interval.error}
        known = {end: None if math.isnan(value) else value for end, value in ends.items()}
        yield {**about, "spec": spec, "estimator": estimator, "goal": goal, "value": interval.value, **known}


JOB = Job(build, reads=(Buckets(("judgements",), before=WINDOW),), writes="policy_values")

if __name__ == "__main__":
    JOB.main()
