"""The live policy as of a night is what `releases` says up to it, else the page's own."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from jobs.config import Page, Policy
from jobs.live import LivePolicies
from jobs.refits import score_change
from ml.bandits import statistics
from ml.bandits.linucb import LinUCB

FIRST = date(2017, 9, 1)
PAGE = Page(page="home", positions=2, policy="careful", temperature=0.2, floor=0.01)
SPECS = {
    name: Policy(name=name, page="home", algorithm="linucb", feature_set="home-1", ridge=ridge, alpha=0.1)
    for name, ridge in (("careful", 1.0), ("bold", 2.0))
}


def on(day: int) -> date:
    return FIRST + timedelta(day)


def release(
    day: int, name: str, *, since: int | None = None, fitted: int | None = None, **more: Any
) -> dict[str, Any]:
    """A verdict as `releases` holds it; `fitted` is the day whose version readers see."""
    details = {"page": "home", "spec_digest": SPECS[name].digest}
    if fitted is not None:
        details |= {"is_live": "yes", "serves": f"{name}@{on(fitted)}"}
    if since is not None:
        details["live_since"] = on(since).isoformat()
    return {"kind": "policy", "name": name, "as_of_date": on(day), "details": details, **more}


def test_until_something_is_decided_the_page_s_own_policy_is_live():
    live = LivePolicies.of(PAGE, [release(3, "bold")])
    assert live.as_of(on(5)) is None
    assert live.spec(on(5), SPECS) == "careful"
    assert live.may_serve("careful", on(5))


def test_what_is_live_follows_from_the_verdicts_up_to_a_night():
    verdicts = [
        release(2, "careful", fitted=2),
        release(3, "bold", since=3, fitted=3),
        release(4, "bold", since=3, fitted=3),  # the refit of the night moved too far
        release(6, "bold", since=3, fitted=6),
        {**release(9, "careful", fitted=9), "kind": "model"},
        release(9, "careful", fitted=9) | {"details": {"page": "start", "is_live": "yes", "serves": "x"}},
    ]
    live = LivePolicies.of(PAGE, list(reversed(verdicts)))
    assert [live.spec(on(day), SPECS) for day in (1, 2, 3, 5, 9)] == [
        "careful",
        "careful",
        "bold",
        "bold",
        "bold",
    ]
    assert [live.may_serve("bold", on(day)) for day in (1, 3, 4, 5, 6)] == [True, True, False, False, True]
    assert live.changes == [on(3)]
    # Evaluation was late on day 5: what was live stays.
    assert live.as_of(on(5)) == live.as_of(on(4))


def test_a_spec_whose_text_changed_is_not_the_one_that_was_released():
    live = LivePolicies.of(PAGE, [release(3, "bold", since=3, fitted=3)])
    changed = SPECS | {"bold": SPECS["bold"].model_copy(update={"alpha": 0.7})}
    assert live.spec(on(4), changed) == "careful"
    assert live.spec(on(4), {"careful": SPECS["careful"]}) == "careful"


def row(seed: int, scale: float = 1.0) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    x, arms = rng.normal(size=(600, 3)), rng.integers(0, 2, 600)
    rewards = scale * x[:, 0] + np.random.default_rng(seed).normal(size=600)
    model = LinUCB(1e-9, 0.0).fit(statistics.of_rows(x, arms, rewards, arms=2))
    found = {
        "widgets": ["a", "b"],
        "n": np.bincount(arms),
        "theta": model.theta_.ravel(),
        "covariance": statistics.pack(model.covariance_).ravel().tolist(),
    }
    return found, x, arms


def test_a_refit_is_measured_by_how_far_its_scores_moved():
    (before, x, arms), (after, _, _) = row(1), row(2, scale=1.5)
    moved = (after["theta"] - before["theta"]).reshape(2, 3)[arms]
    plain = np.sqrt(np.mean((moved * x).sum(axis=1) ** 2))
    assert score_change(before, after) == pytest.approx(plain, rel=1e-6)
    assert score_change(after, after) == 0.0
    # An arm that came, or that is gone, counts with all of its score.
    only = {**before, "widgets": ["a"], "n": before["n"][:1], "theta": before["theta"][:3],
            "covariance": before["covariance"][:6]}  # fmt: skip
    scores = np.where(arms == 1, x @ before["theta"][3:], 0.0)
    whole = np.sqrt(np.mean(scores**2))
    assert score_change(only, before) == pytest.approx(whole, rel=1e-6)
    assert score_change(before, only) == pytest.approx(whole, rel=1e-6)
    constant = {"widgets": ["a"], "n": [0], "theta": [1.0, 0.0], "covariance": []}
    assert score_change(constant, constant) == 0.0
