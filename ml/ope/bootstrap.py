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
_TABLE = np.repeat(np.arange(len(POISSON), dtype=np.uint8), POISSON)


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
    if len(columns.sums) < 2:
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
    totals = np.zeros((block_count(len(sums), BLOCK), sums.shape[1], resamples))
    key = np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    in_blocks(
        lambda number, start, stop: _add_poisson(sums[start:stop], start, key, _TABLE, totals[number]),
        len(sums),
        BLOCK,
    )
    return totals.sum(axis=0).T


def _multinomial(sums: Floats, resamples: int, seed: int) -> Floats:
    by_column = np.ascontiguousarray(sums.T)
    totals = np.zeros((resamples, sums.shape[1]))
    stream = np.random.RandomState(seed)
    pending: list[Future[None]] = []
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, resamples, BATCH):
            part = totals[start : start + BATCH]
            drawn = [stream.randint(0, len(sums), size=len(sums)) for _ in part]
            pending.append(pool.submit(_add_drawn, by_column, drawn, part))
            if len(pending) > cores():
                pending.pop(0).result()
        for each in pending:
            each.result()
    return totals


def _add_drawn(by_column: Floats, drawn: list[NDArray[np.int64]], totals: Floats) -> None:
    counts = np.zeros((len(drawn), by_column.shape[1]), dtype=np.uint16)
    for rows, of_resample in zip(drawn, counts, strict=True):
        _count(rows, of_resample)
    _multiply(by_column, counts, totals)


@numba.njit(cache=True, nogil=True)
def _add_poisson(sums, first, key, table, totals):  # type: ignore[no-untyped-def]
    """Add each cluster's sums, times its weight in each resample; four weights a splitmix64 number."""
    resamples = totals.shape[1]
    per_row = np.uint64((resamples + 3) // 4)
    weights = np.empty(int(per_row) * 4, dtype=np.float64)
    for row in range(sums.shape[0]):
        counter = np.uint64(first + row) * per_row
        for quad in range(int(per_row)):
            bits = key + (counter + np.uint64(quad + 1)) * np.uint64(0x9E3779B97F4A7C15)
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            bits = bits ^ (bits >> np.uint64(31))
            for lane in range(4):
                weights[4 * quad + lane] = table[(bits >> np.uint64(16 * lane)) & np.uint64(0xFFFF)]
        for column in range(sums.shape[1]):
            value = sums[row, column]
            of_column = totals[column]
            for resample in range(resamples):
                of_column[resample] += value * weights[resample]


@numba.njit(cache=True, nogil=True)
def _count(rows, counts):  # type: ignore[no-untyped-def]
    for row in rows:
        counts[row] += np.uint16(1)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _multiply(by_column, counts, totals):  # type: ignore[no-untyped-def]
    width = by_column.shape[1]
    weights = np.empty(STRIP, dtype=np.float64)
    for start in range(0, width, STRIP):
        stop = min(start + STRIP, width)
        for resample in range(counts.shape[0]):
            for place in range(stop - start):
                weights[place] = counts[resample, start + place]
            for column in range(by_column.shape[0]):
                values = by_column[column]
                total = 0.0
                for place in range(stop - start):
                    total += values[start + place] * weights[place]
                totals[resample, column] += total
