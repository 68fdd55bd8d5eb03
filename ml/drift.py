"""How far two populations are apart, from counts that add: PSI, Jensen-Shannon, and what chance says of it.

    PSI = Σ over bins (q - p) ln(q / p)                          Siddiqi 2006, Credit Risk Scorecards
    JS  = ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½ (p + q), in bits      Lin 1991: 0 alike, 1 apart

    shift = ∫ |P - Q| dx / σ of the reference + |change of the share that is missing|

the Wasserstein distance of what is known, in standard deviations. PSI alone cries wolf where many values
are one (a mean that is shrunk to the population's): moved by a hair over the edge of a bin, all of them move.

Bins are deciles of the reference, and one for what is missing. Counts are kept finer, by `codes` that do not
depend on the data: so they add over days, batches and groups, and any reference may be chosen afterwards.
Between two samples of one population PSI is about n m / (n + m) of a χ² with bins - 1 degrees of freedom
(Yurdakul 2018, Statistical Properties of the Population Stability Index), so small groups move by chance:
`chance` is the tail of Pearson's χ² of homogeneity over the same bins, which bears empty ones better.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

LEAST = 1e-4
"""Share that an empty bin counts as in PSI."""
PARTS = 64
"""Codes an octave: they tell numbers apart that differ by a 64th of the power of 2 below them."""
LOWEST, HIGHEST = -20, 41
"""Powers of 2 between which numbers are told apart; beyond them they count as the nearest that are."""
REACH = (HIGHEST - LOWEST) * PARTS
MISSING = 0
SIZE = 2 * REACH + 2
"""Number of codes: what is missing, negative numbers, 0, positive numbers."""


class Apart(NamedTuple):
    """Two populations: psi, js, shift as above; chance: how likely as much is where nothing moved."""

    psi: float
    js: float
    shift: float
    chance: float


def codes(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the code of each value, in the order of the values; `MISSING` for NaN."""
    mantissa, power = np.frexp(np.abs(values, dtype=np.float64))
    # A mantissa lies from ½ to 1: an octave is cut evenly, exactly, without a logarithm.
    size = (power - 1 - LOWEST) * PARTS + np.floor((mantissa - 0.5) * 2 * PARTS)
    size = np.where(values == 0, 0, np.clip(size + 1, 1, REACH))
    return np.where(np.isnan(values), MISSING, 1 + REACH + np.sign(values) * size).astype(np.int64)


def compare(reference: NDArray[np.integer], current: NDArray[np.integer]) -> Apart:
    """Compare two populations given their (SIZE,) counts by code.

    Raises
    ------
    ValueError
        When one of them is empty.

    """
    n, m = int(reference.sum()), int(current.sum())
    if not n or not m:
        raise ValueError(f"populations of {n} and {m}: neither may be empty")
    bins = deciles(reference)
    count = int(bins.max()) + 1
    p = np.bincount(bins, weights=reference, minlength=count) / n
    q = np.bincount(bins, weights=current, minlength=count) / m
    used = (p > 0) | (q > 0)
    pearson = (n * m * (p - q)[used] ** 2 / (n * p + m * q)[used]).sum()
    tail = float(chi2.sf(pearson, used.sum() - 1)) if used.sum() > 1 else 1.0
    return Apart(psi_of(p, q), _jensen_shannon(p, q), shift(reference, current), tail)


def deciles(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the bin of each code: 0 for what is missing, then those that the counts' deciles cut.

    A bin holds whole codes, and ends with the code in which a decile lies.
    """
    known = np.cumsum(counts[MISSING + 1 :])
    bins = np.zeros(len(counts), dtype=np.int64)
    if known[-1]:
        ends = np.unique(np.searchsorted(known, known[-1] * np.arange(1, 10) / 10))
        bins[MISSING + 1 :] = 1 + np.searchsorted(ends, np.arange(len(known)))
    else:
        bins[MISSING + 1 :] = 1
    return bins


def shift(reference: NDArray[np.integer], current: NDArray[np.integer]) -> float:
    """Return how far the known values went, in standard deviations, and the change of the missing share."""
    missing = abs(reference[MISSING] / reference.sum() - current[MISSING] / current.sum())
    p, q = (counts[MISSING + 1 :].astype(np.int64) for counts in (reference, current))
    n, m = int(p.sum()), int(q.sum())
    if not n or not m:
        return float(missing)
    # In whole numbers: what is left of a difference would count by the widths of the largest codes.
    distance = float((np.abs(np.cumsum(p * m - q * n))[:-1] * np.diff(VALUES)).sum() / (n * m))
    mean = float(p @ VALUES) / n
    # Where all were one, their size is the measure.
    spread = float(np.sqrt(p @ (VALUES - mean) ** 2 / n)) or abs(mean) or 1.0
    return distance / spread + float(missing)


def _values() -> NDArray[np.float64]:
    """Return the lower end of each code that is known, in its order."""
    size = np.arange(REACH)
    positive = np.ldexp(1 + size % PARTS / PARTS, size // PARTS + LOWEST)
    return np.concatenate([-positive[::-1], [0.0], positive])


VALUES = _values()


def psi_of(p: NDArray[np.floating], q: NDArray[np.floating]) -> float:
    """Return the index of (b,) shares p and q; an empty bin counts as `LEAST`."""
    p, q = np.maximum(p, LEAST), np.maximum(q, LEAST)
    return float(((q - p) * np.log(q / p)).sum())


def _jensen_shannon(p: NDArray[np.floating], q: NDArray[np.floating]) -> float:
    middle = (p + q) / 2
    parts = [(of[of > 0] * np.log2(of[of > 0] / middle[of > 0])).sum() for of in (p, q)]
    return float(max(0.0, sum(parts) / 2))
