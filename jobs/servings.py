"""Judgements as arrays: from files of `judgements` to what ml/ope computes with, bucket by bucket.

A worker reads the files of one bucket of subjects by itself: on their way through the JVM its lists cost
thirty times as much. What leaves it is a summary that adds (ml.ope.summary).
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from jobs import maps
from jobs.config import MORE
from jobs.contracts import contract
from jobs.credit import DIRECT
from jobs.merged import File
from jobs.nights import known_on
from jobs.tables import located
from ml.ope.judged import MAIN, Judged
from ml.ope.logged import Logged
from ml.ope.slates import Exposures

GOALS = (MAIN, *DIRECT)
SUMMARIES = "page string, subject_bucket int, name string, summary binary"
COLUMNS = (
    "page", "subject_bucket", "decision_date", "decision_id", "served_at", "subject", "cluster", "role",
    "segments", "spec", "logging_policy", "widgets", "candidates", "propensities", "probabilities",
    "rewards", *DIRECT, *MORE, "predicted", "expected", "is_seen", "exposures", "rated", "modelled", "counts",
    "unsure", "opening", "first", "likeliest",
)  # fmt: skip

Named = Mapping[str, Any]

KEPT_OUT = "widgets that the log's rules kept out"


@dataclass(frozen=True, eq=False)
class Servings:
    """Servings of one page and bucket, sorted by decision, with the target of one spec along them."""

    table: pa.Table
    judged: Judged

    @property
    def days(self) -> NDArray[np.datetime64]:
        """(n,) day of each."""
        return np.asarray(self.table["decision_date"]).astype("datetime64[D]")

    @property
    def decisions(self) -> NDArray[np.object_]:
        """(n,) their names, in order."""
        return self.table["decision_id"].to_numpy(zero_copy_only=False)

    def rows(self, wanted: NDArray[Any]) -> "Servings":
        """Return some of them."""
        return Servings(self.table.take(pa.array(wanted)), self.judged.rows(wanted))

    def logged(self) -> Logged:
        """Return what was shown first."""
        openers = pc.coalesce(self.table["opening"], self.table["candidates"])
        offsets = np.asarray(pc.list_value_length(openers)).cumsum()
        owner = np.repeat(np.arange(len(offsets)), np.diff(offsets, prepend=0))
        codes = pc.list_flatten(openers).combine_chunks().dictionary_encode()
        could = np.zeros((len(codes.dictionary), len(offsets)), dtype=np.bool_)
        could[np.asarray(codes.indices), owner] = True
        shown = pc.list_element(self.table["widgets"], 0)
        return Logged(
            shown.to_numpy(zero_copy_only=False).astype(str),
            np.ascontiguousarray(self.judged.propensities[:, 0]),
            self.table["logging_policy"].to_numpy(zero_copy_only=False).astype(str),
            dict(zip(codes.dictionary.to_pylist(), could, strict=True)),
            self.judged.clusters,
            # A subject's draw stands for the day at least; a page's default is a draw whatever the day.
            np.where(np.asarray(self.table["cluster"].is_valid()), 0, self.days.astype(np.int64)),
        )

    def first(self) -> dict[str, NDArray[np.float64]]:
        """Return by widget (n,) the target's probability at the first position; and what was kept out."""
        keys = maps.keys_of(self.table["first"])
        found = dict(zip(keys, np.nan_to_num(maps.table(self.table["first"], keys)).T, strict=True))
        kept_out = np.nan_to_num(np.asarray(self.table["unsure"], dtype=np.float64))
        return found | ({KEPT_OUT: kept_out} if kept_out.any() else {})

    def nights(self, zone: str, hours: int) -> NDArray[np.datetime64]:
        """(n,) the day at whose end all that may come of each has come: so many hours after it."""
        served = self.table["served_at"].cast(pa.timestamp("us"))
        return known_on(np.asarray(served).astype("datetime64[us]"), zone, hours)


