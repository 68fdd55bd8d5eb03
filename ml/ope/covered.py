"""How much each seen reward of a page that was drawn under rules counts, in the position-based estimator.

Under rules not every widget that is left has a chance at every position, so the mean over positions of
`ml.ope.slates.along_look` would leave some out. A widget is *sure* when the log's rules let it stand at the
first free position f, whatever was drawn, or pinned it to a position f. Given that somebody looked as far as
L ≥ f, it gets weights over the free positions it was seen to be drawn from, known before each is drawn, which
sum to 1: an even share of those that are left, as long as it is sure to be allowed at the next free one too,
else all that is left. Of a sure widget a, with e = r - r̂,

    s₁ / s_f · Eₐ · 1[L ≥ f] · Σⱼ wⱼ(a) · (1[a stands before j] + 1[a stands at j] / pⱼ) · eₐ

is unbiased for s₁ Eₐ E[eₐ]: given what stands before j, each bracket has mean 1 (Des Raj 1956), for any
target and any rules of its own. A widget that is not sure counts by the weight of its prefix, w₁:ₖ = Π π / p,
which is unbiased where the target puts mass only on what the log's rules allowed, as it does under the same
rules. Where they differ, `unsure` is the share of its looks of which nothing is known for sure.

It is exact where rules leave no position empty: how far somebody would have looked beyond an early end is not
known.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from ml.ope.log import Floats
from ml.rank.rules import Rules, begin, is_pinned, options, pin_of, place

UNSURE = -1


def sure_from(rules: Rules) -> NDArray[np.int64]:
    """Return (k,) the position f from which each candidate is sure to be drawn from; -1 where it is not."""
    k = len(rules.themes)
    found = np.full(k, UNSURE, dtype=np.int64)
    _sure_from(rules.arrays, np.ones(k, dtype=np.bool_), found)
    return found


def unsure(of_widgets: NDArray[np.floating], rules: Rules) -> Floats:
    """Return (n,) the share of a target's (n, k) looks, or probabilities, on candidates that are not sure."""
    total = of_widgets.sum(axis=1)
    lost = of_widgets[:, sure_from(rules) == UNSURE].sum(axis=1)
    return np.divide(lost, total, out=np.zeros(len(total)), where=total > 0)


def counts(
    slates: NDArray[np.integer],
    looked: NDArray[np.bool_],
    propensities: Floats,
    probabilities: Floats,
    exposures: Floats,
    rules: Rules,
    seen: Floats,
) -> Floats:
    """Return (n, K) how often the reward at each position counts; 0 where nobody looked.

    Parameters
    ----------
    slates
        (n, K) columns of the logged widgets, -1 where there is none; every candidate was eligible.
    looked
        (n, K) whether a position was seen, and all above it.
    propensities, probabilities
        (n, K) given what stands before, under the log and the target.
    exposures
        (n, K) Eₐ of the logged widgets under the target (`ml.ope.slates.Exposures`).
    rules
        those of the log.
    seen
        (K,) chance that each position is seen.

    """
    first = sure_from(rules)
    first[first >= slates.shape[1]] = UNSURE
    shares = np.zeros(slates.shape)
    arrays, everyone = rules.arrays, np.ones(len(first), dtype=np.bool_)
    _shares(slates.astype(np.int64), looked, propensities, arrays, everyone, first, shares)
    there = slates >= 0
    of_logged = np.where(there, first[np.maximum(slates, 0)], 0)
    reach = np.where(of_logged == UNSURE, 1.0, seen[np.maximum(of_logged, 0)])
    scale = np.divide(seen[0], reach, out=np.zeros(reach.shape), where=reach > 0)
    prefixes = np.cumprod(probabilities / propensities, axis=1)
    known = shares * scale * np.where(there, exposures, 0.0)
    return np.where(looked & there, np.where(of_logged == UNSURE, prefixes, known), 0.0)


@numba.njit(cache=True, nogil=True)
def _sure_from(rules, everyone, found):  # type: ignore[no-untyped-def]
    k = len(everyone)
    left, allowed = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
    tally = np.empty(len(rules.caps), dtype=np.int64)
    begin(everyone, rules, left, tally)
    slate = np.full(len(rules.pins), -1, dtype=np.int64)
    for position in range(len(rules.pins)):
        pin = pin_of(position, everyone, rules)
        if pin >= 0:
            found[pin] = position
            slate[position] = pin
    for position in range(len(rules.pins)):
        if pin_of(position, everyone, rules) < 0:
            options(position, slate, everyone, rules, left, allowed)
            for column in range(k):
                if allowed[column] and found[column] < 0:
                    found[column] = position
            return


@numba.njit(cache=True, nogil=True)
def _shares(slates, looked, propensities, rules, everyone, first, shares):  # type: ignore[no-untyped-def]
    """Fill `shares` with wᵢ / pᵢ and what is left after it, of each logged widget at its own position i."""
    k, positions = len(everyone), slates.shape[1]
    left, allowed = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
    sure = np.empty(k, dtype=np.bool_)
    tally = np.empty(len(rules.caps), dtype=np.int64)
    unspent = np.empty(k)
    for row in range(len(slates)):
        begin(everyone, rules, left, tally)
        unspent[:] = 1.0
        depth, free = 0, 0
        while depth < positions and looked[row, depth]:
            free += pin_of(depth, everyone, rules) < 0
            depth += 1
        for position in range(depth):
            chosen = slates[row, position]
            if chosen < 0:
                continue
            is_pin = is_pinned(chosen, everyone, rules)
            if is_pin:
                shares[row, position] = 1.0 if first[chosen] < depth else 0.0
            if pin_of(position, everyone, rules) < 0:
                count = options(position, slates[row], everyone, rules, left, allowed)
                free -= 1
                sure[:] = False
                if free > 0 and count > 1:
                    _sure_next(position, slates[row], rules, everyone, left, tally, allowed, sure)
                for column in range(k):
                    if allowed[column]:
                        weight = unspent[column] / (free + 1) if sure[column] else unspent[column]
                        unspent[column] -= weight
                        if column == chosen and not is_pin:
                            shares[row, position] = weight / propensities[row, position] + unspent[column]
            place(chosen, everyone, rules, left, tally)


@numba.njit(cache=True, nogil=True)
def _sure_next(position, slate, rules, everyone, left, tally, allowed, sure):  # type: ignore[no-untyped-def]
    """Fill `sure` with those who stay allowed at the next free position, whoever else is drawn here."""
    then = slate.copy()
    later = position + 1
    while later < len(slate) and pin_of(later, everyone, rules) >= 0:
        then[later] = pin_of(later, everyone, rules)
        later += 1
    after, kept, still = left.copy(), tally.copy(), np.empty(len(left), dtype=np.bool_)
    sure[:] = allowed
    for other in range(len(allowed)):
        if allowed[other]:
            after[:] = left
            kept[:] = tally
            then[position] = other
            place(other, everyone, rules, after, kept)
            options(later, then, everyone, rules, after, still)
            for column in range(len(sure)):
                sure[column] = sure[column] and (still[column] or column == other)
