"""Drawing layouts: from Arrow rows of features to Arrow rows of layouts, block by block.

All that a worker needs travels as plain values in `PageRules`; nothing is read here. A row's layout depends
on its own features, the rules and the seed only, never on the rows beside it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs import algorithms, maps
from jobs.config import FeatureSet, Page, Policy
from jobs.epochs import EPOCH_ZERO
from jobs.subject_features import feature_columns
from ml.bandits.linear import COLD, Linear
from ml.features import assemble, column_names
from ml.randomness import subject_keys, uniform
from ml.reasons import EXPLORED, part_columns, phrase, reasons

CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class PageRules:
    """A page and its spec; by day of a draw the candidates and the row of `policies`, none at first."""

    page: Page
    spec: Policy
    features: FeatureSet
    seed: int
    scenario: str
    fitted: Mapping[date, Mapping[str, Any]]
    candidates: dict[date, list[str]]

    @property
    def digest(self) -> str:
        """What names the rules of a draw, beside its policy's day."""
        page = self.page
        rules = f"{self.seed}|{self.spec.digest}|{page.positions}|{page.temperature!r}|{page.floor!r}"
        return hashlib.blake2b(rules.encode(), digest_size=8).hexdigest()


def draw_pages(
    batches: Iterator[pa.RecordBatch], *, rules: Sequence[PageRules], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Draw the layouts of rows sorted by (layout_date, subject, feature_date).

    `pages` is a bit per page of `rules`: the pages that this row's features may draw; a subject's latest such
    row counts.
    """
    draws = [_PageDraw(one, schema) for one in rules]
    for chunk in _whole_subjects(batches):
        masks = chunk["pages"].to_numpy()
        for number, page_draw in enumerate(draws):
            wanted = np.flatnonzero(masks >> number & 1)
            if len(wanted):
                rows = chunk.take(pa.array(wanted))
                yield from page_draw.draw(rows.take(pa.array(_subject_ends(rows))))


class _PageDraw:
    """Draws one page: keeps its models by day of the draw."""

    def __init__(self, rules: PageRules, schema: pa.Schema) -> None:
        self.rules, self.schema = rules, schema
        self.models: dict[date, Linear] = {}

    def draw(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Draw rows, the rows of one epoch at a time."""
        drawn_dates = rows["feature_date"]
        for drawn in sorted(set(pc.unique(drawn_dates).to_pylist())):
            yield self.draw_epoch(rows.filter(pc.equal(drawn_dates, pa.scalar(drawn, pa.date32()))), drawn)

    def draw_epoch(self, rows: pa.RecordBatch, drawn: date) -> pa.RecordBatch:
        """Draw rows whose epoch began on one day."""
        candidates, model = self.rules.candidates[drawn], self._model(drawn)
        columns = feature_columns(rows, column_names(self.rules.features, candidates))
        contexts, own = assemble(columns, self.rules.features, candidates, rows=rows.num_rows)
        subjects = rows["subject"].to_pylist()
        keys, epoch = subject_keys(subjects), (drawn - EPOCH_ZERO).days
        seed, page = self.rules.seed, self.rules.page
        normals = model.normals(seed, keys, page=page.page, epoch=epoch, arms=candidates)
        scores, bonuses = model.scores(contexts, own), model.bonuses(contexts, own, normals)
        numbers = [
            uniform(seed, keys, page=page.page, purpose="draw", position=position, epoch=epoch)
            for position in range(page.positions)
        ]
        slates, propensities = model.draw_from(
            scores.astype(np.float64) + bonuses, np.stack(numbers, axis=1)[:, : len(candidates)]
        )
        picked = np.arange(len(slates))[:, None]
        why = self._reasons(model, contexts, own, scores, slates, candidates)
        values = {
            "widgets": pa.array(candidates).take(pa.array(slates.ravel())),
            "scores": scores[picked, slates],
            "bonuses": bonuses[picked, slates],
            "propensities": propensities,
            "reasons": why,
            "candidates": pa.array(candidates * rows.num_rows),
            "context": contexts,
            "action_context": own,
        }
        version = self._version(drawn)
        common = f"{self.rules.page.page}|{drawn}|{version}|{self.rules.digest}|{'|'.join(candidates)}"
        named = {
            "draw_id": pa.array(draw_ids(common, subjects, [contexts, own, slates, propensities])),
            "drawn_date": drawn,
            "policy_version": version,
        }
        return self._batch(
            rows, named | {name: maps.lists(flat, rows.num_rows) for name, flat in values.items()}
        )

    def _version(self, drawn: date) -> str:
        fitted = self.rules.fitted.get(drawn)
        return str(fitted["policy_version"]) if fitted else f"{self.rules.spec.name}@none"

    def _model(self, drawn: date) -> Linear:
        """Return the policy over the day's candidates."""
        if drawn not in self.models:
            rules, candidates = self.rules, self.rules.candidates[drawn]
            row, about = rules.fitted.get(drawn), (rules.spec, rules.features)
            if row is None:
                self.models[drawn] = algorithms.before_anything_was_seen(*about, candidates, rules.page)
            else:
                places = {widget: place for place, widget in enumerate(row["widgets"])}
                arms = np.array([places.get(widget, COLD) for widget in candidates])
                self.models[drawn] = algorithms.restore(*about, row, rules.page).select(arms)
        return self.models[drawn]

    def _reasons(
        self,
        model: Linear,
        contexts: NDArray[np.float32],
        action_contexts: NDArray[np.float32],
        scores: NDArray[np.float32],
        slates: NDArray[np.int32],
        candidates: list[str],
    ) -> pa.Array:
        parts = part_columns(self.rules.features.context, self.rules.features.action, candidates)
        numbers = reasons(model, contexts, action_contexts, scores, slates, parts)
        phrases = [[phrase(widget, part) for part in (*parts, EXPLORED)] for widget in candidates]
        flat = pa.array([words for of_widget in phrases for words in of_widget])
        return flat.take(pa.array((slates * (len(parts) + 1) + numbers).ravel()))

    def _batch(self, rows: pa.RecordBatch, columns: dict[str, Any]) -> pa.RecordBatch:
        columns |= {name: rows[name] for name in ("layout_date", "subject_bucket", "subject")}
        columns |= {
            "scenario": self.rules.scenario,
            "page": self.rules.page.page,
            "feature_set": self.rules.features.name,
        }
        arrays = []
        for field in self.schema:
            values = columns[field.name]
            if not isinstance(values, pa.Array):
                values = pa.repeat(pa.scalar(values, field.type), rows.num_rows)
            arrays.append(values.cast(field.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def draw_ids(common: str, subjects: Sequence[str], content: Sequence[NDArray[Any]]) -> list[str]:
    """Return the names of draws, 128-bit hashes of all that was drawn from and of what was drawn.

    The content counts too: should late data change the features of an epoch's day, the draw gets a new name,
    and a name stands for one context and its propensities forever.
    """
    start = hashlib.blake2b(common.encode(), digest_size=16)
    rows = np.hstack(
        [np.ascontiguousarray(part).reshape(len(subjects), -1).view(np.uint8) for part in content]
    )
    names = []
    for subject, row in zip(subjects, rows, strict=True):
        own = start.copy()
        own.update(subject.encode())
        own.update(row.tobytes())
        names.append(own.hexdigest())
    return names


def _whole_subjects(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Gather batches to chunks that end where a subject ends."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(part.num_rows for part in held) >= CHUNK_ROWS:
            chunk = _one(held)
            ends = _subject_ends(chunk)[:-1]
            cut = int(ends[-1]) + 1 if len(ends) else 0
            if cut:
                yield chunk.slice(0, cut)
            held = [chunk.slice(cut)]
    if sum(part.num_rows for part in held):
        yield _one(held)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _subject_ends(rows: pa.RecordBatch) -> NDArray[np.int64]:
    """Return the last row of each (layout_date, subject)."""
    changed = np.ones(rows.num_rows, dtype=bool)
    changed[:-1] = False
    for name in ("layout_date", "subject"):
        column = rows[name]
        changed[:-1] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(changed)
