"""When a business day is over, and on which night all that may come of a serving has come."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Days = NDArray[np.datetime64]


def end_of(day: date, zone: str) -> datetime:
    """Return the instant at which a business day is over, in UTC."""
    after = day + timedelta(1)
    return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))


def known_on(served_at: NDArray[np.datetime64], zone: str, hours: int) -> Days:
    """Return (n,) the first business day at whose end so many hours have passed since (n,) UTC times."""
    known_at = served_at.astype("datetime64[us]") + np.timedelta64(hours, "h")
    if not len(known_at):
        return np.empty(0, "datetime64[D]")
    # Days of UTC are at most a day away from those of any zone.
    first, last = (np.datetime64(edge, "D").astype(date) for edge in (known_at.min(), known_at.max()))
    days = [first + timedelta(number) for number in range(-1, (last - first).days + 2)]
    ends = np.array([end_of(day, zone).replace(tzinfo=None) for day in days], dtype="datetime64[us]")
    return np.array(days, dtype="datetime64[D]")[np.searchsorted(ends, known_at, side="left")]
