"""One look through probabilities and predictions, against NumPy's own sums."""

import numpy as np
import pytest

from ml.ope.log import Log
from ml.ope.target import Target, target_of
from ml.threads import BLOCK

from .given import sample


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_kept_of_each_row_is_what_numpy_sums(dtype: type) -> None:
    rows = 2 * BLOCK + 17
    given = sample(rows)
    probabilities, model = given.target.astype(dtype), given.predictions.astype(dtype)
    found = target_of(given.log, probabilities, model)
    here = np.arange(rows)
    wide = probabilities.astype(np.float64)
    assert np.array_equal(found.probabilities, wide[here, given.log.actions])
    assert np.array_equal(found.predicted[:, 0], model[here, given.log.actions].astype(np.float64))
    expected = np.average(model.astype(np.float64), weights=wide, axis=1)
    assert np.abs(found.expected[:, 0] - expected).max() < 1e-12
    assert np.abs(found.shares - wide.mean(axis=0)).max() < 1e-12


def test_several_goals_have_a_model_each() -> None:
    given = sample(100)
    log = Log.of(
        given.log.actions, np.ones((100, 2)), given.log.propensities, action_set=5, goals=("sale", "visit")
    )
    both = target_of(log, given.target, [given.predictions, 2 * given.predictions])
    assert np.allclose(both.expected[:, 1], 2 * both.expected[:, 0], rtol=0, atol=1e-12)
    assert np.array_equal(both.predicted[:, 1], 2 * both.predicted[:, 0])
    with pytest.raises(ValueError, match="2 goals need as many arrays of predictions, not 1"):
        target_of(log, given.target, given.predictions)


def test_without_a_model_there_is_nothing_expected() -> None:
    given = sample(50)
    found = target_of(given.log, given.target)
    assert found.expected is None
    assert found.predicted is None


def changed(array: np.ndarray, row: int, action: int, value: float) -> np.ndarray:
    other = array.copy()
    other[row, action] = value
    return other


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (5.0, r"^target probabilities, row 2500: they sum to 5\.\d+, but a row sums to 1"),
        (-0.5, r"^target probabilities, row 2500, action '3': -0.5, but a probability is 0 to 1"),
        (np.nan, r"^target probabilities, row 2500, action '3': missing, but a probability is 0 to 1"),
    ],
)
def test_a_row_that_is_no_distribution_is_named(value: float, sentence: str) -> None:
    given = sample(3000)
    with pytest.raises(ValueError, match=sentence):
        target_of(given.log, changed(given.target, 2500, 3, value))


def test_negative_and_positive_that_sum_to_one_are_seen() -> None:
    given = sample(10)
    wrong = np.tile([1.5, -0.5, 0, 0, 0], (10, 1))
    with pytest.raises(ValueError, match=r"row 0, action '1': -0\.5"):
        target_of(given.log, wrong)


def test_a_prediction_that_is_no_number_is_named() -> None:
    given = sample(3000)
    with pytest.raises(ValueError, match=r"^predictions of 'reward', row 2999, action '4': nan, but"):
        target_of(given.log, given.target, changed(given.predictions, 2999, 4, np.nan))


def test_shapes_and_loose_numbers_are_checked() -> None:
    given = sample(10)
    with pytest.raises(ValueError, match=r"target probabilities must have shape \(10, 5\), not \(10, 4\)"):
        target_of(given.log, given.target[:, :4])
    with pytest.raises(ValueError, match=r"target probabilities, row 1: 1\.2, but a probability is 0 to 1"):
        Target(np.array([0.5, 1.2]))
    with pytest.raises(ValueError, match="come together"):
        Target(np.array([0.5]), predicted=np.array([[1.0]]))
    with pytest.raises(ValueError, match="expected, row 0: missing, but a reward expected by the model"):
        Target(np.array([0.5]), np.array([[1.0]]), np.array([[np.nan]]))
