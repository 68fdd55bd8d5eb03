"""Which decision an outcome credits: NumPy over the rows of whole subjects, for batches and streams alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
NONE = -1
# Rows matched at once; a subject is never split, so one with a million events is matched at once as well.
ROWS_AT_ONCE = 200_000
KEPT = (
    "decision_id",
    "position",
    "decision_date",
    "subject",
    "subject_bucket",
    "draw_id",
    "page",
    "widget",
    "propensity",
    "policy_version",
    "is_seen",
)


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
    """Decisions and outcomes of the same subjects as arrays; equal texts have equal codes, a null is -1."""

    at: Ints  # microseconds
    subject: Ints
    trace: Ints
    decision: Ints  # in the order of the ids themselves, so that ties are broken alike in any batch
    position: Ints
    page: Ints
    widget: Ints
    is_basket: npt.NDArray[np.bool_]
    is_seen: npt.NDArray[np.bool_]


def matcher(rule: Rule, schema: pa.Schema) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what turns batches sorted by subject into rows of `feedback`, as mapInArrow wants it."""

    def match(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in whole_subjects(batches, ROWS_AT_ONCE):
            yield from credit(rows, rule, schema).to_batches()

    return match


def whole_subjects(batches: Iterator[pa.RecordBatch], least: int) -> Iterator[pa.Table]:
    """Gather batches sorted by subject into tables of at least so many rows that split no subject."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if held and count >= least and batch.num_rows:
            last = held[-1]["subject"][held[-1].num_rows - 1]
            cut = pc.index(pc.not_equal(batch["subject"], last), True).as_py()
            if cut >= 0:
                yield pa.Table.from_batches([*held, batch.slice(0, cut)])
                held, count, batch = [], 0, batch.slice(cut)
        if batch.num_rows:
            held.append(batch)
            count += batch.num_rows
    if held:
        yield pa.Table.from_batches(held)


def credit(rows: pa.Table, rule: Rule, schema: pa.Schema) -> pa.Table:
    """Return a row of `feedback`, in its schema, for each decision.

    rows: decisions (kind null) and outcomes of whole subjects, in any order, with the columns that
    `jobs.feedback` gives them.
    """
    is_decision = rows["kind"].is_null().to_numpy()
    decisions, outcomes = np.flatnonzero(is_decision), np.flatnonzero(~is_decision)
    coded = _code(rows)
    named = _by_trace(coded, decisions, outcomes, rule)
    free = outcomes[named == NONE]
    touched = _by_window(coded, decisions, free, rule)
    source = np.concatenate([outcomes[named != NONE], free])
    target = np.concatenate([named[named != NONE], touched])
    by_trace = np.arange(len(source)) < len(source) - len(free)

    lag = np.where(target == NONE, 0, coded.at[source] - coded.at[target])
    longest = np.where(
        coded.is_basket[source],
        np.where(by_trace, rule.trace_seconds, rule.basket_seconds),
        rule.detail_seconds,
    )
    counts = (target != NONE) & (lag <= longest * 1_000_000)
    earned = _earned(coded, decisions, rule, source[counts], target[counts], by_trace[counts])
    columns = {
        **earned,
        **{name: rows[name].take(decisions) for name in KEPT},
        "served_at": rows["at"].take(decisions),
    }
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _by_trace(coded: _Rows, decisions: Ints, outcomes: Ints, rule: Rule) -> Ints:
    """The row of the decision that each outcome names, or -1: (len(outcomes),)."""
    if len(decisions) == 0:
        return np.full(len(outcomes), NONE)
    width = int(coded.position.max()) + 2
    keys = coded.decision * width + coded.position
    order = np.argsort(keys[decisions], kind="stable")
    place = np.searchsorted(keys[decisions], keys[outcomes], sorter=order)
    found = decisions[order[np.minimum(place, len(decisions) - 1)]]
    lag = coded.at[outcomes] - coded.at[found]
    named = (
        (coded.decision[outcomes] != NONE)
        & (coded.position[outcomes] != NONE)
        & (keys[found] == keys[outcomes])
    )
    shared = (coded.trace[outcomes] != NONE) & (coded.trace[found] == coded.trace[outcomes])
    own = coded.subject[found] == coded.subject[outcomes]
    in_time = (lag >= -rule.skew_seconds * 1_000_000) & (lag <= rule.trace_seconds * 1_000_000)
    return np.where(named & shared & own & in_time, found, NONE)


def _by_window(coded: _Rows, decisions: Ints, outcomes: Ints, rule: Rule) -> Ints:
    """The row of each outcome's last touch, or -1: an as-of join by sorting both sides together."""
    seen = decisions[coded.is_seen[decisions]]
    row = np.concatenate([seen, outcomes])
    is_outcome = np.arange(len(row)) >= len(seen)
    at = coded.at[row] + np.where(is_outcome, rule.skew_seconds * 1_000_000, 0)
    group = (coded.subject[row], coded.page[row], coded.widget[row])
    # The last key sorts first. Of decisions served at once, the higher id and position is the last touch.
    order = np.lexsort((coded.position[row], coded.decision[row], is_outcome, at, *group))
    sorted_row, asks = row[order], is_outcome[order]
    latest = np.maximum.accumulate(np.where(asks, NONE, np.arange(len(row))))
    touched = np.where(latest == NONE, NONE, sorted_row[latest])
    for code in group:
        touched = np.where(code[order] == code[order][latest], touched, NONE)
    known = (coded.page[sorted_row] != NONE) & (coded.widget[sorted_row] != NONE)
    by_row = np.full(len(coded.at), NONE)
    by_row[sorted_row[asks]] = np.where(known, touched, NONE)[asks]
    return by_row[outcomes]


def _earned(
    coded: _Rows, decisions: Ints, rule: Rule, source: Ints, target: Ints, by_trace: npt.NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Sum up each decision's credited outcomes: rows of outcomes (source) and of decisions (target)."""
    n, k = len(coded.at), len(decisions)
    is_basket = coded.is_basket[source]
    basket = np.bincount(target[is_basket], minlength=n)[decisions] > 0
    detail = np.bincount(target[~is_basket], minlength=n)[decisions] > 0
    traced = np.bincount(target[by_trace], minlength=n)[decisions] > 0
    credited = basket | detail
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, target, coded.at[source])
    lag = np.where(credited, first[decisions] - coded.at[decisions], 0) / 1e6
    goals = np.column_stack([detail, basket]).astype(np.float64).reshape(-1)
    return {
        "reward": pa.array(
            np.maximum(np.where(basket, rule.basket, 0.0), np.where(detail, rule.detail, 0.0))
        ),
        "reward_version": pa.array([rule.version] * k, pa.string()),
        "rewards": pa.MapArray.from_arrays(
            np.arange(k + 1, dtype=np.int32) * 2,
            pa.array(["detail", "basket"] * k, pa.string()),
            pa.array(goals),
        ),
        "lag_seconds": pa.array(lag, mask=~credited),
        "match": pa.array(np.where(traced, "trace", np.where(credited, "window", "none")), pa.string()),
    }


def _code(rows: pa.Table) -> _Rows:
    return _Rows(
        at=pc.cast(rows["at"], pa.int64()).to_numpy(),
        subject=_codes(rows["subject"]),
        trace=_codes(rows["trace_id"]),
        decision=_codes(rows["decision_id"], ordered=True),
        position=pc.cast(pc.fill_null(rows["position"], NONE), pa.int64()).to_numpy(),
        page=_codes(rows["page"]),
        widget=_codes(rows["widget"]),
        is_basket=pc.fill_null(pc.equal(rows["kind"], "basket"), False).to_numpy(),
        is_seen=pc.fill_null(rows["is_seen"], False).to_numpy(),
    )


def _codes(column: pa.ChunkedArray, *, ordered: bool = False) -> Ints:
    encoded = column.combine_chunks().dictionary_encode()
    codes = pc.fill_null(encoded.indices, NONE).to_numpy().astype(np.int64)
    if not ordered:
        return np.asarray(codes)
    rank = np.empty(len(encoded.dictionary) + 1, np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
    rank[NONE] = NONE
    return np.asarray(rank[codes])
