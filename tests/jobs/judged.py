"""Hand-made judgements: servings of one action, drawn by a known policy, with targets along them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from jobs.contracts import contract
from jobs.inputs import BUCKETS, Buckets, bucket_files
from jobs.tables import Tables
from tests.jobs.buckets import lay
from tests.ml.ope.replays import Visits

FIRST = date(2017, 9, 1)
WIDGETS = ["bestsellers", "category1", "category2", "trending"]


def judgements(
    given: Visits, live: NDArray, targets: Mapping[str, NDArray], *, seed: int, said: NDArray | None = None
) -> pa.Table:
    """Draw a log by (n, 4) probabilities `live`, and judge the targets at it.

    `said` are the propensities that the log claims, those it was drawn by unless told otherwise.
    """
    rng = np.random.default_rng(seed)
    here = np.arange(len(live))
    actions = np.minimum((np.cumsum(live, axis=1) <= rng.random((len(live), 1))).sum(axis=1), 3)
    rewards = given.rewards[here, actions].astype(float)
    claimed = (live if said is None else said)[here, actions]
    rows = []
    for spec, policy in targets.items():
        for row in here:
            action, day = actions[row], FIRST + timedelta(int(given.days[row]))
            rows.append(
                {
                    "decision_date": day,
                    "subject_bucket": int(given.households[row] % 2),
                    "decision_id": f"d{row:06d}",
                    "served_at": datetime(day.year, day.month, day.day, 15, tzinfo=UTC),
                    "subject": f"u{given.households[row]:04d}",
                    "role": "customer" if given.households[row] % 3 else "direct",
                    "segments": ["rfm: core"] if given.households[row] % 2 else None,
                    "page": "start",
                    "spec": spec,
                    "spec_digest": spec,
                    "policy_version": f"{spec}@{day - timedelta(1)}",
                    "logging_policy": "logging",
                    "reward_version": "r1",
                    "widgets": [WIDGETS[action]],
                    "candidates": WIDGETS,
                    "propensities": [float(claimed[row])],
                    "probabilities": [float(policy[row, action])],
                    "is_seen": [True],
                    "rewards": [rewards[row]],
                    "detail": [float(rewards[row] > 0)],
                    "basket": [float(rewards[row] == 3)],
                    "revenue": [500.0 * (rewards[row] == 3) * (1 + row % 3)],
                    "first": list(zip(WIDGETS, policy[row].tolist(), strict=True)),
                    "likeliest": WIDGETS[int(policy[row].argmax())],
                }
            )
    return pa.Table.from_pylist(rows, schema=contract("judgements").arrow_schema)


def buckets(spark: SparkSession, tables: Tables, rows: pa.Table) -> DataFrame:
    """Lay judgements down as a table, and return its files as the shell gives them to a job."""
    full = [row | {"first": dict(row["first"])} for row in rows.to_pylist()]
    lay(tables, "judgements", full)
    days = sorted(set(rows["decision_date"].to_pylist()))
    version = {"judgements": tables.version("judgements")}
    found = bucket_files(tables, Buckets(("judgements",)), days, version)
    return spark.createDataFrame(found, BUCKETS)
