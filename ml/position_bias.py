"""How likely a position is looked at: the examination curve, and click rates freed of it.

The position-based model (Richardson, Dominowska and Ragno 2007; Craswell et al. 2008): a widget w at
position k is clicked with probability θ_k γ_w, where θ_k is the probability that the position is examined
and γ_w that who examines w clicks it, whatever the position. θ is known up to a factor; here θ_0 is 1 in
`from_swaps`, and a share of servings in `from_seen`.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def from_seen(served: Integers, seen: Integers) -> Floats:
    """Return θ where the log tells what came into view: the share of servings whose position was seen.

    served, seen: servings and sightings by position, (K,). NaN where a position was never served.

    Raises:
        ValueError: more was seen than served.

    """
    if (seen > served).any() or (seen < 0).any():
        raise ValueError("A position cannot be seen more often than it was served.")
    return np.where(served > 0, seen / np.maximum(served, 1), np.nan)


def swap_weight(propensity: Floats, next_propensity: Floats) -> Floats:
    """Return 1 / P(this order of two neighbours | the two, and what stands before them).

    For layouts drawn without replacement by fixed weights, renormalised over what is left (Plackett-Luce):
    with w_a and w_b as shares of what is left at position k, the logged propensities are p_k = w_a and
    p_{k+1} = w_b / (1 - w_a), and

        P(a, b) = w_a w_b / (1 - w_a),   P(b, a) = w_a w_b / (1 - w_b),
        1 / P(a, b | {a, b}) = 1 + (1 - w_a) / (1 - w_b).

    What follows depends only on what is left, so nothing else enters. NaN where nothing was drawn: p_k = 1.

    propensity, next_propensity: of the positions k and k + 1, each given those before it, in (0, 1], (n,).
    """
    first = np.asarray(propensity, dtype=np.float64)
    second = np.asarray(next_propensity, dtype=np.float64) * (1 - first)
    return np.where(first < 1, 1 + (1 - first) / (1 - second), np.nan)


def from_swaps(at_upper: Floats, at_lower: Floats) -> Floats:
    """Return θ relative to θ_0 from clicks alone, by the swaps that a random draw makes (K,).

    Joachims, Swaminathan and Schnabel (2017) estimate θ_{k+1} / θ_k by swapping widgets between
    two positions at random; Agarwal et al. (2019) harvest such swaps from logs. Here each serving is one:
    which of two neighbours stands above is random with a known probability, so with ρ = `swap_weight`

        E[Σ ρ c_k] = θ_k (γ_a + γ_b),   E[Σ ρ c_{k+1}] = θ_{k+1} (γ_a + γ_b)

    for each serving, however relevant its widgets are to whom: their ratio needs no model of relevance.

    at_upper: Σ ρ·clicks at position k of the pair (k, k + 1), by k, (K - 1,).
    at_lower: Σ ρ·clicks at position k + 1 of the same pairs, (K - 1,).
    """
    upper, lower = np.asarray(at_upper, dtype=np.float64), np.asarray(at_lower, dtype=np.float64)
    ratios = np.where(upper > 0, lower / np.where(upper > 0, upper, 1.0), np.nan)
    return np.concatenate([[1.0], np.cumprod(ratios)])


def click_rate(clicks: Integers, served: Integers, examination: Floats, prior: tuple[float, float]) -> Floats:
    """Return γ, the click rate of what is examined: (clicks + a) / (Σ_k θ_k served_k + b), (n,).

    clicks: (n,). served: servings by position, (n, K). examination: θ, (K,).
    prior: a and b: as if a clicks had come of b examined servings, which tame small numbers.
    """
    examined = np.asarray(served, dtype=np.float64) @ np.asarray(examination, dtype=np.float64)
    a, b = prior
    total = examined + b
    return np.where(total > 0, (clicks + a) / np.where(total > 0, total, 1.0), np.nan)
