"""What a linear bandit learns from, in a form that sums: by arm, n, Σ x xᵀ, Σ r x and Σ r².

A day's statistics are sums over its rows, in the order of the rows; a model for any day is a sum of days,
each weighted by its age. λI is no part of them: the estimator adds it once, after the decay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numba
import numpy as np
from numpy.typing import NDArray

from ml.threads import cores, in_blocks

ROWS_FOR_THREADS = 1 << 14
TOGETHER = 64
"""Rows of an arm whose products are summed at once; part of what a sum is, to the last bit."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sums over rows by arm; k arms, d features.

    n : (k,) int64, rows. Never weighted: what the sums rest on.
    xx : (k, d(d+1)/2) float64, Σ x xᵀ, the upper triangle row after row.
    rx : (k, d) float64, Σ r x.
    rr : (k,) float64, Σ r².
    """

    n: NDArray[np.int64]
    xx: NDArray[np.float64]
    rx: NDArray[np.float64]
    rr: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check that the shapes belong together and that nothing is missing."""
        arms, width = self.rx.shape
        shapes = (self.n.shape, self.xx.shape, self.rr.shape)
        if shapes != ((arms,), (arms, triangle(width)), (arms,)):
            raise ValueError(f"statistics of {arms} arms and {width} features cannot have shapes {shapes}")
        for name in ("xx", "rx", "rr"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"statistics need numbers: {name} holds NaN or infinity")

    @property
    def width(self) -> int:
        """Features of an arm's x."""
        return self.rx.shape[1]

    def __add__(self, other: "Statistics") -> "Statistics":
        """Add the sums of other rows of the same arms and features."""
        if self.rx.shape != other.rx.shape:
            raise ValueError(f"statistics of shapes {self.rx.shape} and {other.rx.shape} do not add")
        return Statistics(self.n + other.n, self.xx + other.xx, self.rx + other.rx, self.rr + other.rr)

    def weighted(self, weight: float) -> "Statistics":
        """Let the rows count `weight` times; n stays, as it counts what was seen."""
        return Statistics(self.n, self.xx * weight, self.rx * weight, self.rr * weight)


def triangle(width: int) -> int:
    """Return how many numbers the upper triangle of a square matrix has."""
    return width * (width + 1) // 2


def empty(arms: int, width: int) -> Statistics:
    """Return the statistics of no rows."""
    return Statistics(
        np.zeros(arms, dtype=np.int64),
        np.zeros((arms, triangle(width))),
        np.zeros((arms, width)),
        np.zeros(arms),
    )


def of_rows(
    contexts: NDArray[np.floating], actions: NDArray[np.integer], rewards: NDArray[np.floating], *, arms: int
) -> Statistics:
    """Sum rows in their order.

    Parameters
    ----------
    contexts
        (n, d) x of each row's arm.
    actions
        (n,) the arm shown, 0 to arms - 1.
    rewards
        (n,) what came of it.
    arms
        how many arms there are.

    Raises
    ------
    ValueError
        On shapes that do not fit, an action outside the set, NaN or infinity; each names the first such row.

    """
    sums = RunningSums(arms, contexts.shape[1] if contexts.ndim == 2 else 0)
    sums.add(contexts, actions, rewards)
    return sums.statistics()


