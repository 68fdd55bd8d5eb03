"""What the job drift counts and compares: values by quantity, day, group and code, and pairs of days."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs import maps
from jobs.contracts import contract
from ml import drift

FEATURE, SCORE, REWARD = "feature", "score", "reward"
TRAINING, LAST_PERIOD = "training", "last period"
STEADY, WATCH, ALARM = "steady", "watch", "alarm"
EVERYONE = "everyone"
Counts = dict[tuple[date, str], NDArray[np.int64]]


@dataclass(frozen=True)
class Bounds:
    """From which PSI on a quantity is watched and alarms, if it went far enough and not by chance."""

    watch: float
    alarm: float
    shift: float
    chance: float

    def level(self, found: drift.Apart) -> str:
        """Name what two populations come to."""
        if found.chance > self.chance or found.shift < self.shift or found.psi < self.watch:
            return STEADY
        return ALARM if found.psi >= self.alarm else WATCH


@dataclass(frozen=True)
class Pair:
    """Two days to compare; of scores only those of `model`, where it is named."""

    day: date
    against: str
    earlier: date
    model: str | None = None

    def has(self, kind: str, name: str) -> bool:
        """Tell whether it compares a quantity."""
        if self.against == LAST_PERIOD:
            return True
        return (kind == SCORE and name.split("/")[0] == self.model) if self.model else kind != SCORE


def count(
    batches: Iterable[pa.RecordBatch], *, kind: str, maps_of: Mapping[str, str]
) -> Iterator[pa.RecordBatch]:
    """Count each batch's values by quantity, day, group and code.

    maps_of : columns of maps, with what their keys begin with among all quantities.
    """
    for batch in batches:
        for column, prefix in maps_of.items():
            if names := maps.keys_of(batch.column(column)):
                yield _counts(batch, column, names, prefix, kind)


def _counts(batch: pa.RecordBatch, column: str, names: list[str], prefix: str, kind: str) -> pa.RecordBatch:
    row, name, value = maps.entries(batch.column(column), names)
    days, groups = (pc.dictionary_encode(batch.column(key)) for key in ("day", "group"))
    # A subject without a segment is of a group of its own, without a name.
    group = np.asarray(pc.fill_null(groups.indices, len(groups.dictionary)))
    shape = (len(names), len(days.dictionary), len(groups.dictionary) + 1, drift.SIZE)
    keys = (name, np.asarray(days.indices)[row], group[row], drift.codes(value))
    places, n = np.unique(np.ravel_multi_index(keys, shape), return_counts=True)
    names_of, days_of, groups_of, codes = np.unravel_index(places, shape)
    columns = {
        "kind": pa.array([kind] * len(places), pa.string()),
        "name": pa.array([prefix + each for each in names], pa.string()).take(pa.array(names_of)),
        "day": days.dictionary.take(pa.array(days_of)),
        "group": pa.concat_arrays([groups.dictionary, pa.nulls(1, pa.string())]).take(pa.array(groups_of)),
        "code": pa.array(codes, pa.int64()),
        "n": pa.array(n, pa.int64()),
    }
    return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class Everyone:
    """How many subjects a day has by segment; None is of those without one."""

    by_segment: Mapping[tuple[date, str | None], int]

    def counts(self, counted: pa.Table) -> Counts:
        """Return (SIZE,) counts of one quantity, by day and group.

        Who has features, and not this one, has it missing: a feature that is gone from a day is missing of
        all. Scores and rewards are of those alone who have some.
        """
        found: Counts = {}
        is_feature = counted["kind"][0].as_py() == FEATURE
        for (day, segment), subjects in self.by_segment.items() if is_feature else ():
            for group in _groups(segment):
                _own(found, day, group)[drift.MISSING] += subjects
        for row in counted.select(["day", "group", "code", "n"]).to_pylist():
            for group in _groups(row["group"]):
                own = _own(found, row["day"], group)
                own[row["code"]] += row["n"]
                own[drift.MISSING] -= row["n"] if is_feature else 0
        return found


def _groups(segment: str | None) -> list[str]:
    return [EVERYONE] if segment is None else [EVERYONE, segment]


def _own(counts: Counts, day: date, group: str) -> NDArray[np.int64]:
    return counts.setdefault((day, group), np.zeros(drift.SIZE, dtype=np.int64))


def comparer(wanted: Sequence[Pair], everyone: Everyone, bounds: Bounds) -> Callable[[pa.Table], pa.Table]:
    schema = contract("drift").arrow_schema.remove_metadata()

    def compare(counted: pa.Table) -> pa.Table:
        kind, name = (counted[column][0].as_py() for column in ("kind", "name"))
        counts = everyone.counts(counted)
        groups = sorted({group for _, group in counts})
        rows = [
            row_of(pair, kind, name, group, counts[pair.day, group], counts[pair.earlier, group], bounds)
            for pair in wanted
            if pair.has(kind, name)
            for group in groups
            if (pair.day, group) in counts and (pair.earlier, group) in counts
        ]
        return pa.Table.from_pylist(rows, schema=schema)

    return compare


def row_of(
    pair: Pair,
    kind: str,
    name: str,
    group: str,
    current: NDArray[np.int64],
    earlier: NDArray[np.int64],
    bounds: Bounds,
) -> dict[str, Any]:
    """Return a comparison as a row of the table."""
    found = drift.compare(earlier, current)
    return {
        "drift_date": pair.day, "kind": kind, "name": name, "who": group,
        "against": pair.against, "against_date": pair.earlier,
        "n": int(current.sum()), "n_earlier": int(earlier.sum()),
        "psi": found.psi, "js": found.js, "shift": found.shift, "chance": found.chance,
        "level": bounds.level(found),
    }  # fmt: skip
