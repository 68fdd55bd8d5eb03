"""Drawing layouts: from Arrow rows of features to Arrow rows of layouts, block by block.

All that a worker needs travels as plain values in `PageRules`; nothing is read here. A row's layout depends
on its own features, the rules and the seed only, never on the rows beside it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs import algorithms, maps, page_goals, steering, variants
from jobs.config import FeatureSet, Page, Policy
from jobs.epochs import EPOCH_ZERO
from jobs.page_specs import NOT_DRAWN
from jobs.standing import BETWEEN
from jobs.store.keys import DEFAULT_PREFIX
from jobs.store.variants import page_of
from jobs.subject_features import feature_columns
from ml.bandits.linear import COLD, Linear
from ml.features import assemble, column_names
from ml.randomness import subject_keys, uniform
from ml.rank import ruled
from ml.rank.rules import Rules
from ml.reasons import EXPLORED, PINNED, part_columns, phrase, reasons

CHUNK_ROWS = 65_536
WHO = ("role", "region")
"""Columns of subject_features that say for whom a widget may be, as of the night."""


@dataclass(frozen=True)
class PageRules:
    """A page and its spec; by day of a draw its row of `policies`, candidates, and labels; its variants.

    terms : by day of a draw the name of all that its draws have in common; those without have none.
    """

    page: Page
    spec: Policy
    features: FeatureSet
    seed: int
    scenario: str
    fitted: Mapping[date, Mapping[str, Any]]
    candidates: dict[date, list[str]]
    labels: Mapping[date, steering.Labels] = field(default_factory=dict)
    variants: tuple[str, ...] = ("",)
    terms: Mapping[date, str] = field(default_factory=dict)

    @property
    def asks_who(self) -> bool:
        """Whether any widget is for some roles or regions alone."""
        return self.page.rules is not None and bool(self.page.rules.eligible)

    def terms_of(self, drawn: date) -> str:
        """Name all that a day's draws have in common: with it and the features, the draw is the same."""
        fitted, labels = self.fitted.get(drawn) or {}, self.labels.get(drawn, {})
        parameters = {name: value for name, value in fitted.items() if isinstance(value, np.ndarray)}
        said = [
            self.page.model_dump(mode="json", exclude=set(NOT_DRAWN)),
            *(part.model_dump(mode="json") for part in (self.spec, self.features)),
            self.seed,
            self.variants,
            {name: value for name, value in fitted.items() if name not in parameters},
            [(widget, labels.get(widget)) for widget in self.candidates[drawn]],
        ]
        named = hashlib.blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=8)
        for _, values in sorted(parameters.items()):
            named.update(values.tobytes())
        return named.hexdigest()

    @property
    def digest(self) -> str:
        """What names the rules of a draw, beside its policy's day."""
        page = self.page
        rules = f"{self.seed}|{self.spec.digest}|{page.positions}|{page.temperature!r}|{page.floor!r}"
        rules += f"|{page.goals.in_words}" if page.goals else ""
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
                last = rows.take(pa.array(_subject_ends(rows)))
                for place, variant in enumerate(page_draw.rules.variants):
                    yield from page_draw.draw(page_draw.defaults_of(last, variant if place else ""), variant)


