"""Decisions and outcomes at size, laid down as a day of their tables: what the join's benchmark reads.

Each subject has servings through the day, and outcomes of which some name their decision, some only follow
it, and some have nothing to do with any. Everything follows from a seed, bucket by bucket.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.contracts import contract
from jobs.tables import Tables

Ints = npt.NDArray[np.int64]
DAY = date(2026, 1, 1)
MIDNIGHT = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
BUCKETS = 2
PAGES = ("start", "home")
WIDGETS = tuple(f"category:c{n:02d}" for n in range(24))
AT_ONCE = 20_000
DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True)
class Scale:
    """How many subjects, and how many rows each has on average; `giant` outcomes are one subject's alone."""

    subjects: int
    decisions: int = 10
    outcomes: int = 50
    giant: int = 0


def lay_down(tables: Tables, scale: Scale, seed: int = 1) -> tuple[int, int]:
    """Publish a day of both tables; return their rows."""
    counts = []
    for name, sides in (("decisions", 0), ("outcomes", 1)):
        tables.open(name)
        staged = f"data/bench-{name}"
        count = 0
        for bucket in range(BUCKETS):
            day = f"{contract(name).day}={DAY}"
            folder = Path(tables.path(name)) / staged / "rejected=false" / day / f"subject_bucket={bucket}"
            folder.mkdir(parents=True)
            schema = _file_schema(name)
            with pq.ParquetWriter(folder / "part-0.parquet", schema, compression="zstd") as writer:
                for made in chunks(scale, bucket, seed):
                    table = made[sides]
                    writer.write_table(_in_shape(table, schema))
                    count += table.num_rows
        tables.publish(name, f"{staged}/rejected=false", days=[DAY], run_id="bench")
        counts.append(count)
    return counts[0], counts[1]


