"""Rows of subject_features out of sorted daily rows: Arrow in, Arrow out, a few whole subjects at a time.

Input rows, sorted by subject and day, are of three kinds: activity (a day of a subject, or what stands for
many, as `jobs.subject_past` gives them), change (a row of users) and, where any set names them, tastes
(`jobs.taste_rows`). A task's memory is bounded by CELLS_AT_ONCE, however long a history or interval is.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs import maps
from jobs.taste_rows import Measures, tastes_of
from ml.features import RECENT_MEAN, Block, Declaration, Population, values_as_of

Batches = Iterator[pa.RecordBatch]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Carousels = Mapping[str, Integers]
Scales = Mapping[str, Sequence[str]]

ACTIVITY = (
    "first_visit_date", "last_active_date", "last_visit_date", "visits", "lines", "sales_cents",
    "category_visits", "reward_counts", "reward_micros",
)  # fmt: skip
CELLS_AT_ONCE = 2_000_000
"""Subjects × days × categories computed together; a handful of arrays hold 8 bytes for each."""
SCHEMA = (
    "subject string, subject_bucket int, feature_date date, last_active_date date, role string,"
    " region string, category1 string, category2 string, features map<string,double>,"
    " widget_shares map<string,double>, widget_reward_means map<string,double>,"
    " widget_click_rates map<string,double>, vector map<string,double>"
)


def kernel(
    population: Population,
    carousels: Carousels,
    demographics: Scales,
    named: Collection[str],
    declared: Mapping[str, Declaration],
    measures: Measures | None = None,
) -> Callable[[Batches], Batches]:
    """Return the function for mapInArrow; `measures` are of the rows of tastes, if there are any.

    What is the same for all subjects of a day (the population's recent means), or stands in a column of its
    own (role and region), is made a feature only if it is `named`.
    """

    def compute(batches: Batches) -> Batches:
        for rows in whole_subjects(batches, len(population.days) * max(len(population.categories), 1)):
            found = _features(rows, population, carousels, demographics, named, declared, measures)
            yield from found.to_batches()

    return compute


def whole_subjects(batches: Batches, cells: int) -> Iterator[pa.Table]:
    """Cut sorted rows between subjects, each of `cells` cells: the last of a batch waits for the next one."""
    at_once = max(CELLS_AT_ONCE // cells, 1)
    waiting: pa.Table | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        rows = pa.Table.from_batches([batch])
        rows = rows if waiting is None else pa.concat_tables([waiting, rows])
        starts = _starts(rows)
        for first in range(0, len(starts) - 1, at_once):
            last = min(first + at_once, len(starts) - 1)
            yield rows.slice(starts[first], starts[last] - starts[first])
        waiting = rows.slice(starts[-1])
    if waiting is not None:
        yield waiting


def _starts(rows: pa.Table) -> Integers:
    """Index of each subject's first row."""
    codes = rows.column("subject").combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64)


def _features(
    rows: pa.Table,
    population: Population,
    carousels: Carousels,
    demographics: Scales,
    named: Collection[str],
    declared: Mapping[str, Declaration],
    measures: Measures | None,
) -> pa.Table:
    """Features of whole subjects: one row per subject and day on which it has a history and has not left."""
    rows = rows.combine_chunks()
    starts = _starts(rows)
    subject = np.repeat(np.arange(len(starts)), np.diff(starts, append=rows.num_rows))
    is_activity = _flags(rows, "is_activity") == 1
    block = _block(rows, subject, is_activity, population, len(starts))
    values = values_as_of(block, population, carousels, declared)
    is_change = rows.column("is_activity").is_valid().to_numpy(zero_copy_only=False) & ~is_activity
    change = _last_change(rows, subject, is_change, population.days, len(starts))
    left = _as_of(_flags(rows, "is_deleted"), change, 0.0) == 1
    at = np.nonzero(values.has_history & ~left)
    of_people = _demographics(rows, change, demographics) | _belongs(rows, change, named)
    features = {
        name: value
        for name, value in (values.features | of_people).items()
        if name in named or not name.startswith(RECENT_MEAN)
    }
    who, person = pa.array(starts[at[0]]), pa.array(change[at], mask=change[at] < 0)
    category = pa.array(population.categories, pa.string())
    rates, vector = _tastes(rows, subject, is_activity | is_change, population.days, len(starts), measures)
    columns = {
        "subject": rows.column("subject").take(who),
        "subject_bucket": rows.column("subject_bucket").take(who),
        "feature_date": _dates(population.days[at[1]]),
        "last_active_date": _dates(values.last_active_day[at]),
        "role": rows.column("role").take(person),
        "region": rows.column("region").take(person),
        "category1": category.take(pa.array(values.category1[at], mask=values.category1[at] < 0)),
        "category2": category.take(pa.array(values.category2[at], mask=values.category2[at] < 0)),
        "features": _mapped(features, at),
        "widget_shares": _mapped(values.widget_shares, at),
        "widget_reward_means": _mapped(values.reward_means, at),
        "widget_click_rates": _mapped(rates, at),
        "vector": _mapped(vector, at),
    }
    return pa.table(columns)


