"""Bootstrap intervals: clusters are drawn anew, and with them every numerator and normaliser.

Poisson: in each resample every cluster counts a number of times that is drawn from Poisson(1), looked up by
(seed, cluster, resample), so one pass over the data makes all resamples, in any number of threads, with the
same result (Hanley, MacGibbon 2006: Creating non-parametric bootstrap samples using Poisson frequencies;
Chamandy et al. 2012: Estimating uncertainty for massive data streams). Multinomial: as many clusters as there
are, drawn with replacement from NumPy's RandomState(seed), the stream that other libraries draw.

The interval holds the middle `level` of the resampled values (Efron 1979, the percentile method).
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from ml.ope.intervals import Interval
from ml.ope.log import Floats, Integers
from ml.ope.terms import Columns, Terms, columns_of
from ml.threads import block_count, cores, in_blocks

Kind = Literal["poisson", "multinomial"]

BLOCK = 1 << 13
BATCH = 4
"""Resamples whose counts are multiplied in one pass over the data."""
STRIP = 1 << 12
MOST_UNDEFINED = 0.1
# How many of 65,536 draws are 0, 1, … 8: Poisson(1) to the nearest step, with mean 1 and variance 1 exactly.
POISSON = (24109, 24110, 12055, 4017, 1005, 201, 34, 4, 1)
STEPS = tuple(int(step) for step in np.cumsum(POISSON)[:-1])
TOGETHER = 8
"""Clusters whose weights are held at once."""


def bootstrap(
    terms: Sequence[Terms],
    clusters: Integers | None = None,
    *,
    resamples: int = 1000,
    seed: int,
    level: float = 0.95,
    kind: Kind = "poisson",
) -> list[Interval]:
    """Return the interval of each of several terms of the same rows, over the same resamples.

    Parameters
    ----------
    terms
        estimates, or differences of estimates, of n rows each.
    clusters
        (n,) codes of what is drawn (subject or draw); None draws rows.
    resamples
        how often.
    seed
        of the resamples: equal seeds give equal intervals.
    level
        share of the resampled values between the ends.
    kind
        `poisson` or `multinomial`.

    """
    if resamples < 2:
        raise ValueError(f"a bootstrap needs at least 2 resamples, not {resamples}")
    columns = columns_of(terms, clusters)
    if columns.sums.shape[1] < 2:
        raise ValueError("a bootstrap needs at least 2 clusters")
    draw = _poisson if kind == "poisson" else _multinomial
    sums = draw(columns.sums, resamples, seed)
    values = _with_noise(columns, columns.values(sums), seed)
    return [
        Interval.around(each.value, _defined(drawn), level) for each, drawn in zip(terms, values, strict=True)
    ]


def _defined(values: Floats) -> Floats:
    """Leave out resamples that drew no row, or none with a weight: they have no value."""
    defined = values[np.isfinite(values)]
    if len(defined) < max(2.0, (1 - MOST_UNDEFINED) * len(values)):
        raise ValueError(
            f"{len(values) - len(defined)} of {len(values)} resamples hold no row with a weight above 0: "
            "there are too few clusters for a bootstrap"
        )
    return defined


def _with_noise(columns: Columns, values: list[Floats], seed: int) -> list[Floats]:
    """Add what simulation leaves unknown, which drawing rows cannot know of."""
    generator = np.random.default_rng(seed)
    return [
        drawn + noise * generator.standard_normal(len(drawn)) if noise else drawn
        for drawn, noise in zip(values, columns.noises, strict=True)
    ]


def _poisson(sums: Floats, resamples: int, seed: int) -> Floats:
    width, clusters = sums.shape
    totals = np.zeros((block_count(clusters, BLOCK), width, resamples))
    key = np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    in_blocks(
        lambda number, start, stop: _add_poisson(sums[:, start:stop], start, key, totals[number]),
        clusters,
        BLOCK,
    )
    return totals.sum(axis=0).T


def _multinomial(sums: Floats, resamples: int, seed: int) -> Floats:
    clusters: int = sums.shape[1]
    totals = np.zeros((resamples, len(sums)))
    stream = np.random.RandomState(seed)
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, resamples, BATCH):
            part = totals[start : start + BATCH]
            drawn = [stream.randint(0, clusters, size=clusters) for _ in part]
            pending.append(pool.submit(_add_drawn, sums, drawn, part))
            if len(pending) > cores():
                pending.pop(0).result()
        for each in pending:
            each.result()
    return totals


def _add_drawn(sums: Floats, drawn: list[NDArray[np.int64]], totals: Floats) -> None:
    counts = np.zeros((len(drawn), sums.shape[1]), dtype=np.uint16)
    for rows, of_resample in zip(drawn, counts, strict=True):
        _count(rows, of_resample)
    _multiply(sums, counts, totals)


@numba.njit(cache=True, nogil=True)
def _add_poisson(sums, first, key, totals):  # type: ignore[no-untyped-def]
    """Add each cluster's sums, times its weight in each resample."""
    columns, resamples = totals.shape
    quads = (resamples + 3) // 4
    values, weights = np.zeros(TOGETHER), np.zeros((TOGETHER, resamples))
    bits, counts = np.empty(quads, dtype=np.uint64), np.empty(resamples, dtype=np.uint16)
    draws = bits.view(np.uint16)
    for start in range(0, sums.shape[1], TOGETHER):
        there = min(TOGETHER, sums.shape[1] - start)
        for row in range(there):
            _mix(key, np.uint64(first + start + row) * np.uint64(quads), bits)
            # Four draws of 16 bits a number, the lowest bits first.
            _to_poisson(draws, counts, weights[row])
        for column in range(columns):
            for row in range(TOGETHER):
                values[row] = sums[column, start + row] if row < there else 0.0
            _add_products(values, weights, totals[column])


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _add_products(values, weights, totals):  # type: ignore[no-untyped-def]
    """Add values times weights, several rows for each time that a total is read and written."""
    for resample in range(len(totals)):
        total = 0.0
        for row in range(TOGETHER):
            total += values[row] * weights[row, resample]
        totals[resample] += total


@numba.njit(cache=True, nogil=True)
def _mix(key, before, bits):  # type: ignore[no-untyped-def]
    """Fill with the splitmix64 numbers of a key that come after so many others."""
    for number in range(len(bits)):
        mixed = key + (before + np.uint64(number + 1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        bits[number] = mixed ^ (mixed >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _to_poisson(draws, counts, weights):  # type: ignore[no-untyped-def]
    """Count the steps that a draw has reached: compared, not looked up, many draws go at once."""
    for place in range(len(counts)):
        count = np.uint16(0)
        for step in STEPS:
            count += np.uint16(draws[place] >= np.uint16(step))
        counts[place] = count
    for place in range(len(counts)):
        weights[place] = counts[place]


@numba.njit(cache=True, nogil=True)
def _count(rows, counts):  # type: ignore[no-untyped-def]
    for row in rows:
        counts[row] += np.uint16(1)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _multiply(sums, counts, totals):  # type: ignore[no-untyped-def]
    width = sums.shape[1]
    weights = np.empty(STRIP, dtype=np.float64)
    for start in range(0, width, STRIP):
        stop = min(start + STRIP, width)
        for resample in range(counts.shape[0]):
            for place in range(stop - start):
                weights[place] = counts[resample, start + place]
            for column in range(sums.shape[0]):
                values = sums[column]
                total = 0.0
                for place in range(stop - start):
                    total += values[start + place] * weights[place]
                totals[resample, column] += total
