"""A log says what is wrong with it: column, row and rule."""

import numpy as np
import pytest

from ml.ope.log import Log, join

GOOD = {
    "actions": [0, 1, 2, 1],
    "rewards": [0.0, 1.0, 3.0, 0.0],
    "propensities": [0.5, 0.2, 1.0, 0.1],
    "action_set": ("a", "b", "c"),
}


def log(**changed: object) -> Log:
    return Log.of(**{**GOOD, **changed})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"propensities": [0.5, 0, 1, 1]},
            r"^propensities, row 1: 0, but a propensity is above 0 and at most 1",
        ),
        (
            {"propensities": [0.5, 0.5, 1.5, 1]},
            "^propensities, row 2: 1.5, but a propensity is above 0 and at",
        ),
        (
            {"propensities": [0.5, 0.5, 1, np.nan]},
            "^propensities, row 3: missing, but a propensity is above 0",
        ),
        ({"propensities": [-0.5, 0.5, 1, 1]}, "^propensities, row 0: -0.5, but"),
        ({"propensities": [0.5, 0.5]}, r"^propensities must have shape \(4,\), not \(2,\)"),
        ({"actions": [0, 1, 3, 1]}, "^actions, row 2: 3, but actions are 0 to 2"),
        ({"actions": [-1, 1, 2, 1]}, "^actions, row 0: -1, but actions are 0 to 2"),
        ({"actions": [0, 1, 1.5, 1]}, "^actions, row 2: 1.5, but it is a whole number"),
        ({"actions": [0, np.nan, 1, 1]}, "^actions, row 1: missing, but it is a whole number"),
        ({"rewards": [0, 0, 0, 0]}, "^rewards of 'reward' are 0 in all 4 rows: nothing can be learned"),
        ({"rewards": [0, np.inf, 0, 0]}, "^rewards of 'reward', row 1: inf, but a reward is a finite number"),
        ({"rewards": [0, 1, 0, np.nan]}, "^rewards of 'reward', row 3: missing, but"),
        ({"rewards": np.ones((4, 2))}, r"^rewards must have shape \(4, 1\), not \(4, 2\)"),
        (
            {"rewards": np.eye(4)[:, :2], "goals": ("a", "b"), "clusters": [0, -1, 0, 0]},
            "^clusters, row 1: -1",
        ),
        (
            {"rewards": np.array([[1, 0.0]] * 4), "goals": ("sale", "visit")},
            "^rewards of 'visit' are 0 in all",
        ),
        ({"decisions": [7, 8, 9, 8]}, "^decisions, row 3: 8, but row 1 has it too: the log holds rows twice"),
        ({"policies": [0, 1]}, r"^policies must have shape \(4,\)"),
        ({"actions": [], "rewards": [], "propensities": []}, "^the log has no rows"),
    ],
)
def test_what_breaks_a_rule_is_named(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        log(**wrong)


def test_a_good_log_keeps_its_numbers() -> None:
    good = log(clusters=[0, 0, 1, 2], decisions=[5, 6, 7, 8], policies=[0, 0, 1, 1])
    assert good.rewards.tolist() == [[0.0], [1.0], [3.0], [0.0]]
    assert len(good) == 4
    part = good.rows(np.array([2, 1]))
    assert part.actions.tolist() == [2, 1]
    assert part.decisions.tolist() == [7, 6]
    assert part.clusters.tolist() == [1, 0]


def test_days_are_joined_in_their_order() -> None:
    both = join(
        {"monday": log(decisions=[1, 2, 3, 4]), "tuesday": log(decisions=[5, 6, 7, 8], actions=[2] * 4)}
    )
    assert both.actions.tolist() == [0, 1, 2, 1, 2, 2, 2, 2]
    assert both.decisions.tolist() == list(range(1, 9))


def test_logs_that_do_not_belong_together_are_refused() -> None:
    other = {
        "have different action sets: only one of them has c, d": log(action_set=("a", "b", "d")),
        "have different action sets: their order differs": log(action_set=("b", "a", "c")),
        "have different goals": log(goals=("sale",)),
        "are the same rows: one is a copy": log(),
    }
    for sentence, second in other.items():
        with pytest.raises(ValueError, match=f"^the logs of monday and tuesday {sentence}"):
            join({"monday": log(), "tuesday": second})
    with pytest.raises(ValueError, match="some of the logs have clusters and some have none"):
        join({"monday": log(), "tuesday": log(clusters=[0, 1, 2, 3])})
    with pytest.raises(ValueError, match="decisions, row 4: 1, but row 0 has it too"):
        join({"monday": log(decisions=[1, 2, 3, 4]), "tuesday": log(decisions=[1, 2, 3, 4], actions=[2] * 4)})
    with pytest.raises(ValueError, match="there is no log"):
        join({})
