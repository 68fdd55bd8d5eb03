"""Which decision an outcome credits: NumPy over the rows of whole subjects, for batches and streams alike."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ml.touch import NONE, Ints, last_touch

Bools = npt.NDArray[np.bool_]
REWARDED = ("detail", "basket")
KEPT = (
    "decision_id",
    "position",
    "decision_date",
    "served_at",
    "subject",
    "subject_bucket",
    "draw_id",
    "page",
    "widget",
    "propensity",
    "policy_version",
    "is_seen",
)
SECOND = 1_000_000


@dataclass(frozen=True)
class Rule:
    """What an outcome is worth, and how long after a decision it may come, in seconds."""

    version: str
    basket: float
    detail: float
    detail_seconds: int
    basket_seconds: int
    trace_seconds: int
    skew_seconds: int


@dataclass(frozen=True)
class _Rows:
    """One side as arrays, (n,) each; equal values have equal codes on both sides, a null is -1."""

    subject: Ints
    at: Ints  # microseconds
    place: Ints  # page and widget
    decision: Ints  # codes in the order of the ids themselves, so that ties are broken alike in any batch
    position: Ints


def credit(decisions: pa.Table, outcomes: pa.Table, rule: Rule, schema: pa.Schema) -> pa.Table:
    """Return a row of `feedback`, in its schema and the order of `decisions`, for each decision.

    decisions, outcomes: all rows of the same subjects, in any order.
    """
    outcomes = outcomes.filter(pc.is_in(outcomes["kind"], pa.array(REWARDED)))
    shown, done, places = _code(decisions, outcomes)
    named = _by_trace(decisions["trace_id"], outcomes["trace_id"], shown, done, rule)
    free = np.flatnonzero(named == NONE)
    touched = _by_window(_true(decisions["is_seen"]), shown, done, free, places, rule)
    target = named.copy()
    target[free] = touched

    is_basket, by_trace = _true(pc.equal(outcomes["kind"], "basket")), named != NONE
    lag = np.where(target == NONE, 0, done.at - shown.at[target]) if len(shown.at) else np.zeros_like(target)
    longest = np.where(
        is_basket, np.where(by_trace, rule.trace_seconds, rule.basket_seconds), rule.detail_seconds
    )
    counts = np.flatnonzero((target != NONE) & (lag <= longest * SECOND))
    earned = _earned(shown.at, rule, target[counts], done.at[counts], is_basket[counts], by_trace[counts])
    columns = {**{name: decisions[name] for name in KEPT}, **earned}
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _by_trace(
    shown_traces: pa.ChunkedArray, traces: pa.ChunkedArray, shown: _Rows, done: _Rows, rule: Rule
) -> Ints:
    """The row of the decision that each outcome names, or -1: (outcomes,)."""
    found = np.full(len(done.at), NONE)
    width = int(max(shown.position.max(initial=0), done.position.max(initial=0))) + 1
    row_of = np.full((int(shown.decision.max(initial=NONE)) + 1) * width, NONE)
    # Backwards, so that of rows with the same key the first one stands.
    rows = np.flatnonzero((shown.decision != NONE) & (shown.position != NONE))[::-1]
    row_of[shown.decision[rows] * width + shown.position[rows]] = rows
    naming = np.flatnonzero((done.decision != NONE) & (done.position != NONE))
    row = row_of[done.decision[naming] * width + done.position[naming]]
    naming, row = naming[row != NONE], row[row != NONE]
    lag = done.at[naming] - shown.at[row]
    in_time = (lag >= -rule.skew_seconds * SECOND) & (lag <= rule.trace_seconds * SECOND)
    holds = in_time & (done.subject[naming] == shown.subject[row])
    naming, row = naming[holds], row[holds]
    shared = _true(pc.equal(traces.take(pa.array(naming)), shown_traces.take(pa.array(row))))
    found[naming[shared]] = row[shared]
    return found


def _by_window(is_seen: Bools, shown: _Rows, done: _Rows, free: Ints, places: int, rule: Rule) -> Ints:
    """The row of the last touch of each free outcome, or -1: (len(free),)."""
    seen = np.flatnonzero(is_seen)
    seen = seen[_by_time(shown.subject[seen], shown.at[seen])]
    order = _by_time(done.subject[free], done.at[free])
    asking = free[order]
    # Of decisions served at once, the higher id and position is the last touch.
    rank = shown.decision[seen] * (int(shown.position.max(initial=0)) + 2) + shown.position[seen]
    found = last_touch(
        (shown.subject[seen], shown.at[seen], shown.place[seen], rank),
        (done.subject[asking], done.at[asking], done.place[asking]),
        kinds=places,
        skew=rule.skew_seconds * SECOND,
    )
    touched = np.full(len(free), NONE)
    is_found = found != NONE
    touched[order[is_found]] = seen[found[is_found]]
    return touched


def _by_time(subject: Ints, at: Ints) -> Ints:
    """Order of rows by subject, then time; what is in order already costs a look."""
    step, later = np.diff(subject), np.diff(at) >= 0
    if np.all((step > 0) | ((step == 0) & later)):
        return np.arange(len(subject))
    return np.asarray(np.lexsort((at, subject)))


def _earned(
    served_at: Ints, rule: Rule, target: Ints, at: Ints, is_basket: Bools, by_trace: Bools
) -> dict[str, pa.Array]:
    """Sum up the outcomes that count: for each its decision's row, its time, and how it was matched."""
    k = len(served_at)
    basket = np.bincount(target[is_basket], minlength=k) > 0
    detail = np.bincount(target[~is_basket], minlength=k) > 0
    traced = np.bincount(target[by_trace], minlength=k) > 0
    credited = basket | detail
    first = np.full(k, np.iinfo(np.int64).max)
    np.minimum.at(first, target, at)
    lag = np.where(credited, first - served_at, 0) / SECOND
    goals = np.column_stack([detail, basket]).astype(np.float64).reshape(-1)
    names = pa.DictionaryArray.from_arrays(np.tile(np.arange(2, dtype=np.int8), k), pa.array(REWARDED))
    how = np.where(traced, 0, np.where(credited, 1, 2)).astype(np.int8)
    return {
        "reward": pa.array(
            np.maximum(np.where(basket, rule.basket, 0.0), np.where(detail, rule.detail, 0.0))
        ),
        "reward_version": pa.DictionaryArray.from_arrays(np.zeros(k, np.int8), pa.array([rule.version])),
        "rewards": pa.MapArray.from_arrays(
            np.arange(k + 1, dtype=np.int32) * 2, names.cast(pa.string()), pa.array(goals)
        ),
        "lag_seconds": pa.array(lag, mask=~credited),
        "match": pa.DictionaryArray.from_arrays(how, pa.array(["trace", "window", "none"])),
    }


