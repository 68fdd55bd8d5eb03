"""The page Drift: what has moved since training and since the last sales period, how far, and for whom.

Rows of `drift` in, a view out; only `gather` reads, and only the newest day and everyone's rows of a month.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds

from jobs.config import Config, Declaration
from jobs.drift_counts import ALARM, EVERYONE, FEATURE, LAST_PERIOD, REWARD, SCORE, STEADY, TRAINING, WATCH
from jobs.drifting import RANK, Key, by_nature, distance, key_of, strength, strongest
from jobs.ui.charts import trend
from jobs.ui.shelf import Shelf
from jobs.ui.view import Cell, Rows, Section, Table, View

Row = Mapping[str, Any]

NIGHTS = 28
MOST_SHOWN = 30
COLUMNS = (
    "drift_date", "kind", "name", "who", "against", "against_date", "n", "psi", "shift", "level",
)  # fmt: skip
KINDS = {
    FEATURE: ("Features", "What models and policies see of subjects."),
    SCORE: ("Predictions", "What the champions predict, by class; the newest scores of each subject."),
    REWARD: ("Rewards", "What positions that were seen earned, by page and widget."),
}
CELLS = {ALARM: "bad", WATCH: "watch", STEADY: "quiet"}
AGAINST = {TRAINING: "training", LAST_PERIOD: "last period"}
NEVER = "Nothing has been compared yet: the DAG drift does, every night, once a sales period is over."


def gather(shelf: Shelf, config: Config) -> View:
    """Read what the page needs."""
    bounds = {"watch": 0.1, "alarm": 0.25, **config.jobs.get("drift", {})}

    def read() -> View:
        day = _newest(shelf)
        if day is None:
            return View("drift", "Drift", NEVER)
        rows = shelf.pruned("drift", COLUMNS, first=day, last=day).to_pylist()
        everyone = ds.field("who") == EVERYONE
        before = shelf.pruned("drift", COLUMNS, everyone, first=day - timedelta(NIGHTS - 1)).to_pylist()
        grown = by_nature(config.model_specs, {row["name"] for row in rows})
        return view(rows, before, grown, bounds, _meanings(config.feature_declarations))

    return shelf.kept(("drift",), "drift", read, config=config.digest)


def _newest(shelf: Shelf) -> date | None:
    if not shelf.exists("drift"):
        return None
    days = [partition["drift_date"] for _, partition in shelf.files("drift")]
    return max(days, default=None)


def _meanings(declared: Mapping[str, Declaration]) -> Callable[[str], str]:
    return lambda name: declared[name].meaning if name in declared else ""


def view(
    rows: Sequence[Row],
    before: Sequence[Row],
    grown: Iterable[str],
    bounds: Mapping[str, float],
    meaning: Callable[[str], str] = lambda _: "",
) -> View:
    """Put the comparisons of a day on a page; `before` are everyone's of the nights up to it.

    grown : names of what moves by nature. bounds : the index from which something is watched, and alarms.
    """
    day = max(row["drift_date"] for row in rows)
    natural = set(grown)
    nights = _by_night(before)
    told = [_of_kind(kind, [row for row in rows if row["kind"] == kind], nights, natural, meaning)
            for kind in KINDS]  # fmt: skip
    counts = {level: _count(rows, level, natural) for level in (ALARM, WATCH)}
    facts = [
        ("day", str(day)),
        ("compared", f"{len({key_of(row) for row in rows}):,}"),
        ("alarm", f"{counts[ALARM]:,}"),
        ("watched", f"{counts[WATCH]:,}"),
    ]
    return View("drift", "Drift", _lead(counts, bounds), facts, told)


def _lead(counts: Mapping[str, int], bounds: Mapping[str, float]) -> str:
    if counts[ALARM]:
        said = "Something has moved far. If a feed broke, mend it; what moved for good is learned at the next"
        said += " closing, and an alarm since training lets closing_training look at the newest one again."
    elif counts[WATCH]:
        said = "Something begins to move; nothing must be done yet."
    else:
        said = "Nothing has moved beyond its bound."
    return (
        f"{said} Each day is set beside the day at the same point of the last sales period, and of those that"
        f" champions learned from. The index (PSI) is 0 where nothing moved; {bounds['watch']:g} is watched,"
        f" {bounds['alarm']:g} alarms, if it is no chance and went far enough."
    )


def _of_kind(
    kind: str,
    rows: Sequence[Row],
    nights: Mapping[Key, Sequence[float]],
    grown: set[str],
    meaning: Callable[[str], str],
) -> Section:
    title, note = KINDS[kind]
    furthest = strongest(rows)
    groups = sorted({row["who"] for row in rows} - {EVERYONE})
    moved = [key for key, by in furthest.items() if any(one["level"] != STEADY for one in by.values())]
    moved.sort(key=lambda key: (key[1] not in grown, _rank(furthest[key])), reverse=True)
    table: Rows = [
        [
            Cell(key[1], small=meaning(key[1])),
            Cell(AGAINST[key[2]], small=str(_first(furthest[key])["against_date"])),
            _level(furthest[key], key[1] in grown),
            _index(furthest[key].get(EVERYONE), nights.get(key, ()), f"{key[1]} against {key[2]}"),
            _distance(_first(furthest[key])["shift"]),
            *(_index(furthest[key].get(group)) for group in groups),
        ]
        for key in moved[:MOST_SHOWN]
    ]
    left_out = len(moved) - MOST_SHOWN
    more = f" {left_out:,} more have moved less." if left_out > 0 else ""
    steady = len(furthest) - len(moved)
    heads = ["what", "beside", "level", "everyone", "distance", *groups]
    about = (
        f"The strongest first, what grows by nature last; {steady:,} are steady and left out.{more} Figures"
        f" are the index; the line shows everyone's of up to {NIGHTS} nights. Distance is that of the means,"
        " in standard deviations of before, with what is missing."
    )
    none = f"all {steady:,} that were compared are steady." if steady else "nothing was compared."
    return Section(title, [Table(f"{title} that have moved", heads, table, 3, about, none)], note)


def _by_night(before: Iterable[Row]) -> dict[Key, list[float]]:
    """By quantity everyone's index of each night, in order."""
    found: dict[Key, dict[date, float]] = {}
    for row in before:
        own = found.setdefault(key_of(row), {})
        own[row["drift_date"]] = max(row["psi"], own.get(row["drift_date"], 0.0))
    return {key: [own[day] for day in sorted(own)] for key, own in found.items()}


