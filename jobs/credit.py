"""Which decision an outcome credits: NumPy over the rows of whole subjects, for batches and streams alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jobs import goals
from jobs.goals import KINDS
from ml.touch import NONE, Ints, last_touch

Bools = npt.NDArray[np.bool_]
DIRECT = ("detail", "basket")
"""Outcomes of a page: they credit a decision by trace or by window."""
BOUGHT = ("purchase", "reorder")
"""A product bought: credits the decision through which the same product was opened or put into the basket."""
WON = ("team_sale", "recruit")
"""What a consultant or recruiter brings about: credits the decision that last led anywhere."""
KEPT = (
    "decision_id",
    "position",
    "decision_date",
    "served_at",
    "subject",
    "subject_bucket",
    "role",
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
    follow_seconds: int = 12 * 3600
    display_seconds: int = 60
    roles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    widgets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rows:
    """One side as arrays, (n,) each; equal values have equal codes on both sides, a null is -1."""

    subject: Ints
    at: Ints  # microseconds
    place: Ints  # page and widget
    decision: Ints  # codes in the order of the ids themselves, so that ties are broken alike in any batch
    position: Ints

    def rank(self, rows: Ints) -> Ints:
        """What decides between rows of one instant: the id, then the position."""
        return self.decision[rows] * (int(self.position.max(initial=0)) + 2) + self.position[rows]


def credit(decisions: pa.Table, outcomes: pa.Table, rule: Rule, schema: pa.Schema) -> pa.Table:
    """Return a row of `feedback`, in its schema and the order of `decisions`, for each decision.

    decisions, outcomes: all rows of the same subjects, in any order.
    """
    outcomes = outcomes.filter(pc.is_in(outcomes["kind"], pa.array(KINDS)))
    shown, done, places = _code(decisions, outcomes)
    kind = _numbers(pc.index_in(_texts(outcomes["kind"]), pa.array(KINDS)))
    target, by_trace = _direct(decisions, outcomes, shown, done, places, kind, rule)
    followed = _follow(outcomes, shown, done, kind, target, rule)
    seen_at = np.where(_true(decisions["is_seen"]), _numbers(decisions["seen_at"]), NONE)
    credited = goals.Credited(
        target=np.where(target == NONE, followed, target),
        kind=kind,
        at=done.at,
        subject=done.subject,
        cents=_numbers(pc.fill_null(outcomes["value_cents"], 0)),
        by_trace=by_trace,
    )
    earned = goals.earned(shown.subject, shown.at, seen_at, credited, rule.display_seconds)
    columns = {
        **{name: decisions[name] for name in KEPT},
        "reward": _reward(earned, decisions, rule),
        "reward_version": pa.DictionaryArray.from_arrays(
            np.zeros(len(shown.at), np.int8), pa.array([rule.version])
        ),
        "rewards": goals.by_name(earned),
        "lag_seconds": pa.array(earned["seconds_to_action"], from_pandas=True),
        "match": _how(credited, len(shown.at)),
    }
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _reward(
    earned: Mapping[str, npt.NDArray[np.float64]], decisions: pa.Table, rule: Rule
) -> npt.NDArray[np.float64]:
    """What counts for a widget that has a reward of its own, else for the role, else the plain rule."""
    value = goals.reward(earned, decisions["role"], rule.basket, rule.detail, rule.roles)
    return goals.counted_for(value, earned, decisions["earns"], rule.widgets)


def _direct(
    decisions: pa.Table, outcomes: pa.Table, shown: _Rows, done: _Rows, places: int, kind: Ints, rule: Rule
) -> tuple[Ints, Bools]:
    """The decision's row that each outcome of a page earns, or -1, and whether it is named: (outcomes,)."""
    is_direct = kind < len(DIRECT)
    named = np.where(
        is_direct, _by_trace(decisions["trace_id"], outcomes["trace_id"], shown, done, rule), NONE
    )
    free = np.flatnonzero((named == NONE) & is_direct)
    seen = np.flatnonzero(_true(decisions["is_seen"]))
    target = named.copy()
    target[free] = _touch(shown, done, seen, free, (shown.place, done.place), places, rule)
    _by_product(decisions, outcomes, shown, done, seen, free, target, rule)
    lag = np.where(target == NONE, 0, done.at - shown.at[target]) if len(shown.at) else np.zeros_like(target)
    of_basket = np.where(named != NONE, rule.trace_seconds, rule.basket_seconds)
    longest = np.where(kind == KINDS.index("basket"), of_basket, rule.detail_seconds)
    return np.where(lag <= longest * SECOND, target, NONE), named != NONE


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


