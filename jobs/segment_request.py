"""A request to segment: which subjects, by which features, into how many; and their values in Spark.

The jobs of a segmentation are given the same request, and so find each other's rows by its name.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import ConfigError, Segmentation, segment_counts
from jobs.subject_features import MAPS, feature_column


@dataclass(frozen=True)
class Request:
    """What is asked: features, transforms, values for missing ones, roles (none: all), counts, seed."""

    spec: str
    features: tuple[str, ...]
    transforms: tuple[str, ...]
    missing: tuple[float | None, ...]
    needs: tuple[str, ...]
    is_proportions: bool
    roles: tuple[str, ...]
    counts: tuple[int, ...]
    seed: int

    @property
    def segmentation(self) -> str:
        """Name under which versions follow each other: the spec, with its roles when it is for some."""
        return f"{self.spec}:{'+'.join(self.roles)}" if self.roles else self.spec

    def name(self, day: date) -> str:
        """Name the request as of a day, by a digest of all that is asked."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.segmentation}@{day}-{hashlib.blake2b(text.encode(), digest_size=3).hexdigest()}"

    def version(self, day: date, k: int) -> str:
        """Name one of its segmentations."""
        return f"{self.name(day)}-k{k}"


def request(
    specs: Mapping[str, Segmentation],
    segmentation: str,
    *,
    seed: int,
    k: int | str | None = None,
    roles: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> Request:
    """Put a spec of conf/segmentations and what a run asks otherwise together.

    Raises
    ------
    ConfigError
        When there is no such spec, k is none or a feature is named twice.

    """
    if segmentation not in specs:
        raise ConfigError(
            f"There is no segmentation {segmentation!r}; conf/segmentations has {', '.join(sorted(specs))}."
        )
    spec = specs[segmentation]
    declared = {feature.name: feature for feature in spec.features}
    names = list(columns or declared)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"The feature {twice[0]!r} is asked for twice.")
    try:
        counts = segment_counts(spec.k if k is None else k)
    except ValueError as error:
        raise ConfigError(f"{segmentation}: {error}.") from None
    return Request(
        segmentation,
        tuple(names),
        tuple(declared[name].transform if name in declared else "auto" for name in names),
        tuple(declared[name].missing if name in declared else None for name in names),
        tuple(spec.needs),
        spec.proportions,
        tuple(sorted(set(roles or spec.roles))),
        tuple(counts),
        seed,
    )


def subject_values(
    subject_features: DataFrame,
    *,
    features: Sequence[str],
    missing: Sequence[float | None],
    is_proportions: bool,
    roles: Sequence[str],
    needs: Sequence[str] = (),
) -> DataFrame:
    """Return subject, subject_bucket, feature_date, role and `values`, null where a feature is missing.

    Doubles are added in the features' order, so proportions are the same bits on any split.
    """
    columns = [
        feature_column(name) if fill is None else F.coalesce(feature_column(name), F.lit(fill))
        for name, fill in zip(features, missing, strict=True)
    ]
    there = F.lit(True)
    for column in [*columns, *map(feature_column, needs)]:
        there = there & column.isNotNull()
    if is_proportions:
        columns = _proportions(columns)
        there = there & columns[0].isNotNull()
    wanted = subject_features.where(F.col("role").isin(list(roles))) if roles else subject_features
    return wanted.select(
        "subject",
        "subject_bucket",
        "feature_date",
        "role",
        F.when(there, F.array(*[column.cast("double") for column in columns])).alias("values"),
    )


def unknown_feature(subject_features: DataFrame, names: Sequence[str]) -> str | None:
    """Say which feature does not exist and which are near; only asked when nobody has one of them."""
    for name in names:
        column, prefix = next((column, prefix) for column, prefix in MAPS.items() if name.startswith(prefix))
        keys = F.explode(F.map_keys(F.col(column))).alias("key")
        known = [prefix + row["key"] for row in subject_features.select(keys).distinct().collect()]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or sorted(known)[:5]
            return f"There is no feature {name!r}; near are {', '.join(near)}."
    return None


def _proportions(columns: Sequence[Column]) -> list[Column]:
    total = columns[0]
    for column in columns[1:]:
        total = total + column
    return [column / F.when(total > 0, total) for column in columns]