def chunks(scale: Scale, bucket: int, seed: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield decisions and outcomes of a bucket's subjects, in order of subject and time."""
    rng = np.random.default_rng((seed, bucket))
    names = np.sort(_hex_numbers(rng, scale.subjects // BUCKETS, bucket))
    for first in range(0, len(names), AT_ONCE):
        own = names[first : first + AT_ONCE]
        giant = scale.giant if bucket == 0 and first == 0 else 0
        yield _of_subjects(rng, own, scale, giant)


def _of_subjects(
    rng: np.random.Generator, names: npt.NDArray[np.bytes_], scale: Scale, giant: int
) -> tuple[pa.Table, pa.Table]:
    n = len(names)
    # Servings of one position on page start, of six on page home; half of all are either.
    servings = np.maximum(rng.poisson(scale.decisions / 3.5, n), 1)
    owner = np.repeat(np.arange(n), servings)
    at = MIDNIGHT + rng.integers(60_000_000, 82_000 * 1_000_000, size=len(owner))
    order = np.lexsort((at, owner))
    owner, at = owner[order], at[order]
    is_home = rng.random(len(owner)) < 0.5
    width = np.where(is_home, 6, 1)
    serving = np.repeat(np.arange(len(owner)), width)
    position = np.arange(len(serving)) - np.repeat(np.cumsum(width) - width, width)
    widget = (rng.integers(24, size=len(owner))[serving] + position * 5) % 24
    seen = rng.random(len(serving)) < 0.8**position
    ids, traces = _hexes(rng, len(owner), 16), _hexes(rng, len(owner), 32)
    subject = pa.array(names).cast(pa.string())
    decisions = pa.table(
        {
            "decision_id": ids.take(serving),
            "position": pa.array(position, pa.int32()),
            "served_at": _instants(at[serving]),
            "subject": subject.take(owner[serving]),
            "role": _of(("customer",), np.zeros(len(serving), np.int64)),
            "draw_id": _hexes(rng, len(owner), 16).take(serving),
            "trace_id": traces.take(serving),
            "page": _of(PAGES, is_home[serving].astype(np.int64)),
            "widget": _of(WIDGETS, widget),
            "category": pa.nulls(len(serving), pa.string()),
            "widgets": _lists(WIDGETS[:6], len(serving)),
            "candidates": _lists(WIDGETS, len(serving)),
            "propensity": pa.array(1.0 / (24 - position)),
            "policy_version": _of(("uniform",), np.zeros(len(serving), np.int64)),
            "is_seen": pa.array(seen),
            "seen_at": _masked(_instants(at[serving]), ~seen),
        }
    )
    mass = np.bincount(owner[serving], minlength=n)
    counts = rng.poisson(scale.outcomes * mass / scale.decisions)
    counts[0] += giant
    first = np.cumsum(mass) - mass
    who = np.repeat(np.arange(n), counts)
    about = first[who] + (rng.random(len(who)) * mass[who]).astype(np.int64)
    happened = at[serving[about]] + (rng.exponential(60, len(who)) * 1_000_000).astype(np.int64) - 2_000_000
    by_time = np.lexsort((happened, who))
    who, about, happened = who[by_time], about[by_time], happened[by_time]
    says = rng.random(len(who))
    named, strays = says < 0.4, says > 0.8
    outcomes = pa.table(
        {
            "outcome_id": _hexes(rng, len(who), 16),
            "happened_at": _instants(happened),
            "subject": subject.take(who),
            "kind": _of(("detail", "basket", "order"), rng.choice(3, len(who), p=(0.7, 0.25, 0.05))),
            "trace_id": _masked(traces.take(serving[about]), ~named),
            "page": _of(PAGES, is_home[serving[about]].astype(np.int64)),
            "decision_id": _masked(ids.take(serving[about]), ~named),
            "position": pa.array(position[about], pa.int32(), mask=~named),
            "widget": _of(WIDGETS, np.where(strays, rng.integers(24, size=len(who)), widget[about])),
            "product_id": _of([f"p{n}" for n in range(1000)], rng.integers(1000, size=len(who))),
            "category": pa.nulls(len(who), pa.string()),
            "order_id": pa.nulls(len(who), pa.string()),
            "value_cents": pa.nulls(len(who), pa.int64()),
        }
    )
    return decisions, outcomes


def _in_shape(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a file's rows; what the contract has and the join does not look at is null."""
    there = set(table.column_names)
    columns = [
        table[field.name].cast(field.type) if field.name in there else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _file_schema(table: str) -> pa.Schema:
    about = contract(table)
    return pa.schema(
        [(name, column.arrow) for name, column in about.columns.items() if name not in about.partition_by]
    )


def _hex_numbers(rng: np.random.Generator, n: int, bucket: int) -> npt.NDArray[np.bytes_]:
    """Pseudonyms of a bucket: the last digit's parity decides on one of two."""
    digits = rng.integers(16, size=(n, 32), dtype=np.uint8)
    digits[:, -1] = digits[:, -1] & 0xE | bucket
    letters = np.concatenate([np.tile(np.frombuffer(b"k1-", np.uint8), (n, 1)), DIGITS[digits]], axis=1)
    return np.ascontiguousarray(letters).view("S35").reshape(n)


def _hexes(rng: np.random.Generator, n: int, digits: int) -> pa.StringArray:
    letters = DIGITS[rng.integers(16, size=n * digits, dtype=np.uint8)]
    offsets = np.arange(n + 1, dtype=np.int32) * digits
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(letters))


def _of(names: list[str] | tuple[str, ...], codes: Ints) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes))


def _masked(values: pa.Array, mask: npt.NDArray[np.bool_]) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pa.array(mask), None, values)


def _instants(at: Ints) -> pa.Array:
    return pa.array(at, pa.int64()).cast(pa.timestamp("us", "UTC"))


def _lists(names: tuple[str, ...], n: int) -> pa.Array:
    offsets = np.arange(n + 1, dtype=np.int32) * len(names)
    return pa.ListArray.from_arrays(offsets, pa.array(names * n, pa.string()))