class _PageDraw:
    """Draws one page: keeps its models by day of the draw and candidates."""

    def __init__(self, rules: PageRules, schema: pa.Schema) -> None:
        self.rules, self.schema = rules, schema
        self.models: dict[tuple[date, tuple[str, ...]], Linear] = {}

    def draw(self, rows: pa.RecordBatch, variant: str) -> Iterator[pa.RecordBatch]:
        """Draw a variant of the page for rows, the rows of one epoch at a time."""
        drawn_dates = rows["feature_date"]
        for drawn in sorted(set(pc.unique(drawn_dates).to_pylist())):
            of_day = rows.filter(pc.equal(drawn_dates, pa.scalar(drawn, pa.date32())))
            if self.rules.page.steered is None:
                yield self.draw_epoch(of_day, drawn, None, variant)
            else:
                yield from self._draw_under_rules(of_day, drawn, variant)

    def defaults_of(self, rows: pa.RecordBatch, variant: str) -> pa.RecordBatch:
        """Name the default layouts of a variant that is not the main one after the page it is kept as."""
        if not variant:
            return rows
        page = self.rules.page.page
        of_page, of_variant = (f"{DEFAULT_PREFIX}{name}:" for name in (page, page_of(page, variant)))
        named = pc.replace_substring(rows["subject"], of_page, of_variant, max_replacements=1)
        place = rows.schema.get_field_index("subject")
        return rows.set_column(place, "subject", named)

    def _draw_under_rules(self, rows: pa.RecordBatch, drawn: date, variant: str) -> Iterator[pa.RecordBatch]:
        """Draw rows from the widgets that each may see.

        Whom the rules leave nothing gets an empty layout, so that none of theirs stands, and readers give
        them the page's defaults; should the rules leave these nothing, they are drawn without rules.
        """
        about = (self.rules.page, self.rules.candidates[drawn], self.rules.labels[drawn])
        may = steering.may_stand(*about, rows, variant)
        has_some = pa.array(may.eligible.any(axis=1))
        if pc.any(has_some).as_py():
            yield self.draw_epoch(rows.filter(has_some), drawn, may.filter(has_some), variant)
        is_default, has_none = pc.starts_with(rows["subject"], DEFAULT_PREFIX), pc.invert(has_some)
        defaults = rows.filter(pc.and_(is_default, has_none))
        if defaults.num_rows:
            yield self.draw_epoch(defaults, drawn, None, variant)
        left = pc.and_(pc.invert(is_default), has_none)
        if pc.any(left).as_py():
            yield self._nothing(rows.filter(left), drawn, may.filter(left), variant)

    def _nothing(self, rows: pa.RecordBatch, drawn: date, may: steering.May, variant: str) -> pa.RecordBatch:
        """Return empty layouts, with no name, since nothing was drawn."""
        empty = maps.lists_where(pa.array([""] * rows.num_rows), np.zeros((rows.num_rows, 1), dtype=bool))
        lists = ("widgets", "scores", "bonuses", "propensities", "reasons", "candidates")
        return self._batch(
            rows,
            {
                **dict.fromkeys(field.name for field in self.schema),
                **{name: empty.cast(self.schema.field(name).type) for name in lists},
                "drawn_date": drawn,
                "policy_version": self._version(drawn),
                "terms": self._terms(rows, drawn),
                "filtered": may.filtered,
                "variant": variant,
            },
        )

    def _terms(self, rows: pa.RecordBatch, drawn: date) -> pa.Array:
        """Return what each was drawn by: all that its day's draws have in common, and who it is for."""
        terms = pa.array([self.rules.terms.get(drawn, "")] * rows.num_rows)
        who = [pc.fill_null(rows[name], "") for name in WHO] if self.rules.asks_who else []
        return pc.binary_join_element_wise(terms, *who, BETWEEN)

    def draw_epoch(
        self, rows: pa.RecordBatch, drawn: date, may: steering.May | None, variant: str
    ) -> pa.RecordBatch:
        """Draw rows whose epoch began on one day: under the page's rules, as far as `may` is given."""
        candidates = self.rules.candidates[drawn]
        model, bound = self._model(drawn, candidates), None if may is None else may.rules
        names = column_names(self.rules.features, candidates)
        columns = feature_columns(rows, names) | variants.features(names, [variant] * rows.num_rows)
        contexts, own = assemble(columns, self.rules.features, candidates, rows=rows.num_rows)
        # Whom no number can be told of is drawn from equals: a default is shown so, a subject is refused.
        is_known = np.isfinite(contexts).all(axis=1) & np.isfinite(own).all(axis=(1, 2))
        contexts[~is_known], own[~is_known] = 0, 0
        subjects = rows["subject"].to_pylist()
        keys, epoch = subject_keys(subjects), (drawn - EPOCH_ZERO).days
        seed, page = self.rules.seed, self.rules.page
        normals = model.normals(seed, keys, page=page.page, epoch=epoch, arms=candidates)
        scores, bonuses = model.scores(contexts, own), model.bonuses(contexts, own, normals)
        is_known &= np.isfinite(scores + bonuses).all(axis=1)
        scores, bonuses = (np.where(is_known[:, None], each, np.float32(0)) for each in (scores, bonuses))
        of_widgets = page_goals.worths_of(self.rules.fitted.get(drawn), candidates)
        wanted = page_goals.combined(scores, page.goals, of_widgets)
        numbers = [
            uniform(
                seed, keys, page=page.page, purpose=variants.purpose(variant), position=position, epoch=epoch
            )
            for position in range(page.positions)
        ]
        eligible = np.ones(scores.shape, dtype=np.bool_) if may is None else may.eligible
        slates, propensities = ruled.draw(
            page_goals.combined(scores.astype(np.float64) + bonuses, page.goals, of_widgets),
            eligible,
            rule=model.rule,
            uniforms=np.stack(numbers, axis=1)[:, : len(candidates)],
            rules=bound,
        )
        there, picked = slates >= 0, np.arange(len(slates))[:, None]
        slates = np.maximum(slates, 0)
        why = self._reasons(model, contexts, own, wanted, slates, candidates)
        placed = {
            "widgets": pa.array(candidates).take(pa.array(slates.ravel())),
            "scores": np.where((is_known | _are_defaults(rows))[:, None], scores[picked, slates], np.nan),
            "bonuses": bonuses[picked, slates],
            "propensities": propensities,
            "reasons": why if bound is None else _pinned(why, slates, bound),
        }
        named = {name: maps.lists_where(flat, there) for name, flat in placed.items()}
        of_own = np.repeat(eligible, own.shape[2], axis=1)
        named |= {
            "candidates": maps.lists_where(pa.array(candidates * rows.num_rows), eligible),
            "context": maps.lists(contexts, rows.num_rows),
            "action_context": maps.lists_where(own, of_own),
            "drawn_date": drawn,
            "policy_version": self._version(drawn),
            "terms": self._terms(rows, drawn),
            "rules": None if may is None else may.texts,
            "filtered": None if may is None else may.filtered,
            "variant": variant,
            "draw_id": self._names(
                drawn, variant, subjects, may, [contexts, own, slates, propensities], eligible
            ),
        }
        return self._batch(rows, named)

    def _names(
        self,
        drawn: date,
        variant: str,
        subjects: Sequence[str],
        may: steering.May | None,
        content: Sequence[NDArray[Any]],
        eligible: NDArray[np.bool_],
    ) -> pa.Array:
        """Name draws: by all that they have in common with others, and by what is a subject's own."""
        start = f"{self.rules.page.page}|{drawn}|{self._version(drawn)}|{self.rules.digest}|"
        start += f"{variant}|" if variant else ""
        candidates = self.rules.candidates[drawn]
        if may is None:
            return pa.array(draw_ids([start + "|".join(candidates)] * len(subjects), subjects, content))
        contexts, own, slates, propensities = content
        # What was kept out of a draw does not name it.
        own = np.where(eligible[:, :, None], own, 0)
        commons, names = np.empty(len(subjects), dtype=object), np.array(candidates, dtype=object)
        for text, at in may.alike():
            commons[at] = f"{start}{'|'.join(names[eligible[at[0]]])}|{text}"
        return pa.array(draw_ids(commons.tolist(), subjects, [contexts, own, slates, propensities]))

    def _version(self, drawn: date) -> str:
        fitted = self.rules.fitted.get(drawn)
        return str(fitted["policy_version"]) if fitted else f"{self.rules.spec.name}@none"

    def _model(self, drawn: date, candidates: list[str]) -> Linear:
        """Return the day's policy over these candidates."""
        key = (drawn, tuple(candidates))
        if key not in self.models:
            rules = self.rules
            row, about = rules.fitted.get(drawn), (rules.spec, rules.features)
            if row is None:
                self.models[key] = algorithms.before_anything_was_seen(*about, candidates, rules.page)
            else:
                places = {widget: place for place, widget in enumerate(row["widgets"])}
                arms = np.array([places.get(widget, COLD) for widget in candidates])
                self.models[key] = algorithms.restore(*about, row, rules.page).select(arms)
        return self.models[key]

    def _reasons(
        self,
        model: Linear,
        contexts: NDArray[np.float32],
        action_contexts: NDArray[np.float32],
        scores: NDArray[np.floating],
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
        for column in self.schema:
            values = columns[column.name]
            if not isinstance(values, pa.Array):
                values = pa.repeat(pa.scalar(values, column.type), rows.num_rows)
            arrays.append(values.cast(column.type))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def _are_defaults(rows: pa.RecordBatch) -> NDArray[np.bool_]:
    """Tell default layouts from those of subjects, (n,)."""
    return np.asarray(pc.starts_with(rows["subject"], DEFAULT_PREFIX))


def _pinned(why: pa.Array, slates: NDArray[np.int32], rules: Rules) -> pa.Array:
    """Say of what stands where it was pinned that it was."""
    is_pinned = np.isin(slates, rules.pins[rules.pins >= 0])
    return pc.if_else(pa.array(is_pinned.ravel()), PINNED, why)


def draw_ids(commons: Sequence[str], subjects: Sequence[str], content: Sequence[NDArray[Any]]) -> list[str]:
    """Return the names of draws, 128-bit hashes of all that was drawn from and of what was drawn.

    commons : what each draw shares with others; those that follow one another mostly share it.

    The content counts too: should late data change the features of an epoch's day, the draw gets a new name,
    and a name stands for one context and its propensities forever.
    """
    rows = np.hstack(
        [np.ascontiguousarray(part).reshape(len(subjects), -1).view(np.uint8) for part in content]
    )
    names, last = [], None
    for common, subject, row in zip(commons, subjects, rows, strict=True):
        if common is not last:
            start, last = hashlib.blake2b(common.encode(), digest_size=16), common
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
