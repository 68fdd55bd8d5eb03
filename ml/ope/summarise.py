"""From servings to summaries: what a worker makes of the servings of its subjects (ml.ope.summary)."""

from collections.abc import Mapping

import numpy as np

from ml.ope.evidence import SHARES, paired
from ml.ope.judged import Judged
from ml.ope.log import Floats, Integers
from ml.ope.logged import Logged
from ml.ope.summary import DIFFERENCE, SQUARE, Summary
from ml.ope.sums import Sums, growing
from ml.ope.terms import Terms


def of_one(judged: Judged, logged: Logged, first: Mapping[str, float], open_rows: int = 0) -> Summary:
    """Summarise one target."""
    named = {f"{goal}/{name}": terms for goal in judged.rewards for name, terms in judged.terms(goal).items()}
    observed = {
        f"{goal}/observed": Terms.mean_of(values.sum(axis=1)) for goal, values in judged.rewards.items()
    }
    weights, largest = _weights({"target": judged})
    return Summary(
        Sums.of({**named, **observed}, judged.clusters),
        weights,
        largest,
        dict(first),
        logged.shown(),
        logged.tallies(),
        open_rows,
        {},
        np.zeros((len(SHARES), 2)),
    )


def of_pair(
    candidate: Judged,
    live: Judged,
    logged: Logged,
    *,
    days: Integers,
    count: int,
    first: Mapping[str, float],
) -> Summary:
    """Summarise a candidate against the live policy at the same servings, day after day.

    days : (n,) codes 0 to `count` - 1.
    """
    named: dict[str, Terms] = {}
    looks: dict[str, tuple[Sums, ...]] = {}
    width = int(candidate.clusters.max()) + 1
    for goal in candidate.rewards:
        mine, theirs = candidate.terms(goal), live.terms(goal)
        named |= {f"{goal}/{name}": mine[name] - theirs[name] for name in mine if name in theirs}
        decides = next(name for name in mine if name in theirs)
        named[f"live/{goal}"] = theirs[decides]
        numbers = paired(mine[decides], theirs[decides])
        parts = (
            (Terms.mean_of(numbers[days == day]), candidate.clusters[days == day]) for day in range(count)
        )
        looks[goal] = tuple(growing(parts, DIFFERENCE, width))
    weights, largest = _weights({"candidate": candidate, "live": live})
    return Summary(
        Sums.of(named, candidate.clusters),
        weights,
        largest,
        dict(first),
        logged.shown(),
        logged.tallies(),
        0,
        looks,
        _variances(candidate, live),
    )


def _variances(candidate: Judged, live: Judged) -> Floats:
    """Sum what a mixture with the candidate would leave of the variance; known for one position alone."""
    if candidate.propensities.shape[1] > 1:
        as_it_is = np.array([[1.0, 0.0]] + [[0.0, 0.0]] * (len(SHARES) - 1))
        return as_it_is * len(candidate)
    p, mine, theirs = candidate.propensities[:, 0], candidate.probabilities[:, 0], live.probabilities[:, 0]
    errors = next(iter(candidate.rewards.values()))[:, 0]
    if candidate.predicted is not None:
        errors = errors - candidate.predicted[:, 0]
    moved = (mine - theirs) * errors
    sums = [
        ((moved**2 / (((1 - share) * p + share * mine) * p)).sum(), (moved / p).sum()) for share in SHARES
    ]
    return np.array(sums)


def _weights(
    by_role: Mapping[str, Judged],
) -> tuple[dict[tuple[str, str], Sums], dict[tuple[str, str], float]]:
    sums, largest = {}, {}
    for role, judged in by_role.items():
        for name, terms in judged.weighing().items():
            (part,) = terms.parts
            both = {"w": terms, "w" + SQUARE: Terms.mean_of(part.numerator**2)}
            sums[role, name] = Sums.of(both, judged.clusters)
            largest[role, name] = float(part.numerator.max())
    return sums, largest
