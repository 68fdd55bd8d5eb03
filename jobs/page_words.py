"""Words for widgets and categories, as people read them."""

import re
from collections.abc import Sequence

MOST_NAMED = 3
TITLES = {"bestsellers": "Best sellers", "trending": "Trending this week"}

# Words that the catalogue cuts short, spelled out where people read them.
SPELLED = {
    "BKD": "baked",
    "BN": "beans",
    "BRKFST": "breakfast",
    "BTR": "butter",
    "CONVENIENT": "convenience",
    "DRNKS": "drinks",
    "DRSNG": "dressing",
    "DSH": "dishes",
    "FD": "food",
    "FLVRD": "flavoured",
    "FRZN": "frozen",
    "MISC": "other",
    "MXS": "mixes",
    "PNT": "peanut",
    "REFRGRATD": "refrigerated",
    "SALD": "salad",
    "SHERBTS": "sherbets",
    "SNDWCH": "sandwich",
    "SPRD": "spread",
    "VEG": "vegetables",
    "WHLSM": "wholesome",
}


def title_of_widget(widget: str) -> str:
    """Return the title of a widget of which no more than the name is known."""
    named = {"category1": "Strongest category", "category2": "Second category", **TITLES}
    return named.get(widget) or spelled(widget.rpartition(":")[2].replace("-", " "))


def spelled(name: str) -> str:
    """Return a catalogue's name in words: PNT BTR/JELLY/JAMS → Peanut butter, jelly & jams."""
    words = [SPELLED.get(word, word.lower()) for word in re.findall(r"[A-Z0-9&']+|[^A-Z0-9&']", name.upper())]
    parts = [part.strip() for part in re.split(r"[/:]|&| - ", "".join(words)) if part.strip()]
    joined = f"{', '.join(parts[:-1])} & {parts[-1]}" if len(parts) > 1 else "".join(parts)
    return joined[:1].upper() + joined[1:]


def named(names: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
