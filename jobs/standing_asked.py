"""Which draws that a night asks for stand already: its subjects, beside the files of earlier `layouts`.

A task reads a file of features, sorted by subject, and in step with it the layouts of the same bucket: so
nothing is shuffled, and what is held is a batch of each file. A page's newest earlier night counts, whatever
its variant: a night draws them all at once. Its draw stands if that night may be leaned on, and the draw is
of the day and by the terms that are asked for now.

Reads   layouts: files of the nights before; subject_features: batches of TONIGHT, from Spark
Writes  nothing
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.drawing import WHO
from jobs.drawn_before import Drawn
from jobs.merged import Beside, File
from jobs.scenarios import LIVE
from jobs.sources import schemas
from jobs.standing import BETWEEN, AsDrawn

TONIGHT = ("layout_date", "own_date", "subject", "subject_bucket", *WHO)
COUNTS = {"feature_date": "date", "is_standing": "boolean", "layouts": "bigint"}
UNDRAWN = {
    "layout_date": "date", "subject": "string", "subject_bucket": "int", "role": "string", "region": "string",
    "feature_date": "date", "page_bit": "bigint",
}  # fmt: skip
COLUMNS = ("subject", "scenario", "page", "drawn_date", "terms")

Batches = Iterator[pa.RecordBatch]


class EpochRow(NamedTuple):
    """On a night, for subjects of an own day: from which day a page is drawn, and what its draws share."""

    layout_date: date
    own_date: date
    feature_date: date
    page_bit: int
    page: str
    variants: int
    terms: str
    asks_who: bool


EPOCH_ROW = {
    "layout_date": "date", "own_date": "date", "feature_date": "date", "page_bit": "bigint", "page": "string",
    "variants": "bigint", "terms": "string", "asks_who": "boolean",
}  # fmt: skip


class _Asked(NamedTuple):
    """What a batch's subjects ask for of a page: their rows, epochs (n,), and whether a draw stands (n,)."""

    rows: pa.RecordBatch
    epochs: Sequence[EpochRow]
    epoch: NDArray[np.int64]
    stands: NDArray[np.bool_]


def counted(batches: Batches, *, epochs: Sequence[EpochRow], drawn: Drawn) -> Batches:
    """Count a task's layouts by the day that they are of and whether they stand: rows of COUNTS."""
    counts: Counter[tuple[date, bool]] = Counter()
    for asked in _asked(batches, epochs, drawn):
        for stands in (False, True):
            found = np.bincount(asked.epoch[asked.stands == stands], minlength=len(asked.epochs))
            for epoch, subjects in zip(asked.epochs, found.tolist(), strict=True):
                counts[epoch.feature_date, stands] += subjects * epoch.variants
    rows = [dict(zip(COUNTS, (*key, layouts), strict=True)) for key, layouts in counts.items() if layouts]
    yield pa.RecordBatch.from_pylist(rows, schemas.arrow(COUNTS))


def undrawn(batches: Batches, *, epochs: Sequence[EpochRow], drawn: Drawn) -> Batches:
    """Return who asks for a page of these epochs, and has no draw that stands: rows of UNDRAWN."""
    for asked in _asked(batches, epochs, drawn):
        at = np.flatnonzero(~asked.stands)
        rows = asked.rows.take(pa.array(at))
        of_rows = {name: rows[name] for name in ("layout_date", "subject", "subject_bucket", *WHO)}
        of_epochs = {
            "feature_date": _taken([epoch.feature_date for epoch in asked.epochs], asked.epoch[at]),
            "page_bit": _taken([epoch.page_bit for epoch in asked.epochs], asked.epoch[at]),
        }
        yield pa.RecordBatch.from_pydict({**of_rows, **of_epochs})


def _asked(batches: Batches, epochs: Sequence[EpochRow], drawn: Drawn) -> Iterator[_Asked]:
    pages: dict[str, list[EpochRow]] = {}
    for epoch in epochs:
        pages.setdefault(epoch.page, []).append(epoch)
    beside, of_bucket = Beside((), {}), None  # of one bucket at a time: files of a task's others are closed
    for batch in batches:
        for bucket in pc.unique(batch["subject_bucket"]).to_pylist():
            own = batch.filter(pc.equal(batch["subject_bucket"], bucket))
            ends = pc.min_max(own["subject"]).as_py()
            if bucket != of_bucket:
                beside, of_bucket = Beside(drawn.files.get(bucket, ()), {"layouts": COLUMNS}), bucket
            before = _live(beside.rows(ends["min"], ends["max"]), beside.files, drawn.as_drawn)
            for page, of_page in pages.items():
                place = pc.index_in(own["own_date"], pa.array([epoch.own_date for epoch in of_page]))
                rows, at = own.filter(place.is_valid()), np.asarray(place.drop_null(), dtype=np.int64)
                stands = _stands(rows, of_page, at, before.filter(pc.equal(before["page"], page)))
                yield _Asked(rows, of_page, at, stands)


def _live(parts: Sequence[pa.Table], files: Sequence[File], as_drawn: AsDrawn) -> pa.Table:
    """Join live layouts of some subjects, night by night, with whether each may be leaned on."""
    found = []
    for rows, file in zip(parts, files, strict=True):
        live = rows.filter(pc.equal(rows["scenario"], LIVE))
        days = pa.array(sorted(as_drawn.get(file.day, ())), pa.date32())
        found.append(live.append_column("may_stand", pc.is_in(live["drawn_date"], days)))
    return pa.concat_tables(found) if found else _NOTHING


def _stands(
    rows: pa.RecordBatch, epochs: Sequence[EpochRow], epoch: NDArray[np.int64], before: pa.Table
) -> NDArray[np.bool_]:
    """Tell of rows and their epochs whether the newest of the layouts before is what would be drawn."""
    of_subject = pc.index_in(before["subject"], value_set=rows["subject"]).combine_chunks()
    there = np.flatnonzero(np.asarray(of_subject.is_valid()))
    newest = np.full(rows.num_rows, -1, dtype=np.int64)
    np.maximum.at(newest, np.asarray(of_subject.drop_null(), dtype=np.int64), there)
    has = newest >= 0
    was = before.take(pa.array(newest[has]))
    terms = _taken([one.terms for one in epochs], epoch[has])
    if any(one.asks_who for one in epochs):
        who = (pc.fill_null(rows[name].filter(pa.array(has)), "") for name in WHO)
        terms = pc.binary_join_element_wise(terms, *who, BETWEEN)
    days = _taken([one.feature_date for one in epochs], epoch[has])
    same = pc.and_(pc.equal(was["drawn_date"], days), pc.equal(was["terms"], terms))
    stands = np.zeros(rows.num_rows, dtype=np.bool_)
    stands[has] = np.asarray(pc.fill_null(pc.and_(same, was["may_stand"]), False))
    return stands


def _taken(values: Sequence[Any], at: NDArray[np.int64]) -> pa.Array:
    return pa.array(values).take(pa.array(at))


_NOTHING = pa.table(
    {name: pa.array([], pa.string()) for name in COLUMNS}
    | {"drawn_date": pa.array([], pa.date32()), "may_stand": pa.array([], pa.bool_())}
)
