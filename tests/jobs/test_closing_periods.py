"""Closings as of a day: what is known of them, their neighbours, and which have just ended."""

from datetime import date, timedelta
from typing import Any

import pytest

from jobs.closing_periods import cuts, ended, periods

MONDAY = date(2017, 10, 9)


def day(number: int) -> date:
    return MONDAY + timedelta(number)


def row(name: str, first: int, last: int, changed: int = -90, *, is_deleted: bool = False) -> dict[str, Any]:
    return {
        "closing_id": name,
        "changed_date": day(changed),
        "first_date": day(first),
        "last_date": day(last),
        "is_deleted": is_deleted,
    }


WEEKS = [row("a", -28, -22), row("b", -21, -15), row("c", -14, -8), row("d", -7, -1)]


def test_a_cut_knows_the_periods_before_it_and_the_next_one():
    found = {cut.period.closing_id: cut for cut in cuts(periods(WEEKS), 3)}
    assert list(found) == ["c", "d"]
    assert found["c"].spans == ((day(-14), day(-8)), (day(-21), day(-15)), (day(-28), day(-22)))
    assert (found["c"].labels, found["d"].labels) == ((day(-7), day(-1)), None)
    assert [found["c"].is_labelled(day(number)) for number in (-2, -1)] == [False, True]


def test_a_moved_closing_counts_as_it_was_told_last_and_one_called_off_is_none():
    told = [*WEEKS, row("c", -14, -5, changed=-6), row("d", -7, 3, changed=-6)]
    [moved, _] = [cut for cut in cuts(periods(told), 3) if cut.period.closing_id in "cd"]
    # The next one was not told to begin later: its days after the moved end are what is left of it.
    assert (moved.spans[0], moved.labels) == ((day(-14), day(-5)), (day(-4), day(3)))
    gone = [*WEEKS, row("b", -21, -15, changed=-6, is_deleted=True)]
    assert [one.closing_id for one in periods(gone)] == ["a", "c", "d"]
    assert [one.closing_id for one in periods(gone, before=day(-6))] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("more", "start", "end", "since", "names"),
    [
        pytest.param([], -8, -7, None, ["c"], id="the night of its last day"),
        pytest.param([], -9, -8, None, [], id="the night before"),
        pytest.param([], -7, -6, None, [], id="the night after"),
        pytest.param([], -90, 0, None, ["a", "b", "c", "d"], id="the whole history at once"),
        pytest.param([], -90, 0, day(-8), ["c", "d"], id="the history, since a day"),
        pytest.param([row("c2", -14, -8)], -8, -7, None, ["c", "c2"], id="two in one night"),
        pytest.param([row("c", -14, -6, changed=-8)], -8, -7, None, [], id="moved on its last day"),
        pytest.param([row("c", -14, -6, changed=-8)], -6, -5, None, ["c"], id="its new last day"),
        pytest.param([row("c", -14, -9, changed=-6)], -6, -5, None, ["c"], id="moved back, too late"),
        pytest.param([row("c", -14, -8, changed=-8, is_deleted=True)], -8, -7, None, [], id="called off"),
        pytest.param([row("c", -14, -6, changed=-5)], -8, -7, None, ["c"], id="moved only later"),
    ],
)
def test_a_closing_ends_on_the_night_of_its_last_day_as_known_then(more, start, end, since, names):
    found = ended([*WEEKS, *more], day(start), day(end), since)
    assert [one.closing_id for one in found] == names
