"""Thompson sampling: samples have the mean and the covariance, between arms too, of what is believed."""

import numpy as np
import pytest

from ml.bandits.lints import LinTS
from ml.draw import DrawRule, slate_propensities
from ml.normals import Normals
from tests.ml.bandits.given import ARMS, LABELS, NAMES, contexts, rows_of, sums

MANY = 60_000
KEYS = np.arange(MANY, dtype=np.uint64)


def sampled(model: LinTS) -> tuple[np.ndarray, np.ndarray]:
    """The scores of MANY subjects with one and the same x; and that x by arm."""
    shared, own = contexts(1)
    many = np.repeat(shared, MANY, axis=0), np.repeat(own, MANY, axis=0)
    normals = model.normals(1, KEYS, page="home", epoch=0, arms=NAMES)
    return model.values(*many, normals), rows_of(shared, own)[0]


def standard(found: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Turn into what must be independent standard normal numbers."""
    return np.linalg.solve(np.linalg.cholesky(covariance), (found - mean).T)


@pytest.mark.parametrize("shares", [False, True])
def test_samples_have_the_mean_and_the_covariance_of_the_posterior(shares: bool) -> None:
    settings, labels = ({"shared_ridge": 0.7}, LABELS) if shares else ({}, None)
    model = LinTS(40.0, 0.6, **settings).fit(sums(60), labels)
    found, x = sampled(model)
    mean = (x * model.theta_).sum(axis=1)
    covariance = np.diag(np.einsum("kd,kde,ke->k", x, model.covariance_, x))
    if shares:
        moved = np.einsum("kd,kdq->kq", x, model.common_)
        between = moved @ moved.T
        assert np.abs(between - np.diag(np.diag(between))).max() > 0.2 * covariance.max()
        covariance += between - np.diag(np.diag(between))
    numbers = standard(found, mean, 0.36 * covariance)
    assert np.abs(numbers.mean(axis=1)).max() < 4 / np.sqrt(MANY)
    assert np.abs(np.cov(numbers) - np.eye(ARMS)).max() < 6 / np.sqrt(MANY)


def test_an_arms_sample_does_not_depend_on_the_other_arms() -> None:
    shared, own = contexts(40)
    model = LinTS(1.0, 0.5).fit(sums())
    keys = KEYS[:40]
    normals = model.normals(1, keys, page="home", epoch=3, arms=NAMES)
    whole = model.bonuses(shared, own, normals)
    some = [3, 1]
    chosen = model.select(np.array(some))
    normals = chosen.normals(1, keys, page="home", epoch=3, arms=[NAMES[arm] for arm in some])
    part = chosen.bonuses(shared, own[:, some], normals)
    # The turn into y is by the mean over the arms, so the last bits may differ.
    assert np.allclose(part, whole[:, some], rtol=1e-5)


def test_a_rows_sample_is_the_same_bits_beside_any_other_rows() -> None:
    shared, own = contexts(400)
    model = LinTS(3.0, 0.6, shared_ridge=0.7).fit(sums(), LABELS)
    order = np.random.default_rng(0).permutation(400)
    whole = model.bonuses(shared, own, model.normals(1, KEYS[:400], page="home", epoch=0, arms=NAMES))
    for rows in (order, order[:7]):
        normals = model.normals(1, KEYS[rows], page="home", epoch=0, arms=NAMES)
        assert np.array_equal(model.bonuses(shared[rows], own[rows], normals), whole[rows])


def test_propensities_given_the_sample_are_exact() -> None:
    shared, own = contexts(50)
    model = LinTS(1.0, 0.5, rule=DrawRule(0.2, 0.01)).fit(sums())
    normals = model.normals(1, KEYS[:50], page="home", epoch=0, arms=NAMES)
    uniforms = np.random.default_rng(1).random((50, 3)) * 0.999 + 0.0005
    drawn = model.draw(shared, own, uniforms=uniforms, normals=normals)
    values = model.scores(shared, own).astype(np.float64) + model.bonuses(shared, own, normals)
    eligible = np.ones(values.shape, dtype=bool)
    again = slate_propensities(values, eligible, drawn.slates, temperature=0.2, floor=0.01)
    assert np.array_equal(drawn.propensities, again)
    assert np.array_equal(model.slate_propensities(shared, drawn.slates, own, normals=normals), again)


def test_without_alpha_nothing_is_sampled() -> None:
    shared, own = contexts(5)
    model = LinTS(1.0, 0.0).fit(sums())
    assert not model.bonuses(shared, own, model.normals(1, KEYS[:5], page="", epoch=0, arms=NAMES)).any()


def test_bad_input_is_refused_by_name() -> None:
    shared, own = contexts(5)
    model = LinTS().fit(sums())
    with pytest.raises(ValueError, match="Thompson sampling needs numbers to sample with"):
        model.bonuses(shared, own)
    few = Normals.of(1, KEYS[:5], page="", purposes=NAMES[:2], epoch=0)
    with pytest.raises(ValueError, match=r"normals must have shape \(5, 5\), not \(5, 2\)"):
        model.bonuses(shared, own, few)
