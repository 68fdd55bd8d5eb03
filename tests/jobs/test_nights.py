"""On which night all that may come of a serving has come: business days, summer time included."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.nights import end_of, known_on

ZONES = ("America/New_York", "Pacific/Auckland", "UTC")


def plain(at: datetime, zone: str, hours: int) -> date:
    """The local day of the last microsecond before the horizon's end."""
    ends = at + timedelta(hours=hours) - timedelta(microseconds=1)
    return ends.astimezone(ZoneInfo(zone)).date()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.integers(0, 250 * 24 * 3600).map(
            lambda s: datetime(2017, 3, 8, tzinfo=UTC) + timedelta(seconds=s)
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(ZONES),
    st.integers(1, 30),
)
def test_a_serving_is_known_on_the_first_night_that_ends_after_its_horizon(instants, zone, hours):
    found = known_on(np.array([at.replace(tzinfo=None) for at in instants], "datetime64[us]"), zone, hours)
    assert found.tolist() == [plain(at, zone, hours) for at in instants]


def test_a_horizon_that_ends_at_midnight_belongs_to_the_day_that_ends():
    midnight = end_of(date(2017, 11, 5), "America/New_York")  # the day on which summer time ends
    assert midnight == datetime(2017, 11, 6, 5, tzinfo=UTC)
    served = np.array([midnight.replace(tzinfo=None) - timedelta(hours=22)], "datetime64[us]")
    assert known_on(served, "America/New_York", 22).tolist() == [date(2017, 11, 5)]
    assert known_on(served + np.timedelta64(1, "us"), "America/New_York", 22).tolist() == [date(2017, 11, 6)]
    assert known_on(served[:0], "UTC", 22).tolist() == []
