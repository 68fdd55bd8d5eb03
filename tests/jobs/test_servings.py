"""What was served is a policy of its own: each serving once, none of a spec's numbers beside it."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from jobs import policy_values
from jobs.contracts import contract
from jobs.servings import by_spec, served
from tests.jobs.judged import FIRST

WIDGETS = ["a", "b", "c"]


def judgement(number: int, spec: str, policy: str) -> dict:
    """A serving of two positions at which a spec shows `c` first, and of which it has exposures."""
    return {
        "decision_date": FIRST, "subject_bucket": 0, "decision_id": f"d{number}", "subject": f"u{number}",
        "served_at": datetime(FIRST.year, FIRST.month, FIRST.day, 12, tzinfo=UTC), "page": "home",
        "spec": spec, "spec_digest": spec, "policy_version": f"{spec}@x", "logging_policy": policy,
        "reward_version": "r1", "widgets": ["a", "b"], "candidates": WIDGETS, "propensities": [0.5, 0.25],
        "probabilities": [0.1, 0.9], "is_seen": [True, number % 2 == 0], "rewards": [1.0 + number, 0.0],
        "detail": [1.0, 0.0], "basket": [0.0, 0.0], "predicted": [7.0, 7.0], "expected": [7.0, 7.0],
        "exposures": [40.0, 40.0], "rated": [2.0, 2.0], "modelled": 30.0, "first": [("c", 1.0)],
        "likeliest": "c", "counts": [9.0, 9.0], "unsure": 0.25, "opening": ["a", "b"],
    }  # fmt: skip


# The first spec, by name, entered late: two of four servings are not judged for it.
ROWS = [judgement(n, "early", "old" if n < 3 else "new") for n in range(4)]
ROWS += [judgement(n, "a-late-one", "old" if n < 3 else "new") for n in (2, 3)]
TABLE = pa.Table.from_pylist(ROWS, schema=contract("judgements").arrow_schema)


def test_what_was_served_has_weights_and_first_widgets_of_its_own() -> None:
    found = served(by_spec(TABLE))
    assert {policy: each.decisions.tolist() for policy, each in found.items()} == {
        "new": ["d3"],
        "old": ["d0", "d1", "d2"],
    }
    old = found["old"]
    assert old.judged.exposures is old.judged.predicted is old.judged.expected is None
    assert old.judged.weights.tolist() == [1.0, 1.0, 1.0]
    assert {widget: chances.tolist() for widget, chances in old.first().items()} == {"a": [1.0, 1.0, 1.0]}
    assert set(old.logged().could) == {"a", "b"}
    assert old.logged().shown() == {"a": 3.0}


def test_what_was_ranked_on_request_is_not_the_policys_own() -> None:
    rows = [judgement(n, "linucb-home", "request:linucb-home" if n else "linucb-home") for n in range(3)]
    own = served(by_spec(pa.Table.from_pylist(rows, schema=contract("judgements").arrow_schema)))
    assert {policy: each.decisions.tolist() for policy, each in own.items()} == {
        "linucb-home": ["d0"],
        "request:linucb-home": ["d1", "d2"],
    }


def test_its_values_are_what_came_of_it() -> None:
    work = policy_values._summaries("home", by_spec(TABLE), days=[FIRST], zone="UTC", hours=6)
    rows = [row for name, summary in work for row in policy_values._rows("home", name, summary)]
    (own,) = [
        row
        for row in rows
        if (row["spec"], row["goal"], row["audience"]) == ("old (served)", "reward", "everyone")
        and row["first_date"] == FIRST
    ]
    assert (own["value"], own["servings"], own["estimator"]) == (pytest.approx(2.0), 3, "observed")
    assert (own["mean_weight"], own["largest_weight"], own["effective_servings"]) == (1.0, 1.0, 3.0)
    assert own["unsupported"] == 0.0
    of_spec = [row for row in rows if row["spec"] == "early"]
    # It shows `c` first, which never stood there, and a share of its looks the log's rules kept out.
    assert all(row["unsupported"] == 1.0 + 0.25 for row in of_spec)


def test_a_night_leaves_out_what_may_still_earn_and_says_how_much() -> None:
    late = [row | {"served_at": row["served_at"].replace(hour=20)} if row["decision_id"] == "d0" else row
            for row in ROWS]  # fmt: skip
    table = pa.Table.from_pylist(late, schema=contract("judgements").arrow_schema)
    work = policy_values._summaries("home", by_spec(table), days=[FIRST], zone="UTC", hours=6)
    found = {name: summary for name, summary in work if name[1] == "everyone"}
    summary = found["early", "everyone", FIRST, FIRST]
    assert (summary.estimates.rows, summary.open_rows) == (3, 1)
    assert summary.estimates.value("reward/observed") == pytest.approx(np.mean([2.0, 3.0, 4.0]))
    shares = {
        row["open_share"] for row in policy_values._rows("home", ("early", "everyone", FIRST, FIRST), summary)
    }
    assert shares == {0.25}
