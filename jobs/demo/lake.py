"""The demo's lake: what an interval of replayed days leaves in it, with the truth beside it.

Reads   the wheel under {home}/source
Writes  {home}/lake (the forms that the jobs read), {home}/truth (which no job may read)
A second call changes nothing: a day that this recipe wrote is left as it is.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobs.demo import files, replay, served, source, truth
from jobs.demo.writer import DayWriter, is_written

SLICE = range(229, 285)
FULL = range(replay.FIRST_REPLAY_DAY, source.DAYS)
REPLAY_NUMBER = 0
RECIPE_MODULES = (
    "source",
    "history",
    "replay",
    "served",
    "world",
    "spans",
    "telemetry",
    "files",
    "writer",
    "truth",
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LakeReport:
    """What a call found and did."""

    days: int
    written: int
    visits_written: int

    @property
    def sentence(self) -> str:
        """The report in words."""
        if not self.written:
            return f"The lake's {self.days} days were there already: nothing changed."
        visits = f"{self.visits_written:,} visits as sessions"
        return f"{self.written} of the lake's {self.days} days written, with {visits}."


def recipe() -> str:
    """The recipe's stamp: it changes with the data and with any module that shapes the lake."""
    digest = hashlib.sha256(source.WHEEL_SHA256.encode())
    for name in RECIPE_MODULES:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def demo_lake(home: Path, full: bool = False, progress: Progress | None = None) -> LakeReport:
    """Write the demo's lake for its 8-week slice, or with `full` for the whole replay.

    progress: called with days done and days to do.
    """
    return write_days(home, FULL if full else SLICE, progress)


def write_days(home: Path, days: range, progress: Progress | None = None) -> LakeReport:
    """Write sessions of `days`, and orders of those and of all days before them."""
    stamp, orders = recipe(), range(days.stop)
    todo = [day for day in orders if not is_written(home, day, stamp, day in days)]
    if not todo:
        return LakeReport(len(orders), 0, 0)
    data = source.load(home / "source" / source.WHEEL)
    baskets = source.clean(data)
    writer = DayWriter(home, data, baskets, stamp)
    replayed = [day for day in todo if day in days]
    if todo[0] == 0:
        writer.entities()
    shown = replay.replay(baskets, range(replayed[0], replayed[-1] + 1), REPLAY_NUMBER) if replayed else None
    if shown is not None:
        for page in truth.PAGES:
            truth.write(home, truth.of_replay(shown, page))
    visits = 0
    for done, day in enumerate(todo):
        if progress is not None:
            progress(done, len(todo))
        writer.orders(day)
        made = None
        if shown is not None and day in days:
            pages = served.servings(shown, baskets, day)
            made = writer.sessions(day, pages)
            visits += len(pages)
        writer.stamp(day, made)
    files.deliver_late(home, days)
    truth.write_planted(home)
    if progress is not None:
        progress(len(todo), len(todo))
    return LakeReport(len(orders), len(todo), visits)
