"""Rows of segment_profiles out of sums: plain counters in, names and rows out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.segmentations import table_of
from ml import segments as ml

NEW = "new"
NO_ROLE = "none"
OF_DAY = {"orders": "orders", "lines": "lines", "revenue_cents": "sales_cents"}
OF_SESSION = {
    "session_orders": "orders",
    "page_views": "pages",
    "product_views": "product_views",
    "basket_adds": "basket_adds",
}
SUMS = (*OF_DAY, "visits", "bought_before", "stayed", "sessions", *OF_SESSION)


class Counts(dict[tuple[int, int], Counter[str]]):
    """Counters by model and segment."""

    def __missing__(self, key: tuple[int, int]) -> Counter[str]:
        return self.setdefault(key, Counter())


def named(
    model: Mapping[str, Any], moved: Sequence[Counter[str]], words: Mapping[str, tuple[str, str]]
) -> tuple[list[str], list[str | None]]:
    """Name segments: as the earlier segment that they continue, else by what sets them apart."""
    earlier = sorted({name for counts in moved for name in counts if name != NEW})
    overlap = np.array([[counts[name] for name in earlier] for counts in moved], dtype=np.int64)
    continues = {
        row: earlier[column] for row, column in ml.match(overlap.reshape(len(moved), len(earlier))).items()
    }
    told = [words.get(name, (f"low {name}", f"high {name}")) for name in model["features"]]
    names: list[str] = []
    for segment, own in enumerate(ml.name_in_words(table_of(model, "centroids"), told)):
        taken = {*names, *(name for other, name in continues.items() if other != segment)}
        name, number = continues.get(segment, own), 2
        while name in taken:
            name, number = f"{own} ({number})", number + 1
        names.append(name)
    return names, [continues.get(segment) for segment in range(model["k"])]


def profile(model: Mapping[str, Any], segment: int, sums: Counts, number: int, **more: Any) -> dict[str, Any]:
    """Return the row of a segment of a model, whose number among those of the request is `number`."""
    own = sums[number, segment]
    whole = [sums[number, other] for other in range(model["k"])]
    revenue = sum(counts["revenue_cents"] for counts in whole)
    about = {name: model[name] for name in ("segmentation_version", "segmentation", "request", "as_of_date")}
    maps = {name: sorted(value.items()) for name, value in more.items() if isinstance(value, Counter)}
    return {
        **about,
        "segment": segment,
        **{name: own[name] for name in ("subjects", *SUMS)},
        "share": own["subjects"] / sum(counts["subjects"] for counts in whole),
        "revenue_share": own["revenue_cents"] / revenue if revenue else None,
        "basket_cents": own["revenue_cents"] / own["orders"] if own["orders"] else None,
        "basket_lines": own["lines"] / own["orders"] if own["orders"] else None,
        "retention": own["stayed"] / own["bought_before"] if own["bought_before"] else None,
        **more,
        **{name: dict(value) for name, value in maps.items()},
    }
