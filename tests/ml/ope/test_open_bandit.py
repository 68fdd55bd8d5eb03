"""The Open Bandit Dataset's sample: published figures, and a log that must not be trusted."""

import re
from pathlib import Path

import numpy as np
import pytest

from ml.ope.diagnostics import weights
from ml.ope.evaluate import evaluate
from ml.ope.gate import Rules, judge
from ml.ope.importance import IPS, SNIPS
from ml.ope.judged import Judged
from ml.ope.log import Log
from ml.ope.logged import Logged
from ml.ope.summarise import of_pair
from ml.ope.target import Target, target_of

FOLDER = Path(__file__).parent / "obd"
SEED, SIMULATIONS = 12345, 100_000


def columns(name: str) -> np.ndarray:
    return np.genfromtxt(FOLDER / f"{name}.csv", delimiter=",", names=True)


def bernoulli_ts() -> np.ndarray:
    """(80, 3) how often the production policy's prior lists an item at a position, in seeded simulations.

    One large array takes the same numbers from the stream as one array for each simulation.
    """
    prior = columns("prior_bts_all")
    sampled = np.random.RandomState(SEED).beta(prior["alpha"], prior["beta"], size=(SIMULATIONS, 80))
    listed = np.argsort(sampled, axis=1)[:, ::-1][:, :3]
    return np.column_stack([np.bincount(each, minlength=80) for each in listed.T]) / SIMULATIONS


@pytest.fixture(scope="module")
def random_to_bts() -> tuple[Log, Target]:
    rows = columns("random_all")
    log = Log.of(rows["item_id"], rows["click"], rows["propensity_score"], action_set=80)
    return log, target_of(log, bernoulli_ts().T[rows["position"].astype(int) - 1])


def test_ipw_of_random_to_bts_is_the_published_figure(random_to_bts: tuple[Log, Target]) -> None:
    found, normalised = evaluate(*random_to_bts, [IPS(), SNIPS()], seed=1)
    assert found.value == pytest.approx(0.00455288, abs=1e-12)
    assert round(found.value, 6) == 0.004553
    assert normalised.value == pytest.approx(0.004775833081, abs=1e-9)
    assert found.interval == "poisson bootstrap of rows, 1000 resamples"
    # What the production policy itself earned in the sample of its own log: 42 clicks in 10,000.
    assert found.lower < 0.0042 < found.upper


def test_plain_bootstrap_of_random_to_bts_draws_the_stream_of_obp(random_to_bts: tuple[Log, Target]) -> None:
    log, target = random_to_bts
    by_row = target.probabilities / log.propensities * log.rewards[:, 0]
    stream = np.random.RandomState(SEED)
    means = [np.mean(stream.choice(by_row, size=len(by_row))) for _ in range(100)]
    found = evaluate(log, target, [IPS()], seed=SEED, resamples=100, kind="multinomial")[0]
    assert [found.lower, found.upper] == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=1e-12)


def test_the_weights_of_random_to_bts_can_be_lived_with(random_to_bts: tuple[Log, Target]) -> None:
    found = weights(*random_to_bts)
    assert found.largest == pytest.approx(19.5984)
    assert abs(found.mean - 1) < 4 * found.mean_error
    assert found.effective_share > 0.1


def test_the_weights_of_bts_to_random_on_women_give_the_log_away() -> None:
    rows = columns("bts_women")
    log = Log.of(rows["item_id"], rows["click"], rows["propensity_score"], action_set=46)
    found = weights(log, target_of(log, np.full((10_000, 46), 1 / 46)))
    assert found.largest > 20_000
    assert found.effective_rows < 20
    assert found.mean > 2


def test_the_gate_refuses_the_log_of_bts_on_women_for_a_random_policy() -> None:
    rows = columns("bts_women")
    n, p = 10_000, rows["propensity_score"].astype(float)
    everyone, days = np.arange(n), np.arange(n) * 10 // n

    def along(probabilities: np.ndarray) -> Judged:
        clicks = {"reward": rows["click"].astype(float)[:, None]}
        return Judged(p[:, None], probabilities[:, None], clicks, everyone)

    shown = rows["item_id"].astype(str)
    could = {name: np.ones(n, dtype=bool) for name in np.unique(shown).tolist()}
    log = Logged(shown, p, np.full(n, "bts"), could, everyone, days)
    pair = of_pair(along(np.full(n, 1 / 46)), along(p), log, days=days, count=10, first={})
    verdict = judge({"random": pair.facts(["reward"])}, Rules())["random"]
    assert verdict.answer == "cannot tell"
    said = " ".join(verdict.reasons)
    assert re.search(r"one row counts 2\d,\d{3} times in the value of the candidate", said), said
    assert "the 10,000 rows are worth 2 of the candidate's own" in said