class RunningSums:
    """Sums of rows as they come: batches in order give the same bits as all rows at once.

    An arm's rows wait until there are `TOGETHER` of them; the products of these are one matrix product.

    Parameters
    ----------
    arms
        how many arms there are; `grow` makes room for more.
    width
        features of an arm's x.

    """

    def __init__(self, arms: int, width: int) -> None:
        self._n = np.zeros(arms, dtype=np.int64)
        self._xx = np.zeros((arms, width, width))
        self._rx = np.zeros((arms, width))
        self._rr = np.zeros(arms)
        self._waiting = np.zeros((arms, TOGETHER, width))

    def grow(self, arms: int) -> None:
        """Make room for more arms, behind those that there are."""
        if arms <= len(self._n):
            return
        for name in ("_n", "_xx", "_rx", "_rr", "_waiting"):
            had = getattr(self, name)
            setattr(self, name, np.concatenate([had, np.zeros((arms - len(had), *had.shape[1:]), had.dtype)]))

    def add(
        self,
        contexts: NDArray[np.floating],
        actions: NDArray[np.integer],
        rewards: NDArray[np.floating],
    ) -> None:
        """Add rows, one after the other; arguments and errors as for `of_rows`.

        After an error the sums hold some of the rows: they are of no further use.
        """
        arms, width = self._rx.shape
        if contexts.ndim != 2 or contexts.shape[1] != width:
            raise ValueError(f"contexts must have shape (n, {width}), not {contexts.shape}")
        rows = len(contexts)
        if actions.shape != (rows,) or rewards.shape != (rows,):
            raise ValueError(
                f"{rows} contexts need as many actions and rewards, not {actions.shape}, {rewards.shape}"
            )
        _refuse(~np.isfinite(rewards), "the reward of row {} is not a number")
        _refuse((actions < 0) | (actions >= arms), f"the action of row {{}} is none of the {arms} arms")
        values = np.ascontiguousarray(contexts)
        shown = np.ascontiguousarray(actions, dtype=np.int64)
        given = np.ascontiguousarray(rewards, dtype=np.float64)
        sums = (self._n, self._xx, self._rx, self._rr, self._waiting)
        are_numbers = []

        def work(_: int, first: int, last: int) -> None:
            are_numbers.append(_add(values, shown, given, first, last, *sums))

        in_blocks(work, arms, -(-arms // cores()) if rows >= ROWS_FOR_THREADS else max(arms, 1))
        if not all(are_numbers):
            _refuse(~np.isfinite(contexts).all(axis=1), "the context of row {} holds NaN or infinity")

    def statistics(self) -> Statistics:
        """Return the sums over all rows so far."""
        xx = self._xx.copy()
        _add_waiting(self._n, self._waiting, xx)
        return Statistics(self._n.copy(), pack(xx), self._rx.copy(), self._rr.copy())


def as_of(
    days: Sequence[tuple[date, Statistics]],
    day: date,
    *,
    window_days: int | None = None,
    half_life_days: float | None = None,
    open_days: int = 0,
) -> Statistics | None:
    """Sum the days up to `day`, oldest first, each weighted by 2^(-age / half-life); None for no days.

    Parameters
    ----------
    days
        statistics by day, in rising order of days.
    day
        the newest day that counts; its age is 0.
    window_days
        how many days count, `day` included; None for all.
    half_life_days
        age at which a row counts half; None for no decay.
    open_days
        how many of the newest days do not count, as rewards may still come that are zeros until then.

    """
    total: tuple[date, Statistics] | None = None
    for then, sums in days:
        age = (day - then).days
        if age >= open_days and (window_days is None or age < window_days):
            total = _plus(total, then, sums, half_life_days)
    return None if total is None else _aged(total[1], (day - total[0]).days, half_life_days)


def as_of_each(
    days: Sequence[tuple[date, Statistics]],
    wanted: Sequence[date],
    *,
    window_days: int | None = None,
    half_life_days: float | None = None,
    open_days: int = 0,
) -> Iterator[tuple[date, Statistics | None]]:
    """Yield (day, `as_of` that day) for rising days, to the same bits; without a window, at one sum a day."""
    if window_days is not None:
        for day in wanted:
            yield (
                day,
                as_of(days, day, window_days=window_days, half_life_days=half_life_days, open_days=open_days),
            )
        return
    total: tuple[date, Statistics] | None = None
    position = 0
    for day in wanted:
        while position < len(days) and (day - days[position][0]).days >= open_days:
            total = _plus(total, *days[position], half_life_days)
            position += 1
        yield day, None if total is None else _aged(total[1], (day - total[0]).days, half_life_days)


def running(
    days: Sequence[tuple[date, Statistics]], half_life_days: float | None = None
) -> tuple[date, Statistics] | None:
    """Return the last of the days and the sum of all as of it; put before later days, it stands for them."""
    total: tuple[date, Statistics] | None = None
    for day, sums in days:
        total = _plus(total, day, sums, half_life_days)
    return total


def unpack(packed: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return the (k, d, d) symmetric matrices of (k, d(d+1)/2) upper triangles."""
    if packed.ndim != 2 or packed.shape[1] != triangle(width):
        raise ValueError(
            f"upper triangles of {width} features have {triangle(width)} numbers, not {packed.shape}"
        )
    rows, columns = np.triu_indices(width)
    matrices = np.empty((len(packed), width, width))
    matrices[:, rows, columns] = packed
    matrices[:, columns, rows] = packed
    return matrices


def pack(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (k, d(d+1)/2) upper triangles of (k, d, d) symmetric matrices."""
    rows, columns = np.triu_indices(matrices.shape[-1])
    return np.ascontiguousarray(matrices[:, rows, columns])


def _plus(
    total: tuple[date, Statistics] | None, day: date, sums: Statistics, half_life_days: float | None
) -> tuple[date, Statistics]:
    if total is None:
        return day, sums
    return day, _aged(total[1], (day - total[0]).days, half_life_days) + sums


def _aged(statistics: Statistics, days: int, half_life_days: float | None) -> Statistics:
    if half_life_days is None or days == 0:
        return statistics
    return statistics.weighted(2.0 ** (-days / half_life_days))


def _refuse(wrong: NDArray[np.bool_], sentence: str) -> None:
    if wrong.any():
        raise ValueError(sentence.format(int(np.argmax(wrong))))


@numba.njit(cache=True, nogil=True)
def _add(contexts, actions, rewards, first, last, n, xx, rx, rr, waiting):  # type: ignore[no-untyped-def]
    """Add the rows of some arms, each sum in the order of the rows; tell whether all contexts are numbers."""
    width = contexts.shape[1]
    found = np.empty((width, width))
    are_numbers = True
    for row in range(len(contexts)):
        arm = actions[row]
        if arm < first or arm >= last:
            continue
        place = n[arm] % TOGETHER
        reward = rewards[row]
        for i in range(width):
            value = np.float64(contexts[row, i])
            waiting[arm, place, i] = value
            rx[arm, i] += reward * value
        rr[arm] += reward * reward
        n[arm] += 1
        if place == TOGETHER - 1:
            np.dot(waiting[arm].T, waiting[arm], found)
            xx[arm] += found
            are_numbers &= np.isfinite(np.trace(found))
    for arm in range(first, last):
        for row in range(n[arm] % TOGETHER):
            for i in range(width):
                are_numbers &= np.isfinite(waiting[arm, row, i])
    return are_numbers


@numba.njit(cache=True, nogil=True)
def _add_waiting(n, waiting, xx):  # type: ignore[no-untyped-def]
    """Add the products of the rows that wait, with rows of zeros for those that are not there."""
    for arm in range(len(n)):
        there = n[arm] % TOGETHER
        if there:
            rows = np.zeros(waiting.shape[1:])
            rows[:there] = waiting[arm, :there]
            xx[arm] += np.dot(rows.T, rows)