def by_spec(table: pa.Table, more: tuple[str, ...] = ()) -> dict[str, Servings]:
    """Return the servings of one page and bucket by spec; clusters are the same numbers in all of them.

    Clusters are subjects, and the draws that went to many. more : goals beside `GOALS`.
    """
    subjects = pc.coalesce(table["cluster"], table["subject"]).combine_chunks().dictionary_encode()
    encoded = subjects if isinstance(subjects, pa.DictionaryArray) else subjects.chunk(0)
    # In the order of their names: sums by cluster do not depend on where in a file they stand.
    places = np.argsort(np.argsort(encoded.dictionary.to_numpy(zero_copy_only=False)))
    table = table.append_column("code", pa.array(places[np.asarray(encoded.indices)].astype(np.int64)))
    found = {}
    for spec in sorted(set(table["spec"].to_pylist())):
        own = table.filter(pc.equal(table["spec"], spec)).sort_by("decision_id")
        found[spec] = Servings(own, _judged(own, more))
    return found


def served(by_spec: Mapping[str, Servings]) -> dict[str, Servings]:
    """Return by logging policy what it served, as a target: every serving that was judged, once.

    It would have drawn what it drew, so each serving counts once in every estimate. What specs are judged by
    beside their probabilities (predictions, exposures, what they show first, what the log's rules leave
    open of it) is theirs, and not its own.
    """
    whole = pa.concat_tables([each.table for each in by_spec.values()])
    ids = whole["decision_id"].to_numpy(zero_copy_only=False).astype(str)
    own = whole.take(pa.array(np.unique(ids, return_index=True)[1]))
    shown = pc.list_element(own["widgets"], 0).combine_chunks()
    places = np.arange(len(own) + 1, dtype=np.int32)
    columns = {
        "probabilities": own["propensities"],
        "first": pa.MapArray.from_arrays(pa.array(places), shown, pa.array(np.ones(len(own)))),
        "likeliest": shown,
        **dict.fromkeys(("predicted", "expected", "exposures", "rated", "modelled", "counts", "unsure")),
    }
    for name, values in columns.items():
        field = own.schema.field(name)
        column = pa.nulls(len(own), field.type) if values is None else values
        own = own.set_column(own.schema.get_field_index(name), name, column)
    policies = own["logging_policy"]
    more = tuple(next(iter(by_spec.values())).judged.rewards)[len(GOALS) :]
    found = {}
    for policy in sorted(set(policies.to_pylist())):
        table = own.filter(pc.equal(policies, policy))
        found[policy] = Servings(table, _judged(table, more))
    return found


def _judged(table: pa.Table, more: tuple[str, ...]) -> Judged:
    positions = pc.max(pc.list_value_length(table["widgets"])).as_py()
    lengths = np.asarray(pc.list_value_length(table["widgets"]))

    def matrix(name: str, fill: float) -> NDArray[np.float64]:
        flat = np.asarray(pc.list_flatten(table[name]), dtype=np.float64)
        told = np.asarray(table[name].is_valid())
        if (lengths == positions).all() and told.all():
            return flat.reshape(-1, positions)
        there = (np.arange(positions) < lengths[:, None]) & told[:, None]
        full = np.full(there.shape, fill)
        full[there] = flat
        return full

    has_model = table["predicted"].null_count == 0
    rewards = {goal: matrix("rewards" if goal == MAIN else goal, 0.0) for goal in GOALS}
    # Who took something from a position has seen it, whatever became of the sighting.
    seen = np.any([matrix("is_seen", 0.0) > 0, *(values != 0 for values in rewards.values())], axis=0)
    rewards |= {goal: np.where(seen, matrix(goal, 0.0), 0.0) for goal in more}
    return Judged(
        matrix("propensities", 1.0),
        matrix("probabilities", 1.0),
        rewards,
        np.asarray(table["code"]),
        matrix("predicted", 0.0) if has_model else None,
        matrix("expected", 0.0) if has_model else None,
        seen,
        _exposures(table, matrix) if table["exposures"].null_count == 0 else None,
    )


