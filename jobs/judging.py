"""Judging servings: from Arrow rows of servings with their contexts to Arrow rows of judgements.

All that a worker needs travels as plain values; nothing is read here. A row's judgement depends on its own
context, the fitted policies and the seed only, never on the rows beside it.

A target draws for the goals and under the rules that its page has now; what the log's own rules allowed
stands beside its draws.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs import algorithms, maps, page_goals, steering
from jobs.config import FeatureSet, Page, Policy
from jobs.credit import DIRECT
from jobs.epochs import EPOCH_ZERO
from jobs.page_filters import give_way
from ml.bandits.linear import COLD, Linear
from ml.bandits.ridge import Ridge
from ml.draw import NOBODY
from ml.ope import exposure
from ml.ope.covered import counts, sure_from, unsure
from ml.ope.prefixes import along_prefixes
from ml.ope.slates import looked_at
from ml.ope.summary import OTHERS
from ml.randomness import subject_keys
from ml.rank import ruled

BETWEEN = "\x1f"
ROUNDING = 1e-6
MOST_MODELS = 64
"""Lists of candidates whose models are kept: under a page's filters everyone may have a list of their own."""
LEAST_SHOWN = 0.01
"""Least probability of the first position that `first` names: at most 100 a row, however many widgets."""

Seen = Mapping[tuple[str, date], Sequence[float]]
Labels = Mapping[date, steering.Labels]


@dataclass(frozen=True)
class Judged:
    """A target policy: its spec, its features, its page, and by day its row of `policies` from before."""

    spec: Policy
    features: FeatureSet
    page: Page | None
    fitted: Mapping[date, Mapping[str, Any]]
    restored: dict[date, Linear] = field(default_factory=dict, compare=False)
    models: dict[tuple[date, str], Linear] = field(default_factory=dict, compare=False)

    def model(self, day: date, candidates: Sequence[str]) -> Linear:
        """Return the policy over these candidates, as it was fitted before the day."""
        key = (day, BETWEEN.join(candidates))
        if key not in self.models:
            row = self.fitted[day]
            if day not in self.restored:
                self.restored[day] = algorithms.restore(self.spec, self.features, row, self.page)
            places = {widget: place for place, widget in enumerate(row["widgets"])}
            arms = np.array([places.get(widget, COLD) for widget in candidates])
            if len(self.models) >= MOST_MODELS:
                self.models.clear()
            self.models[key] = self.restored[day].select(arms)
        return self.models[key]


@dataclass(frozen=True, eq=False)
class Servings:
    """Servings of one page, day, feature set, list of candidates and rules, as arrays."""

    day: date
    page: str
    candidates: list[str]
    contexts: NDArray[np.float32]
    own: NDArray[np.float32]
    slates: NDArray[np.int64]
    keys: NDArray[np.uint64]
    seen: NDArray[np.float64]
    looked: NDArray[np.bool_]
    propensities: NDArray[np.float64]
    rules: str | None


