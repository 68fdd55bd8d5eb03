"""Bots: the rule that a device's day breaks, by how much it did and how fast.

What was turned away does not count.
"""

import numpy as np
import numpy.typing as npt

from jobs.config import BotRules
from jobs.pieces import Ints

Flags = npt.NDArray[np.bool_]
MINUTE = 60 * 10**6  # microseconds
NAMES = ("agent", "events_per_day", "events_per_minute", "pages_per_minute", "pages_alone")


def rules_broken(
    owner: Ints, at: Ints, *, is_page: Flags, is_agent: Flags, owners: int, rules: BotRules
) -> Ints:
    """Return for each owner the first of NAMES that its day breaks, by number; -1 for none.

    Parameters
    ----------
    owner
        (n,): whose event it is, by number.
    at
        (n,): when it happened, in microseconds since 1970.
    is_page
        (n,): whether it is a page view.
    is_agent
        (n,): whether the user agent says that it is a bot.
    owners
        how many there are, numbered from 0.
    rules
        from how many on it is none.

    """
    events, pages = (np.bincount(owner[of], minlength=owners) for of in (slice(None), is_page))
    broken = (
        np.bincount(owner[is_agent], minlength=owners) > 0,
        events > rules.events_per_day,
        _most_in_minute(owner, at, owners) > rules.events_per_minute,
        _most_in_minute(owner[is_page], at[is_page], owners) > rules.pages_per_minute,
        (pages > rules.pages_alone) & (pages == events),
    )
    return np.select(broken, range(len(NAMES)), -1)


def _most_in_minute(owner: Ints, at: Ints, owners: int) -> Ints:
    """The most that each owner has in a minute."""
    most = np.zeros(owners, np.int64)
    if len(owner):
        minute = at // MINUTE
        first, span = minute.min(), int(np.ptp(minute)) + 1
        found, counts = np.unique(owner * span + (minute - first), return_counts=True)
        np.maximum.at(most, found // span, counts)
    return most