def _exposures(table: pa.Table, matrix: Callable[[str, float], NDArray[np.float64]]) -> Exposures:
    logged = matrix("exposures", np.nan)
    counts = None if table["counts"].null_count == len(table) else matrix("counts", np.nan)
    if counts is not None:
        # Short of a full page nothing counts; only a row without counts of its own has none.
        counts = np.where(np.isnan(counts[:, :1]), np.nan, np.nan_to_num(counts))
    if table["modelled"].null_count:
        return Exposures(logged, counts=counts)
    modelled = np.asarray(table["modelled"], dtype=np.float64)
    return Exposures(logged, matrix("rated", 0.0), modelled, counts)


@dataclass(frozen=True)
class Wanted:
    """Which judgements to read: of these specs, from a day on; None for all. more : goals beside `GOALS`."""

    specs: tuple[str, ...] | None = None
    first: date | None = None
    more: tuple[str, ...] = ()


EVERYTHING = Wanted()


def summarised(
    buckets: DataFrame,
    work: Callable[[str, Mapping[str, Servings]], Iterator[tuple[Any, Any]]],
    wanted: Wanted = EVERYTHING,
) -> dict[tuple[str, Any], Any]:
    """Let workers summarise the servings of each page and bucket, and add their summaries, buckets in order.

    buckets : files of judgements (`jobs.inputs.Buckets`). `work` gets a page and its servings by spec, and
    gives names with summaries. Returns them by page and name.
    """
    found = buckets.mapInArrow(_worker(work, wanted), SUMMARIES).collect()
    total: dict[tuple[str, Any], Any] = {}
    for row in sorted(found, key=lambda row: (row["page"], row["name"], row["subject_bucket"])):
        name, summary = pickle.loads(row["summary"])  # noqa: S301 - of our own workers
        key = (row["page"], name)
        total[key] = total[key] + summary if key in total else summary
    return total


def _worker(
    work: Callable[[str, Mapping[str, Servings]], Iterator[tuple[Any, Any]]], wanted: Wanted
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def summarise(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema(
            [("page", pa.string()), ("subject_bucket", pa.int32()), ("name", pa.string()),
             ("summary", pa.binary())]
        )  # fmt: skip
        for bucket in (row for batch in batches for row in batch.to_pylist()):
            whole = read(bucket, wanted)
            for page in sorted(pc.unique(whole["page"]).to_pylist()):
                own = by_spec(whole.filter(pc.equal(whole["page"], page)), wanted.more)
                for name, summary in work(page, own):
                    row = {"page": page, "subject_bucket": bucket["subject_bucket"], "name": repr(name)}
                    row["summary"] = pickle.dumps((name, summary))
                    yield pa.RecordBatch.from_pylist([row], schema=schema)

    return summarise


def read(bucket: Mapping[str, Any], wanted: Wanted = EVERYTHING) -> pa.Table:
    """Read a bucket's judgements from their files: `COLUMNS`, null where a file has none of that name."""
    files = [File(**file) for file in bucket["files"]]
    parts = [
        _read(file, bucket["subject_bucket"], wanted)
        for file in files
        if wanted.first is None or file.day >= wanted.first
    ]
    schema = contract("judgements").arrow_schema.remove_metadata()
    nothing = schema.empty_table().select(list(COLUMNS))
    return pa.concat_tables([nothing, *parts])


def _read(file: File, bucket: int, wanted: Wanted) -> pa.Table:
    filesystem, name = located(file.path)
    source = pq.ParquetFile(filesystem.open_input_file(name))
    there = set(source.schema_arrow.names)
    rows = source.read([column for column in COLUMNS if column in there], use_threads=False)
    if wanted.specs is not None:
        rows = rows.filter(pc.is_in(rows["spec"], pa.array(wanted.specs, pa.string())))
    of_place = {"decision_date": file.day, "subject_bucket": bucket}
    schema, columns = contract("judgements").arrow_schema, {}
    for column in COLUMNS:
        kind = schema.field(column).type
        if column in there:
            columns[column] = rows[column].cast(kind)
        else:
            columns[column] = pa.repeat(pa.scalar(of_place.get(column), kind), len(rows))
    return pa.table(columns)