def _level(by: Mapping[str, Row], is_grown: bool) -> Cell:
    """Name the level: everyone's, else that of segments alone."""
    everyone = by.get(EVERYONE)
    level = max((row["level"] for row in by.values()), key=RANK.__getitem__)
    if is_grown:
        return Cell("grows by nature", kind="quiet")
    if everyone is not None and everyone["level"] == level:
        return Cell(level, kind=CELLS[level])
    return Cell(f"{level}, in segments", kind=CELLS[level])


def _index(row: Row | None, nights: Sequence[float] = (), of: str = "") -> Cell:
    if row is None:
        return Cell("–")
    drawn = trend(nights, f"{of}: index of {len(nights)} nights")
    return Cell(f"{row['psi']:.2f}", kind=CELLS[row["level"]], svg=drawn)


def _distance(shift: float | None) -> str:
    return "–" if shift is None else distance(shift)


def _count(rows: Iterable[Row], level: str, grown: set[str]) -> int:
    everyone = [row for row in rows if row["who"] == EVERYONE and row["name"] not in grown]
    return sum(by[EVERYONE]["level"] == level for by in strongest(everyone).values())


def _rank(by: Mapping[str, Row]) -> tuple[int, float]:
    return max(strength(row) for row in by.values())


def _first(by: Mapping[str, Row]) -> Row:
    return by[EVERYONE] if EVERYONE in by else max(by.values(), key=strength)
