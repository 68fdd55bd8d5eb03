"""A colour's keys and values for benchmarks of the store: layouts of 12 positions, made a block at a time."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa

from jobs.store import keys
from jobs.store.codec import encode_names
from jobs.store.encode import COLUMNS, NameBook, encode
from jobs.store.export import NO_NAMES
from jobs.store.heartbeat import Heartbeat
from jobs.store.walks import Pair
from tests.store.given import DAY

BLOCK, WIDTH = 50_000, 12
PAGE = "home"
WIDGETS = [f"category:{number}" for number in range(60)]
REASONS = ["own_visits", "popular", "explores"]
POLICIES = [f"linucb-home@2017-12-{day:02d}" for day in range(10, 24)]
EPOCH_DAYS = (DAY - date(1970, 1, 1)).days


def subject(number: int, count: int) -> str:
    """Return one of `count` subjects; they are in order, and spread over all ids."""
    return f"k1-{number * (2**128 // count):032x}"


def batch(start: int, stop: int, count: int, seed: int = 0) -> pa.RecordBatch:
    """Return rows of `layouts`, of the subjects from `start` to `stop`."""
    rng = np.random.default_rng([seed, start])
    rows = stop - start
    many = rows * WIDTH
    offsets = pa.array(np.arange(0, many + 1, WIDTH, dtype=np.int32))
    digits = rng.integers(0, 16, (rows, 32), dtype=np.uint8)
    texts = np.frombuffer(b"0123456789abcdef", np.uint8)[digits].view("S32").ravel()
    flat = {
        "widgets": pa.array(WIDGETS).take(pa.array(rng.integers(0, len(WIDGETS), many))),
        "scores": pa.array(rng.random(many, np.float32)),
        "propensities": pa.array(rng.random(many, np.float32)),
        "reasons": pa.array(REASONS).take(pa.array(rng.integers(0, len(REASONS), many))),
    }
    columns = {
        "subject": pa.array([subject(number, count) for number in range(start, stop)]),
        "page": pa.array([PAGE] * rows),
        "draw_id": pa.array(texts).cast(pa.string()),
        "drawn_date": pa.array(EPOCH_DAYS - rng.integers(0, 7, rows, np.int32)).cast(pa.date32()),
        "policy_version": pa.array(POLICIES).take(pa.array(rng.integers(0, len(POLICIES), rows))),
        **{name: pa.ListArray.from_arrays(offsets, column) for name, column in flat.items()},
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in COLUMNS], COLUMNS)


def book() -> NameBook:
    """Return the names that all rows take."""
    made = NameBook(NO_NAMES)
    for codes, names in ((made.widgets, WIDGETS), (made.reasons, REASONS), (made.policies, POLICIES)):
        codes.seen.update(names)
    made.close()
    return made


def blocks(count: int, changed: float = 0.0) -> Iterator[list[Pair]]:
    """Yield keys and values in order, a block at a time; a share of them are others than with 0."""
    names = book()
    rng = np.random.default_rng(5)
    variants = batch(0, 64, 64, seed=64)
    yield [
        (keys.default_key(PAGE, number), value.as_py())
        for number, value in enumerate(encode(variants, names))
    ]
    for start in range(0, count, BLOCK):
        stop = min(count, start + BLOCK)
        rows = batch(start, stop, count)
        values = encode(rows, names).to_pylist()
        if changed:
            others = encode(batch(start, stop, count, seed=1), names).to_pylist()
            for place in np.flatnonzero(rng.random(len(values)) < changed):
                values[place] = others[place]
        yield [
            (b"layout:%s:%s" % (PAGE.encode(), who.encode()), value)
            for who, value in zip(rows["subject"].to_pylist(), values, strict=True)
        ]
    yield [(keys.NAMES, encode_names(names.names()))]


def heartbeat(count: int, generation: int = 1) -> Heartbeat:
    """Return what is said of a colour; its digest is not looked at here."""
    return Heartbeat(generation, DAY.isoformat(), f"{generation}", count + 65, 0, count, {PAGE: 64})
