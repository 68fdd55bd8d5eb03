"""Call what numba compiles here, so that its code is on disk before it is needed: see `jobs.compiled`."""

from typing import Any

import numpy as np

from ml import xxhash
from ml.bandits.lints import LinTS
from ml.bandits.statistics import of_rows
from ml.draw import DrawRule, draw, first_position_probabilities, slate_propensities
from ml.marginals import marginals
from ml.ope.bootstrap import bootstrap
from ml.ope.covered import counts
from ml.ope.importance import IPS
from ml.ope.log import Log
from ml.ope.rows import rows_of
from ml.ope.target import target_of
from ml.rank import ruled
from ml.rank.dpp import DPP
from ml.rank.mmr import MMR
from ml.rank.rules import Rules
from ml.touch import last_touch


def compile_all() -> None:
    """Call every compiled function on a few numbers, of the types that the jobs have."""
    shared, own = np.ones((2, 2), dtype=np.float32), np.ones((2, 3, 1), dtype=np.float32)
    sums = of_rows(np.ones((2, 3)), np.zeros(2, dtype=np.int64), np.ones(2), arms=3)
    labels = np.ones((3, 1))
    model = LinTS(shared_ridge=1.0).fit(sums, labels)
    keys = np.zeros(2, dtype=np.uint64)
    normals = model.normals(0, keys, page="", epoch=0, arms=["a", "b", "c"])
    scores = model.values(shared, own, normals)
    model.top(shared, own, length=1, normals=normals)
    eligible = np.ones(scores.shape, dtype=np.bool_)
    rule = DrawRule(temperature=1.0)
    marginals(scores, eligible, positions=1, rule=rule, draws=2, seed=0, keys=keys)
    drawn = draw(scores, eligible, positions=1, temperature=1.0, floor=0.0, uniforms=np.full((2, 1), 0.5))
    slate_propensities(scores, eligible, drawn.slates, temperature=1.0, floor=0.0)
    first_position_probabilities(scores, eligible, temperature=1.0, floor=0.0)
    one = np.zeros(1, dtype=np.int64)
    last_touch((one, one, one, one), (one, one, one), kinds=1, skew=0)
    evaluate()
    rank()
    hash_rows()


def hash_rows() -> None:
    """Compile the hashes of columns, whose values are read-only."""
    hashes, one = np.zeros(1, dtype=np.uint64), np.zeros(2, dtype=np.int64)
    places, valid = (one[:1], one[:1]), np.ones(1, dtype=np.bool_)
    lent = {kind: np.frombuffer(bytes(8), kind) for kind in (np.uint8, np.int32, np.uint32, np.uint64)}
    xxhash.texts(hashes, *places, lent[np.int32], lent[np.uint8], valid)
    xxhash.words(hashes, *places, one[:1], lent[np.int32], lent[np.uint8])
    xxhash.longs(hashes, *places, lent[np.uint64], valid)
    xxhash.integers(hashes, *places, lent[np.uint32], valid)
    xxhash.order_within(one, one[:1])


def rank() -> None:
    """Compile the draw under rules, and rerankers: the same functions take similarity and vectors."""
    for reranker in (MMR(), DPP()):
        reranker.rerank(np.ones((1, 2), dtype=np.float32), np.eye(2, dtype=np.float32), length=1)
    scores, everyone, keys = np.ones((1, 2)), np.ones((1, 2), dtype=np.bool_), np.zeros(1, dtype=np.uint64)
    about: dict[str, Any] = {"rule": DrawRule(temperature=1.0), "rules": Rules.of("ab", positions=1)}
    drawn = ruled.draw(scores, everyone, uniforms=np.full((1, 1), 0.5), **about)
    ruled.expected_along(scores, everyone, drawn.slates, scores, **about)
    ruled.position_means(scores, everyone, positions=1, draws=2, seed=0, keys=keys, **about)
    one = np.ones((1, 1))
    counts(drawn.slates, everyone[:, :1], one, one, one, about["rules"], np.ones(1))


def evaluate() -> None:
    """Compile what off-policy evaluation needs: probabilities in float64, predictions in both widths."""
    log = Log.of([0, 1] * 50, [1.0, 0.0] * 50, [0.5] * 100, action_set=2)
    half = np.full((100, 2), 0.5)
    target_of(log, half, half.astype(np.float32))
    terms = IPS().terms(rows_of(log, target_of(log, half, half)))
    bootstrap([terms], resamples=2, seed=0)
    bootstrap([terms], resamples=2, seed=0, kind="multinomial")