def _block(rows: pa.Table, subject: Integers, is_activity: Flags, population: Population, n: int) -> Block:
    daily = rows.filter(pa.array(is_activity)).combine_chunks()
    row, category, visits = maps.entries(daily.column("category_visits"), population.categories)
    seen_row, seen_arm, seen = maps.entries(daily.column("reward_counts"), population.arms)
    earned = np.nan_to_num(maps.table(daily.column("reward_micros"), population.arms))[seen_row, seen_arm]
    return Block(
        subject=subject[is_activity],
        day=_day_numbers(daily),
        last_active=_day_numbers(daily, "last_active_date"),
        visits=_integers(daily, "visits"),
        first_visit=_day_numbers(daily, "first_visit_date"),
        last_visit=_day_numbers(daily, "last_visit_date"),
        lines=_integers(daily, "lines"),
        sales_cents=_integers(daily, "sales_cents"),
        categories=(row, category, visits.astype(np.int64)),
        rewards=(seen_row, seen_arm, seen.astype(np.int64), earned.astype(np.int64)),
        subjects=n,
    )


def _tastes(
    rows: pa.Table, subject: Integers, is_other: Flags, days: Integers, n: int, measures: Measures | None
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Click rates by arm, and vectors by dimension."""
    if measures is None:
        return {}, {}
    own = rows.filter(pa.array(~is_other)).combine_chunks()
    return measures.values(tastes_of(own, subject[~is_other], _day_numbers(own), measures, n), days)


def _last_change(rows: pa.Table, subject: Integers, is_change: Flags, days: Integers, n: int) -> Integers:
    """Row of each subject's newest change up to each day, (subjects, days), -1 where there is none."""
    at = np.flatnonzero(is_change)
    day = _day_numbers(rows)[at]
    width = int(max(day.max(initial=0), days.max())) + 1
    wanted = np.arange(n)[:, None] * width + days[None, :]
    upto = np.searchsorted(subject[at] * width + day, wanted, side="right")
    before = np.searchsorted(subject[at], np.arange(n))[:, None]
    found = np.append(at, -1)[np.maximum(upto - 1, 0)]
    return np.where(upto > before, found, -1)


def _demographics(rows: pa.Table, change: Integers, scales: Scales) -> dict[str, Floats]:
    """Place of each field in its list of groups, and a flag for knowing any."""
    known = _as_of(_flags(rows, "has_demographics"), change, 0.0)
    features = {"has_demographics": known}
    for field, groups in scales.items():
        place = pc.index_in(rows.column(field), pa.array(groups, pa.string())).cast(pa.float64()).to_numpy()
        features[field] = np.where(known == 1, _as_of(place, change, np.nan), np.nan)
    return features


def _belongs(rows: pa.Table, change: Integers, named: Collection[str]) -> dict[str, Floats]:
    """`role/NAME` and `region/NAME`: 1 for who is of it as of the day, 0 for others, NaN where not known."""
    found = {}
    for name in sorted(named):
        column, _, value = name.partition("/")
        if column in ("role", "region"):
            known = pc.equal(rows.column(column), value).cast(pa.float64())
            found[name] = _as_of(pc.fill_null(known, np.nan).to_numpy(), change, np.nan)
    return found


def _as_of(values: Floats, change: Integers, default: float) -> Floats:
    return np.where(change >= 0, values[np.maximum(change, 0)], default)


def _flags(rows: pa.Table, name: str) -> Floats:
    return np.asarray(pc.fill_null(rows.column(name), False), dtype=np.float64)


def _mapped(columns: Mapping[str, Floats], at: tuple[Integers, ...]) -> pa.MapArray:
    return maps.mapped({name: columns[name][at] for name in sorted(columns)}, len(at[0]))


def _integers(rows: pa.Table, name: str) -> Integers:
    return np.asarray(pc.fill_null(rows.column(name), 0), dtype=np.int64)


def _day_numbers(rows: pa.Table, name: str = "day") -> Integers:
    return np.asarray(pc.fill_null(rows.column(name).cast(pa.int32()), -1), dtype=np.int64)


def _dates(days: Integers) -> pa.Array:
    return pa.array(days.astype(np.int32), pa.int32()).cast(pa.date32())
