"""Rows of closing_examples as arrays: what models are trained and judged on, on the driver.

Only a sample comes here: at most `sample_rows` subjects of each closing, those with the lowest hash.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs import maps
from jobs.model_specs import ModelSpec
from jobs.publish import Stopped
from ml.classify import Examples, Shape
from ml.classify.examples import Floats

COLUMNS = ("closing_id", "closing_date", "subject", "role", "region", "segment", "features", "categories",
           "churn", "purchases", "rewards", "reward_weights", "next_segment", "features_until", "labels_from",
           "labels_until")  # fmt: skip
SLICES = ("role", "region", "segment")


@dataclass(frozen=True)
class Rows:
    """Rows of closing_examples in a fixed order: closing, subject."""

    table: pa.Table

    def closings(self) -> list[str]:
        """Ids of their closings, oldest first."""
        pairs = zip(self.table["closing_date"].to_pylist(), self.table["closing_id"].to_pylist(), strict=True)
        return [closing for _, closing in sorted(set(pairs))]

    def of(self, closings: Iterable[str]) -> "Rows":
        """Return the rows of some closings."""
        wanted = pa.array(list(closings), pa.string())
        return Rows(self.table.filter(pc.is_in(self.table["closing_id"], value_set=wanted)))

    def known(self, spec: ModelSpec) -> "Rows":
        """Return the rows whose answer to a spec's question is known."""
        column = self.table[{"churn": "churn", "purchase": "purchases", "reward": "rewards",
                             "segment": "next_segment"}[spec.target]]  # fmt: skip
        there = pc.is_valid(column)
        if spec.target in ("purchase", "reward"):
            there = pc.and_(there, pc.greater(pc.fill_null(pc.list_value_length(_lists(column)), 0), 0))
        return Rows(self.table.filter(there))

    def values(self, column: str) -> NDArray[np.object_]:
        """Return a column of strings (n,), None where there is none."""
        return np.array(self.table[column].to_pylist(), dtype=object)

    def names(self, column: str) -> list[str]:
        """Return the keys of a map column, sorted."""
        return maps.keys_of(self.table[column])

    def matrix(self, column: str, names: Sequence[str], dtype: Any = np.float64) -> NDArray[Any]:
        """Return (n, names) values of a map of numbers, column-major, NaN where absent."""
        return maps.table(self.table[column], names, dtype=dtype, order="F")

    def category(self, name: str) -> NDArray[np.object_]:
        """Return one of the categories (n,), None where absent."""
        rows, _, values = maps.entries(self.table["categories"], [name])
        found = np.full(self.table.num_rows, None, dtype=object)
        found[rows] = values
        return found

    def __len__(self) -> int:
        return int(self.table.num_rows)


def collect(closing_examples: DataFrame, day: date, *, sample_rows: int, seed: int) -> Rows:
    """Bring the examples whose labels are known by a day to the driver.

    Raises
    ------
    Stopped
        When an example's features are from after its labels began: it has seen the answer.

    """
    known = closing_examples.where(~F.col("is_censored") & (F.col("labels_until") <= F.lit(day)))
    lot = Window.partitionBy("closing_id").orderBy(F.xxhash64(F.lit(seed), "subject"), "subject")
    sampled = known.withColumn("lot", F.row_number().over(lot)).where(F.col("lot") <= sample_rows)
    table = (
        sampled.select(*COLUMNS).toArrow().sort_by([("closing_date", "ascending"), ("subject", "ascending")])
    )
    late = pc.sum(pc.greater_equal(table["features_until"], table["labels_from"])).as_py()
    if late:
        raise Stopped(
            f"{late:,} of closing_examples up to {day} have features of the days that their labels are about"
            " (features_until is not before labels_from): they know the answer. Mend closing_examples."
        )
    return Rows(table.combine_chunks())


def expand(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names that patterns stand for, in the patterns' order; a plain name stands for itself."""
    found: dict[str, None] = {}
    for pattern in patterns:
        plain = not set(pattern) & set("*?[")
        found |= dict.fromkeys([pattern] if plain else [n for n in names if fnmatchcase(n, pattern)])
    return list(found)


def arrays(rows: Rows, shape: Shape, spec: ModelSpec) -> Examples:
    """Return rows as examples of a given shape: what its model learned from, or is judged on."""
    targets, weights = _targets(rows, shape.classes, spec)
    return Examples(
        shape,
        rows.matrix("features", shape.features, np.float32),
        shape.codes([rows.category(name) for name in shape.categories]),
        targets,
        weights,
    )


def classes_of(rows: Rows, spec: ModelSpec) -> list[str]:
    """Return the outputs that rows know an answer for."""
    if spec.target == "churn":
        return ["churn"]
    if spec.target == "purchase":
        return rows.names("purchases")
    if spec.target == "reward":
        return [name for name in rows.names("rewards") if name.startswith(f"{spec.page}/")]
    return sorted(set(rows.values("next_segment")) - {None})


def slug(name: str) -> str:
    """Return a class's name as widgets have it: FLUID MILK PRODUCTS is fluid-milk-products."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _targets(rows: Rows, classes: Sequence[str], spec: ModelSpec) -> tuple[Floats, Floats]:
    if spec.target == "churn":
        targets = rows.table["churn"].to_numpy()[:, None].astype(np.float64)
    elif spec.target == "purchase":
        targets = rows.matrix("purchases", classes)
    elif spec.target == "reward":
        targets = rows.matrix("rewards", classes)
        given = np.minimum(rows.matrix("reward_weights", classes), spec.most_weight)
        return targets, np.where(np.isnan(targets), 0.0, np.nan_to_num(given))
    else:
        own = rows.values("next_segment")
        targets = (own[:, None] == np.array(classes, dtype=object)[None, :]).astype(np.float64)
        targets[targets.sum(axis=1) == 0] = np.nan
    return targets, np.where(np.isnan(targets), 0.0, 1.0)


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())])))
