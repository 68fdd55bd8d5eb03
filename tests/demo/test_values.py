"""The report's values are those of the policies that the pipeline's tables describe."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.config import FeatureSet, Page, Policy
from jobs.demo import values
from jobs.demo.source import DemoError, day_of
from jobs.demo.truth import Truth
from jobs.demo.values import Inputs, PageValues

DAY = date(2017, 10, 3)
ACTIONS = ("category1", "category2", "bestsellers", "trending")
HOUSEHOLDS = 60
RIDGE, ALPHA, TEMPERATURE, FLOOR = 1.0, 0.2, 0.15, 0.01
SPEC = Policy(
    name="linucb-start",
    page="start",
    algorithm="linucb",
    feature_set="start-1",
    ridge=RIDGE,
    alpha=ALPHA,
)
START = Page(
    page="start",
    positions=1,
    policy="linucb-start",
    temperature=TEMPERATURE,
    floor=FLOOR,
)

FEATURES = FeatureSet.model_validate(
    {
        "name": "start-1",
        "page": "start",
        "context": [{"name": "intercept"}, {"name": "a"}, {"name": "b"}],
        "action": [],
    }
)

RNG = np.random.default_rng(5)
CONTEXT = np.column_stack([np.ones(HOUSEHOLDS), RNG.normal(size=(HOUSEHOLDS, 2))]).astype(np.float32)
# The pipeline never saw `trending`: its policy has three arms, in an order of its own.
ARMS = ("bestsellers", "category1", "category2")
THETA = np.array([[0.9, 0.3, 0.0], [1.0, 0.0, 0.4], [0.8, -0.2, 0.1]])
COVARIANCE = np.array([np.eye(3) * size for size in (0.01, 0.04, 0.09)])
REWARDS = RNG.choice([0.0, 1.0, 3.0], size=(HOUSEHOLDS, 4), p=[0.5, 0.2, 0.3])
LOGGING = RNG.dirichlet(np.ones(4), size=HOUSEHOLDS)
MEANS = RNG.random((HOUSEHOLDS, 4))


def known() -> Truth:
    return Truth(
        page="start",
        actions=ACTIONS,
        decision_id=[f"decision{i}" for i in range(HOUSEHOLDS)],
        household=np.arange(HOUSEHOLDS) // 2,
        day=np.full(HOUSEHOLDS, day_of(DAY)),
        rewards=REWARDS,
        logging=LOGGING,
    )


def features() -> pa.Table:
    return pa.table(
        {
            "subject": [f"subject{i}" for i in range(HOUSEHOLDS)],
            "feature_date": [DAY - timedelta(days=1)] * HOUSEHOLDS,
            "widget_reward_means": pa.array(
                [[(f"start/{a}", m) for a, m in zip(ACTIONS, row, strict=True)] for row in MEANS.tolist()],
                pa.map_(pa.string(), pa.float64()),
            ),
        }
    )


def inputs(candidates: tuple[str, ...] = tuple(sorted(ACTIONS))) -> Inputs:
    order = RNG.permutation(HOUSEHOLDS)
    upper = np.array([matrix[np.triu_indices(3)] for matrix in COVARIANCE])
    return Inputs(
        decisions=pd.DataFrame(
            {
                "decision_id": [f"decision{i}" for i in order],
                "draw_id": [f"draw{i}" for i in order],
                "subject": [f"subject{i}" for i in order],
                "decision_date": DAY,
            }
        ),
        contexts=pa.table(
            {
                "draw_id": [f"draw{i}" for i in range(HOUSEHOLDS)],
                "decision_date": [DAY] * HOUSEHOLDS,
                "candidates": [list(candidates)] * HOUSEHOLDS,
                "context": list(CONTEXT),
                "action_context": pa.array([[]] * HOUSEHOLDS, pa.list_(pa.float32())),
            }
        ),
        policy={
            "policy_version": "linucb-start@2017-09-28",
            "widgets": list(ARMS),
            "theta": THETA.ravel().tolist(),
            "covariance": upper.ravel().tolist(),
        },
        feature_set=FEATURES,
    )


def expected_scores() -> tuple[np.ndarray, np.ndarray]:
    scores, bonuses = np.zeros((2, HOUSEHOLDS, 4))
    bonuses[:, 3] = (
        ALPHA * np.linalg.norm(CONTEXT, axis=1) / np.sqrt(RIDGE)
    )  # an arm never seen: θ = 0, A = λI
    for arm, action in enumerate(ARMS):
        column = ACTIONS.index(action)
        scores[:, column] = CONTEXT @ THETA[arm]
        bonuses[:, column] = ALPHA * np.sqrt(np.einsum("ni,ij,nj->n", CONTEXT, COVARIANCE[arm], CONTEXT))
    return scores, bonuses


def by_name(found: PageValues) -> dict[str, float]:
    return {each.policy: each.mean for each in found.policies}


def test_every_policy_s_value_by_its_plain_formula() -> None:
    found = values.evaluate(known(), inputs(), features(), START, SPEC, seed=1)
    scores, bonuses = expected_scores()
    powers = np.exp((scores + bonuses) / TEMPERATURE)
    served = FLOOR + (1 - 4 * FLOOR) * powers / powers.sum(axis=1, keepdims=True)
    each = np.arange(HOUSEHOLDS)
    constants = {f"always {action}": REWARDS[:, i].mean() for i, action in enumerate(ACTIONS)}
    expected = {
        "uniform": REWARDS.mean(),
        **constants,
        "logging policy": (REWARDS * LOGGING).sum(axis=1).mean(),
        "household-mean rule, from log": REWARDS[each, MEANS.argmax(axis=1)].mean(),
        "learned policy, greedy": REWARDS[each, scores.argmax(axis=1)].mean(),
        "learned policy, as served": (REWARDS * served).sum(axis=1).mean(),
    }
    assert by_name(found) == pytest.approx(expected, abs=1e-6)
    assert found.best_constant == max(constants, key=constants.__getitem__)
    assert (found.visits, found.households) == (60, 30)
    assert (found.first, found.last) == (DAY, DAY)


def test_the_order_of_candidates_does_not_matter() -> None:
    assert values.evaluate(known(), inputs(ACTIONS), features(), START, SPEC, seed=1) == values.evaluate(
        known(), inputs(ACTIONS[::-1]), features(), START, SPEC, seed=1
    )


def test_what_is_no_candidate_is_never_drawn() -> None:
    found = values.evaluate(known(), inputs(("category1", "category2")), features(), START, SPEC, seed=1)
    scores, bonuses = (each[:, :2] for each in expected_scores())
    powers = np.exp((scores + bonuses) / TEMPERATURE)
    served = FLOOR + (1 - 2 * FLOOR) * powers / powers.sum(axis=1, keepdims=True)
    assert by_name(found)["learned policy, as served"] == pytest.approx(
        (REWARDS[:, :2] * served).sum(axis=1).mean(), abs=1e-6
    )


def test_home_values_layouts_by_position() -> None:
    home = START.model_copy(update={"page": "home", "positions": 2})
    on_home = replace(known(), page="home")
    found = by_name(values.evaluate(on_home, inputs(), features(), home, SPEC, seed=1))
    scores, _ = expected_scores()
    best = np.argsort(-scores, axis=1)[:, :2]
    shown = np.take_along_axis(REWARDS, best, axis=1)
    assert found["learned policy, greedy"] == pytest.approx((shown @ [1, 0.8]).mean())
    assert found["uniform"] == pytest.approx(1.8 * REWARDS.mean())
    fixed = np.sort(REWARDS.mean(axis=0))[::-1][:2]
    assert found["always the best 2"] == pytest.approx(fixed @ [1, 0.8])


def test_decisions_that_the_pipeline_lost_are_left_out() -> None:
    some = inputs()
    some = replace(
        some, decisions=some.decisions[some.decisions["decision_id"].isin(["decision2", "decision3"])]
    )
    found = values.evaluate(known(), some, features(), START, SPEC, seed=1)
    assert found.visits == 2
    assert by_name(found)["always trending"] == REWARDS[[2, 3], 3].mean()


def test_a_subject_without_features_has_the_population_s_means() -> None:
    some = inputs()
    means = values.reward_means(features().slice(1), some.decisions, "start", ACTIONS)
    row = some.decisions["subject"].tolist().index("subject0")
    assert means[row] == pytest.approx(MEANS[1:].mean(axis=0))
    assert means[some.decisions["subject"].tolist().index("subject7")] == pytest.approx(MEANS[7])


def test_draws_without_a_context_are_an_error_that_says_what_to_do() -> None:
    some = inputs()
    with pytest.raises(DemoError, match=r"^1 of 60 draws have no context: run lake_etl for those days\.$"):
        values.evaluate(
            known(), replace(some, contexts=some.contexts.slice(1)), features(), START, SPEC, seed=1
        )
