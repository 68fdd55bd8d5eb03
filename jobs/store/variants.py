"""Variants of a page's layouts: one for each kind of device and part of the day that the page asks for.

A variant is named by its parts, as `phone.evening`. The first, made of the first of each, is the page's main
one: it has the page's own keys, so that who asks for no variant reads it. Any other is kept like a page of
its own, `PAGE@VARIANT`. The key `page:PAGE` tells a front end what there is:

    {"variants": {"device": ["desktop", "phone"], "daypart": [["day", 6], ["evening", 18]], "zone": ZONE}}
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

AT, BETWEEN = "@", "."


def page_of(page: str, variant: str) -> str:
    """Return the name under which a page's variant is kept; of the main one, '' here, the page's own."""
    return f"{page}{AT}{variant}" if variant else page


def choose(asked: Mapping[str, Any], device: str, at: datetime) -> str:
    """Return the variant for a kind of device and an instant, an aware datetime.

    A device that is none of those asked for counts as the first. A part of the day lasts from its hour to
    the next one's, and the last one past midnight.
    """
    parts = []
    for name in asked:
        if name == "device":
            kinds = asked["device"]
            parts.append(device if device in kinds else kinds[0])
        elif name == "daypart":
            hour = at.astimezone(ZoneInfo(asked["zone"])).hour
            begun = [part for part, begins in asked["daypart"] if begins <= hour]
            parts.append(begun[-1] if begun else asked["daypart"][-1][0])
    return BETWEEN.join(parts)