def _touch(
    shown: _Rows, done: _Rows, seen: Ints, free: Ints, like: tuple[Ints, Ints], kinds: int, rule: Rule
) -> Ints:
    """The row of each free outcome's last touch among seen decisions of its kind, or -1: (len(free),)."""
    seen = seen[_by_time(shown.subject[seen], shown.at[seen])]
    order = _by_time(done.subject[free], done.at[free])
    asking = free[order]
    # Of decisions served at once, the higher id and position is the last touch.
    found = last_touch(
        (shown.subject[seen], shown.at[seen], like[0][seen], shown.rank(seen)),
        (done.subject[asking], done.at[asking], like[1][asking]),
        kinds=kinds,
        skew=rule.skew_seconds * SECOND,
    )
    touched = np.full(len(free), NONE)
    is_found = found != NONE
    touched[order[is_found]] = seen[found[is_found]]
    return touched


def _by_product(
    decisions: pa.Table,
    outcomes: pa.Table,
    shown: _Rows,
    done: _Rows,
    seen: Ints,
    free: Ints,
    target: Ints,
    rule: Rule,
) -> None:
    """Give free outcomes that name a product but no widget their last touch, in `target`.

    A product can have been shown by a carousel of its category or by a widget that shows any. Of two served
    at once, the carousel of its own category is credited.
    """
    unnamed = np.asarray(outcomes["widget"].is_null()) & np.asarray(outcomes["product_id"].is_valid())
    asking = free[unnamed[free]]
    if not len(asking) or not len(seen):
        return
    pages = _codes(decisions["page"], outcomes["page"])
    groups = _codes(decisions["category"], outcomes["category"])
    width = max(int(side.max(initial=0)) for side in groups) + 1
    own_seen, any_seen = seen[groups[0][seen] != NONE], seen[groups[0][seen] == NONE]
    for has_page in (True, False):
        rows = asking[(pages[1][asking] != NONE) == has_page]
        here = pages if has_page else (np.zeros_like(pages[0]), np.zeros_like(pages[1]))
        kinds = max(int(side.max(initial=0)) for side in here) + 1
        like = [
            np.where(group == NONE, NONE, page * width + group)
            for page, group in zip(here, groups, strict=True)
        ]
        own = _touch(shown, done, own_seen, rows, (like[0], like[1]), kinds * width, rule)
        anyone = _touch(shown, done, any_seen, rows, here, kinds, rule)
        later = (own != NONE) & ((anyone == NONE) | (shown.at[own] >= shown.at[anyone]))
        target[rows] = np.where(later, own, anyone)


def _follow(outcomes: pa.Table, shown: _Rows, done: _Rows, kind: Ints, target: Ints, rule: Rule) -> Ints:
    """The decision's row to which the outcome before a later one led, or -1: (outcomes,)."""
    followed = np.full(len(target), NONE)
    touches = np.flatnonzero(target != NONE)
    if not len(touches):
        return followed
    products = _plain(outcomes["product_id"]).dictionary_encode()
    # What was opened is here what was shown; its rank is that of the decision that it credits.
    opened = _Rows(done.subject, done.at, done.place, shown.decision[target], shown.position[target])
    for names, codes in ((BOUGHT, _numbers(products.indices)), (WON, np.zeros_like(kind))):
        rows = np.flatnonzero(np.isin(kind, [KINDS.index(name) for name in names]))
        kinds = int(codes.max(initial=0)) + 1
        touch = _touch(opened, done, touches, rows, (codes, codes), kinds, rule)
        in_time = done.at[rows] - done.at[touch] <= rule.follow_seconds * SECOND
        followed[rows] = np.where((touch != NONE) & in_time, target[touch], NONE)
    return followed


def _how(credited: goals.Credited, k: int) -> pa.Array:
    """How each decision's outcomes of pages were matched."""
    direct = (credited.target != NONE) & (credited.kind < len(DIRECT))
    traced = np.bincount(credited.target[direct & credited.by_trace], minlength=k) > 0
    any_one = np.bincount(credited.target[direct], minlength=k) > 0
    how = np.where(traced, 0, np.where(any_one, 1, 2)).astype(np.int8)
    return pa.DictionaryArray.from_arrays(how, pa.array(["trace", "window", "none"]))


def _by_time(subject: Ints, at: Ints) -> Ints:
    """Order of rows by subject, then time; what is in order already costs a look."""
    step, later = np.diff(subject), np.diff(at) >= 0
    if np.all((step > 0) | ((step == 0) & later)):
        return np.arange(len(subject))
    return np.asarray(np.lexsort((at, subject)))


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


def _texts(column: pa.ChunkedArray) -> pa.Array:
    """A column that may be of a dictionary, as texts."""
    return _plain(column.cast(pa.string()))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