def judge(
    batches: Iterator[pa.RecordBatch],
    *,
    judged: Sequence[Judged],
    seen: Seen,
    labels: Labels,
    seed: int,
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """Judge every policy at the servings that have contexts of its feature set."""
    for batch in batches:
        for rows in alike(batch):
            servings = servings_of(rows, seen)
            of_set = [one for one in judged if one.spec.feature_set == rows["feature_set"][0].as_py()]
            here = [one for one in of_set if servings.day in one.fitted]
            predictions = predictions_of(servings, here)
            for one in here:
                yield _batch(rows, servings, one, predictions, labels, seed, schema)


def alike(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut rows into those of one page, day, feature set, variant, candidates, rules and length."""
    names = ("page", "decision_date", "feature_set", "variant")
    parts = [pc.fill_null(pc.cast(batch[name], pa.string()), "") for name in names]
    parts += [pc.cast(pc.list_value_length(batch["widgets"]), pa.string()), batch["rules"].fill_null("")]
    key = pc.binary_join_element_wise(*parts, pc.binary_join(batch["candidates"], BETWEEN), "\x1e")
    codes = key.dictionary_encode()
    indices = np.asarray(codes.indices)
    for number in range(len(codes.dictionary)):
        yield batch.take(pa.array(np.flatnonzero(indices == number)))


def servings_of(rows: pa.RecordBatch, seen: Seen) -> Servings:
    candidates = rows["candidates"][0].as_py()
    day, page = rows["decision_date"][0].as_py(), rows["page"][0].as_py()
    widgets = rows["widgets"].flatten()
    columns = pc.fill_null(pc.index_in(widgets, pa.array(candidates)), NOBODY)
    slates = np.asarray(columns, dtype=np.int64).reshape(rows.num_rows, -1)
    positions = slates.shape[1]
    known = list(seen.get((page, day), ()))[:positions]
    # Who took something from a position has seen it, whatever became of the sighting.
    came = [np.asarray(rows[name].flatten()) != 0 for name in ("rewards", *DIRECT)]
    is_seen = np.any([rows["is_seen"].flatten().to_numpy(zero_copy_only=False), *came], axis=0)
    return Servings(
        day=day,
        page=page,
        candidates=candidates,
        contexts=_matrix(rows["context"]),
        own=_matrix(rows["action_context"]).reshape(rows.num_rows, len(candidates), -1),
        slates=slates,
        keys=subject_keys(rows["subject"].to_pylist()),
        # Before anybody looked, every position counts: any numbers leave the estimators unbiased.
        seen=np.array(known + [1.0] * (positions - len(known))),
        looked=looked_at(slates != NOBODY, is_seen.reshape(slates.shape)),
        propensities=np.asarray(rows["propensities"].flatten()).reshape(slates.shape),
        rules=rows["rules"][0].as_py(),
    )


def predictions_of(servings: Servings, judged: Sequence[Judged]) -> NDArray[np.float32] | None:
    """Return r̂ of every candidate by the first policy that learns a regression; None without one."""
    for one in judged:
        model = one.model(servings.day, servings.candidates)
        if isinstance(model, Ridge):
            return model.scores(servings.contexts, servings.own)
    return None


def _batch(
    rows: pa.RecordBatch,
    servings: Servings,
    one: Judged,
    predictions: NDArray[np.float32] | None,
    labels: Labels,
    seed: int,
    schema: pa.Schema,
) -> pa.RecordBatch:
    model, about = one.model(servings.day, servings.candidates), servings
    epoch = (about.day - EPOCH_ZERO).days
    normals = model.normals(seed, about.keys, page=about.page, epoch=epoch, arms=about.candidates)
    values = model.values(about.contexts, about.own, normals)
    if one.page is not None and one.page.goals is not None:
        of_widgets = page_goals.worths_of(one.fitted[about.day], about.candidates)
        values = page_goals.combined(values, one.page.goals, of_widgets)
    text, eligible = under(rows, about, one.page, labels)
    rules = None if text is None else steering.read(text)
    first = ruled.first_position_probabilities(values, eligible, rule=model.rule, rules=rules)
    probabilities = ruled.slate_propensities(values, eligible, about.slates, rule=model.rule, rules=rules)
    columns: dict[str, Any] = {name: rows[name] for name in schema.names if name in rows.schema.names}
    columns |= {
        "spec": one.spec.name,
        "spec_digest": one.spec.digest,
        "policy_version": one.fitted[about.day]["policy_version"],
        "probabilities": maps.lists(probabilities.astype(np.float64), rows.num_rows),
        "first": _shown(first, about.candidates),
        "likeliest": pa.array(about.candidates).take(pa.array(first.argmax(axis=1))),
    }
    looks = first
    if about.slates.shape[1] > 1:
        looks = exposure.of_widgets(
            values, model.rule, about.seen, seed=seed, keys=about.keys, rules=rules, eligible=eligible
        )
        drawn = exposure.of_logged(looks, about.slates, about.seen, predictions)
        columns |= {"exposures": maps.lists(drawn.logged, rows.num_rows)}
        if drawn.rated is not None:
            columns |= {"rated": maps.lists(drawn.rated, rows.num_rows), "modelled": pa.array(drawn.modelled)}
    if about.rules is not None:
        is_other = np.logical_or(text != about.rules, ~eligible.all(axis=1))
        columns |= _under_rules(about, looks, probabilities.astype(np.float64), is_other)
    if predictions is not None:
        both = along_prefixes(
            values, about.slates, model.rule, predictions, about.seen, rules, eligible=eligible
        )
        named = zip(("predicted", "expected"), both, strict=True)
        columns |= {name: maps.lists(each, rows.num_rows) for name, each in named}
    arrays = []
    for column in schema:
        value = columns.get(column.name)
        if not isinstance(value, pa.Array):
            value = pa.repeat(pa.scalar(value, column.type), rows.num_rows)
        arrays.append(value.cast(column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def under(
    rows: pa.RecordBatch, about: Servings, page: Page | None, labels: Labels
) -> tuple[str | None, NDArray[np.bool_]]:
    """Return the rules of tonight, bound to the servings' candidates, and (n, k) whom they let see what."""
    if page is None or page.steered is None:
        return None, np.ones((rows.num_rows, len(about.candidates)), dtype=np.bool_)
    text = steering.bind(page, about.candidates, labels[about.day])
    eligible = steering.audience(page, about.candidates, rows, rows["variant"][0].as_py() or "")
    # What the log's own filters left is what they leave: a draw stands longer than a day's features.
    if text is not None and steering.filters_of(text) != steering.filters_of(about.rules):
        said = steering.spoken(page, about.candidates, labels[about.day], rows["lately"])
        if said is not None:
            stands = steering.read(text).stands
            eligible = give_way(eligible, said.against & eligible, stands, page.positions)
    return text, eligible


def _under_rules(
    about: Servings,
    looks: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    is_other: NDArray[np.bool_],
) -> dict[str, Any]:
    """Return what the log's rules make of its positions, and what they leave open of a target's looks."""
    assert about.rules is not None
    rules, rows = steering.read(about.rules), len(about.slates)
    opening = [widget for widget, at in zip(about.candidates, sure_from(rules), strict=True) if at == 0]
    found: dict[str, Any] = {
        "unsure": pa.array(np.where(is_other, unsure(looks, rules), 0.0)),
        "opening": pa.array([opening] * rows, pa.list_(pa.string())),
    }
    if about.slates.shape[1] > 1:
        logged = np.take_along_axis(looks, np.maximum(about.slates, 0), axis=1)
        number = counts(
            about.slates, about.looked, about.propensities, probabilities, logged, rules, about.seen
        )
        found["counts"] = maps.lists(number, rows)
    return found


def _shown(first: NDArray[np.float64], candidates: Sequence[str]) -> pa.MapArray:
    """Name what is likely, and sum the rest, so that thousands of rare widgets are seen to be there."""
    named = np.where(first >= LEAST_SHOWN, first, 0.0)
    full = np.column_stack([named, first.sum(axis=1) - named.sum(axis=1)])
    row, column = np.nonzero(full > ROUNDING)
    offsets = np.searchsorted(row, np.arange(len(first) + 1)).astype(np.int32)
    names = pa.array([*candidates, OTHERS])
    return pa.MapArray.from_arrays(
        pa.array(offsets), names.take(pa.array(column)), pa.array(full[row, column])
    )


def _matrix(column: pa.ListArray) -> NDArray[np.float32]:
    return np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)