def _code(decisions: pa.Table, outcomes: pa.Table) -> tuple[_Rows, _Rows, int]:
    """Both sides as arrays, and the number of pairs of page and widget."""
    subjects = _ordered_codes(decisions["subject"], outcomes["subject"])
    pages, widgets = (_codes(decisions[name], outcomes[name]) for name in ("page", "widget"))
    width = max(int(side.max(initial=0)) for side in widgets) + 1
    place = [
        np.where((page == NONE) | (widget == NONE), NONE, page * width + widget)
        for page, widget in zip(pages, widgets, strict=True)
    ]
    places = (max(int(side.max(initial=0)) for side in pages) + 1) * width
    ids = _plain(decisions["decision_id"]).dictionary_encode()
    rank = _ranks(ids.dictionary)
    named = _numbers(pc.index_in(_plain(outcomes["decision_id"]), ids.dictionary))
    decision = (_ranked(rank, _numbers(ids.indices)), _ranked(rank, named))
    at = (decisions["served_at"], outcomes["happened_at"])
    shown, done = (
        _Rows(subjects[n], _numbers(at[n]), place[n], decision[n], _numbers(side["position"]))
        for n, side in enumerate((decisions, outcomes))
    )
    return shown, done, places


def _ordered_codes(first: pa.ChunkedArray, second: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """Codes of texts that come in runs, in the order of the texts themselves."""
    runs = [_runs(_plain(column)) for column in (first, second)]
    encoded = pa.concat_arrays([starts for starts, _ in runs]).dictionary_encode()
    codes = _ranks(encoded.dictionary)[_numbers(encoded.indices)]
    cut = len(runs[0][0])
    return np.repeat(codes[:cut], runs[0][1]), np.repeat(codes[cut:], runs[1][1])


def _runs(column: pa.Array) -> tuple[pa.Array, Ints]:
    """First value of each run of equal ones, and its length."""
    if not len(column):
        return column, np.zeros(0, np.int64)
    starts = np.concatenate([[True], _true(pc.not_equal(column[1:], column[:-1]))])
    first = np.flatnonzero(starts)
    return column.take(pa.array(first)), np.diff(first, append=len(column))


def _codes(first: pa.ChunkedArray, second: pa.ChunkedArray) -> tuple[Ints, Ints]:
    """Codes of texts of which there are few."""
    columns = [c if pa.types.is_dictionary(c.type) else c.dictionary_encode() for c in (first, second)]
    chunks = [chunk.cast(pa.dictionary(pa.int32(), pa.string())) for c in columns for chunk in c.chunks]
    if not chunks:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    unified = pa.chunked_array(chunks).unify_dictionaries()
    codes = np.concatenate([_numbers(chunk.indices) for chunk in unified.chunks])
    return codes[: len(first)], codes[len(first) :]


def _ranks(texts: pa.Array) -> Ints:
    rank = np.empty(len(texts), np.int64)
    rank[_numbers(pc.sort_indices(texts))] = np.arange(len(texts))
    return rank


def _ranked(rank: Ints, codes: Ints) -> Ints:
    return np.where(codes == NONE, NONE, rank[codes]) if len(rank) else codes


def _numbers(column: pa.Array | pa.ChunkedArray) -> Ints:
    """Numbers or instants as int64, -1 for null."""
    return np.asarray(pc.fill_null(column.cast(pa.int64()), NONE), dtype=np.int64)


def _true(column: pa.Array | pa.ChunkedArray) -> Bools:
    return np.asarray(pc.fill_null(column, False), dtype=np.bool_)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
