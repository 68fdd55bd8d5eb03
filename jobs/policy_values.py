"""policy_values: what each spec would have earned, by estimator and goal, over a day and over the last 28.

Each day's decisions are judged with parameters of the days before (`judgements`), so a value is that of the
spec as it learns, night by night. Workers sum over their subjects; what comes here is a few numbers an
estimate.

Reads   judgements, of the days and the 27 before
Writes  policy_values, partition as_of_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from pyspark.sql import DataFrame

from jobs.config import Gate
from jobs.contracts import contract
from jobs.servings import GOALS, Servings, summarised
from jobs.shell import Days, Job
from ml.ope.summary import Summary, of_one

WINDOW = 28
EVERYONE = "everyone"
SERVED = "(served)"
OBSERVED = "observed"

Name = tuple[str, str, date, date]  # spec, audience, first and last day


def build(judgements: DataFrame, *, days: Sequence[date], business_time_zone: str, gate: Gate) -> DataFrame:
    """Estimate every spec's value over each day and over the window that ends with it."""
    work = partial(_summaries, days=list(days), zone=business_time_zone, hours=gate.open_hours)
    rows = [
        row
        for (page, name), summary in summarised(judgements, work).items()
        for row in _rows(page, name, summary)
    ]
    return judgements.sparkSession.createDataFrame(
        [tuple(row[name] for name in contract("policy_values").columns) for row in rows],
        contract("policy_values").ddl,
    )


def end_of(day: date, zone: str) -> datetime:
    """Return the instant at which a business day is over, in UTC."""
    after = day + timedelta(1)
    return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))


def _summaries(
    page: str, by_spec: Mapping[str, Servings], *, days: Sequence[date], zone: str, hours: int
) -> Iterator[tuple[Name, Summary]]:
    del page
    for spec, servings in {**by_spec, **_served(by_spec)}.items():
        served, roles = servings.days, np.array(servings.table["role"].to_pylist(), dtype=object)
        for day in days:
            for first, audiences in (
                (day, [EVERYONE]),
                (day - timedelta(WINDOW - 1), [EVERYONE, *_roles(roles)]),
            ):
                within = (served >= np.datetime64(first)) & (served <= np.datetime64(day))
                for audience in audiences:
                    wanted = within if audience == EVERYONE else within & (roles == audience)
                    part = servings.rows(np.flatnonzero(wanted))
                    if len(part.judged):
                        open_rows = part.open_rows(end_of(day, zone), hours)
                        yield (
                            (spec, audience, first, day),
                            of_one(part.judged, part.logged(), part.first(), open_rows),
                        )


def _served(by_spec: Mapping[str, Servings]) -> dict[str, Servings]:
    """Return what was served as targets of its own, by logging policy: what came of it, with weight 1."""
    servings = next(iter(by_spec.values()))
    policies = np.array(servings.table["logging_policy"].to_pylist(), dtype=object)
    found = {}
    for policy in sorted(set(policies.tolist())):
        own = servings.rows(np.flatnonzero(policies == policy))
        judged = replace(own.judged, probabilities=own.judged.propensities, predicted=None, expected=None)
        found[f"{policy} {SERVED}"] = Servings(own.table, judged)
    return found


def _roles(roles: np.ndarray) -> list[str]:
    return sorted({role for role in roles.tolist() if role})


def _rows(page: str, name: Name, summary: Summary) -> Iterator[dict[str, Any]]:
    spec, audience, first, last = name
    weights = summary.weights_of("target")
    sums = summary.estimates
    about = {
        "as_of_date": last, "first_date": first, "page": page, "audience": audience,
        "servings": sums.rows, "subjects": sums.clusters,
        "effective_servings": weights.effective_rows, "mean_weight": weights.mean,
        "largest_weight": weights.largest, "unsupported": float(sum(summary.unsupported.values())),
        "open_share": summary.open_rows / sums.rows,
        "calibration": min((each.p_value for each in summary.calibrated()), default=1.0),
    }  # fmt: skip
    for estimate in sums.recipes:
        goal, estimator = estimate.split("/", 1)
        interval = sums.interval(estimate)
        is_served = spec.endswith(SERVED)
        if goal not in GOALS or math.isnan(interval.value) or is_served != (estimator == OBSERVED):
            continue
        ends = {"lower": interval.lower, "upper": interval.upper, "error": interval.error}
        known = {end: None if math.isnan(value) else value for end, value in ends.items()}
        yield {**about, "spec": spec, "estimator": estimator, "goal": goal, "value": interval.value, **known}


JOB = Job(build, reads=(Days("judgements", before=WINDOW - 1),), writes="policy_values")

if __name__ == "__main__":
    JOB.main()
