"""What happened: a log of one action a row, with the probability it was chosen with and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

OPTIONAL = ("clusters", "policies", "decisions")


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Logged feedback of one action a row: n rows, g goals, k actions.

    Attributes
    ----------
    actions
        (n,) int64, the action shown, 0 to k - 1.
    rewards
        (n, g) float64, what came of it, by goal.
    propensities
        (n,) float64 in (0, 1], the probability that the logging policy showed it with.
    action_set
        names of the k actions.
    goals
        names of the g goals.
    clusters
        (n,) int64 codes from 0: the subject (or draw) of a row; rows of one cluster may depend on each other.
        None when every row stands for itself.
    policies
        (n,) int64 codes from 0 of the logging policy of each row; None for one policy.
    decisions
        (n,) int64 ids that no two rows share; None when rows have none.

    Raises
    ------
    ValueError
        When a value breaks its rule; it names the column, the row and the rule.

    """

    actions: Integers
    rewards: Floats
    propensities: Floats
    action_set: tuple[str, ...]
    goals: tuple[str, ...] = ("reward",)
    clusters: Integers | None = None
    policies: Integers | None = None
    decisions: Integers | None = None

    @classmethod
    def of(
        cls, actions: ArrayLike, rewards: ArrayLike, propensities: ArrayLike, *, action_set: Any, **more: Any
    ) -> Self:
        """Build a log from arrays of any numeric type; rewards (n,) are one goal, `action_set` may be k."""
        if isinstance(action_set, int):
            action_set = tuple(str(action) for action in range(action_set))
        values = np.asarray(rewards, dtype=np.float64)
        for name in ("clusters", "policies", "decisions"):
            if more.get(name) is not None:
                more[name] = codes(more[name], name)
        return cls(
            codes(actions, "actions"),
            values[:, None] if values.ndim == 1 else values,
            np.asarray(propensities, dtype=np.float64),
            tuple(action_set),
            **more,
        )

    def __post_init__(self) -> None:
        """Check every rule."""
        rows, width = len(self.actions), len(self.goals)
        if rows == 0:
            raise ValueError("the log has no rows: there is nothing to evaluate")
        if self.rewards.shape != (rows, width):
            raise ValueError(f"rewards must have shape ({rows}, {width}), not {self.rewards.shape}")
        for name in ("propensities", "clusters", "policies", "decisions"):
            column = getattr(self, name)
            if column is not None and column.shape != (rows,):
                raise ValueError(f"{name} must have shape ({rows},), not {column.shape}")
        last = len(self.action_set) - 1
        refuse(
            (self.actions < 0) | (self.actions > last), "actions", self.actions, f"actions are 0 to {last}"
        )
        refuse(
            ~((self.propensities > 0) & (self.propensities <= 1)),
            "propensities",
            self.propensities,
            "a propensity is above 0 and at most 1",
        )
        for number, goal in enumerate(self.goals):
            values = self.rewards[:, number]
            refuse(~np.isfinite(values), f"rewards of {goal!r}", values, "a reward is a finite number")
            if not values.any():
                raise ValueError(
                    f"rewards of {goal!r} are 0 in all {rows} rows: nothing can be learned from them; "
                    "look whether outcomes were joined"
                )
        for name in ("clusters", "policies"):
            column = getattr(self, name)
            if column is not None:
                refuse(column < 0, name, column, "codes start at 0")
        if self.decisions is not None:
            _refuse_repeats(self.decisions)

    def __len__(self) -> int:
        return len(self.actions)

    def rows(self, wanted: NDArray[Any] | slice) -> Self:
        """Return some of the rows."""
        picked = {name: getattr(self, name) for name in OPTIONAL}
        columns = {name: None if column is None else column[wanted] for name, column in picked.items()}
        return type(self)(
            self.actions[wanted],
            self.rewards[wanted],
            self.propensities[wanted],
            self.action_set,
            self.goals,
            **columns,
        )


def join(logs: Mapping[str, Log]) -> Log:
    """Put logs of the same actions and goals, such as days, one after the other.

    Raises
    ------
    ValueError
        When two logs differ in actions, goals or columns, or one repeats the other; it names them.

    """
    if not logs:
        raise ValueError("there is no log to evaluate")
    (first, one), *others = logs.items()
    for name, log in others:
        if log.action_set != one.action_set:
            only = sorted(set(log.action_set) ^ set(one.action_set))
            what = f"only one of them has {', '.join(only)}" if only else "their order differs"
            raise ValueError(f"the logs of {first} and {name} have different action sets: {what}")
        if log.goals != one.goals:
            raise ValueError(f"the logs of {first} and {name} have different goals: {one.goals}, {log.goals}")
    _refuse_copies(logs)
    optional: dict[str, Integers | None] = {}
    for column in OPTIONAL:
        parts = [getattr(log, column) for log in logs.values()]
        if any(part is None for part in parts) and any(part is not None for part in parts):
            raise ValueError(f"some of the logs have {column} and some have none")
        optional[column] = None if parts[0] is None else np.concatenate(parts)
    return Log(
        np.concatenate([log.actions for log in logs.values()]),
        np.concatenate([log.rewards for log in logs.values()]),
        np.concatenate([log.propensities for log in logs.values()]),
        one.action_set,
        one.goals,
        **optional,
    )


def codes(values: ArrayLike, column: str) -> Integers:
    """Return whole numbers as int64; refuse fractions and missing values, naming the row."""
    found = np.asarray(values)
    if found.dtype.kind in "iu":
        return found.astype(np.int64, copy=False)
    numbers = found.astype(np.float64)
    refuse(~(numbers == np.floor(numbers)) | np.isinf(numbers), column, numbers, "it is a whole number")
    return numbers.astype(np.int64)


def refuse(wrong: NDArray[np.bool_], column: str, values: NDArray[Any], rule: str) -> None:
    """Raise a ValueError that names the first wrong row of a column, its value and the rule."""
    if wrong.any():
        _refuse_row(column, int(np.argmax(wrong)), values[int(np.argmax(wrong))], rule)


def same_length(log: Log, columns: Mapping[str, NDArray[Any] | None], shape: Sequence[int]) -> None:
    """Refuse columns that do not have the log's rows."""
    expected = (len(log), *shape)
    for name, column in columns.items():
        if column is not None and column.shape != expected:
            raise ValueError(f"{name} must have shape {expected}, not {column.shape}")


def _refuse_row(column: str, row: int, value: Any, rule: str) -> NoReturn:
    said = "missing" if value != value else f"{value:.6g}" if isinstance(value, float) else f"{value}"
    raise ValueError(f"{column}, row {row}: {said}, but {rule}")


def _refuse_repeats(decisions: Integers) -> None:
    order = np.argsort(decisions, kind="stable")
    again = np.flatnonzero(decisions[order][1:] == decisions[order][:-1])
    if len(again):
        row, earlier = int(order[again[0] + 1]), int(order[again[0]])
        raise ValueError(
            f"decisions, row {row}: {decisions[row]}, but row {earlier} has it too: the log holds rows twice"
        )


def _refuse_copies(logs: Mapping[str, Log]) -> None:
    seen: dict[tuple[bytes, ...], str] = {}
    for name, log in logs.items():
        columns = (log.actions, log.rewards, log.propensities, log.clusters)
        content = tuple(b"" if column is None else column.tobytes() for column in columns)
        if content in seen:
            raise ValueError(f"the logs of {seen[content]} and {name} are the same rows: one is a copy")
        seen[content] = name
