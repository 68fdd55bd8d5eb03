"""How much of a candidate the widgets before it already say, by similarity.

    mmr  the largest similarity to any of them, 0 to 1 (Carbonell, Goldstein 1998: The use of MMR,
         diversity-based reranking)
    dpp  -log of what is left of its variance given them: 1 less its projection on their span (Chen, Zhang,
         Zhou 2018: Fast greedy MAP inference for determinantal point process, algorithm 1), at most -log ε

With scores s and strength λ, the highest s - λ · redundancy is the greedy choice of MMR, and that of the DPP
with kernel exp(s / 2λ) · S · exp(s / 2λ). A new kind is a name in `ml.rank.rules`, and a branch here.
"""

import numba
import numpy as np

LEAST = 1e-6


@numba.njit(cache=True, nogil=True)
def nothing_yet(cost, residual, components):  # type: ignore[no-untyped-def]
    """Begin a page: nothing is redundant, and everyone's variance is that of a likeness of 1 to itself."""
    cost[:] = 0.0
    residual[:] = 1.0
    components[:] = 0.0


@numba.njit(cache=True, nogil=True)
def add(chosen, step, rules, cost, residual, components):  # type: ignore[no-untyped-def]
    """Note that the chosen one stands on the page, as the `step`-th from 0."""
    kind, likeness = rules.kind, rules.likeness
    if kind == 1:
        for column in range(len(cost)):
            cost[column] = max(cost[column], min(likeness[chosen, column], 1.0))
    elif kind == 2:
        if residual[chosen] <= LEAST:
            return
        root = np.sqrt(residual[chosen])
        for column in range(len(cost)):
            part = likeness[chosen, column]
            for earlier in range(step):
                part -= components[earlier, chosen] * components[earlier, column]
            components[step, column] = part / root
        for column in range(len(cost)):
            residual[column] -= components[step, column] ** 2
            cost[column] = -np.log(max(residual[column], LEAST))
