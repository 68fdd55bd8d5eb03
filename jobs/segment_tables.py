"""Tables of the segmentation's report: what sets segments apart, what they use, who they are, where from.

Rows of segmentations and segment_profiles in, HTML out; a column for each segment.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jobs.segment_charts import heat

Row = Mapping[str, Any]

SHOWN_WIDGETS = 8


def table(heads: Sequence[str], rows: str) -> str:
    """Return a table with a heading."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def card(content: str) -> str:
    """Put content on a card that scrolls sideways when it must."""
    return f'<div class="card wide">{content}</div>'


def differences(model: Row, profiles: Sequence[Row], meanings: Mapping[str, str]) -> str:
    """Return rows by feature: each segment's mean, and its deviations from the mean of all."""
    width = len(model["features"])
    return "".join(
        f"<tr><th>{escape(meanings.get(name, name))}</th>"
        + "".join(
            heat(
                f"{model['means'][row['segment'] * width + j]:.3g}",
                deviation := model["centroids"][row["segment"] * width + j],
                aside=f"{deviation:+.1f}",
            )
            for row in profiles
        )
        + "</tr>"
        for j, name in enumerate(model["features"])
    )


def use(profiles: Sequence[Row]) -> str:
    """Return rows by page and widget: the share of seen positions that earned a reward."""
    seen = [_by_page(row["widgets_seen"]) for row in profiles]
    clicked = [_by_page(row["widgets_clicked"]) for row in profiles]
    total = {name: sum(counts.get(name, 0) for counts in clicked) for counts in seen for name in counts}
    pages = sorted(name for name in total if "/" not in name)
    widgets = sorted((name for name in total if "/" in name), key=lambda name: (-total[name], name))
    rows = []
    for name in [*pages, *widgets[:SHOWN_WIDGETS]]:
        rates = [
            own.get(name, 0) / of[name] if of.get(name) else None
            for own, of in zip(clicked, seen, strict=True)
        ]
        mean = total[name] / max(sum(of.get(name, 0) for of in seen), 1)
        cells = "".join(
            "<td>–</td>" if rate is None else heat(f"{rate:.0%}", (rate - mean) / max(mean, 0.01) * 3,
                                                   aside=f"of {of[name]:,}")
            for rate, of in zip(rates, seen, strict=True)
        )  # fmt: skip
        label = f"all of {name}" if "/" not in name else name
        rows.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    return "".join(rows)


def _by_page(counts: Mapping[str, int] | Sequence[tuple[str, int]] | None) -> dict[str, int]:
    """Add each page's sum to counts by page/widget."""
    found = dict(counts or {})
    for name, count in list(found.items()):
        page = name.partition("/")[0]
        found[page] = found.get(page, 0) + count
    return found


def roles(profiles: Sequence[Row]) -> str:
    """Return rows by role: its share of each segment."""
    counts = [dict(row["roles"] or {}) for row in profiles]
    return _shares(counts, [row["subjects"] for row in profiles])


def migration(profiles: Sequence[Row]) -> str:
    """Return rows by earlier segment: its share of each segment."""
    counts = [dict(row["migration"] or {}) for row in profiles]
    return _shares(counts, [row["subjects"] for row in profiles])


def _shares(counts: Sequence[Mapping[str, int]], subjects: Sequence[int]) -> str:
    names = sorted({name for own in counts for name in own})
    whole = sum(subjects)
    rows = []
    for name in names:
        mean = sum(own.get(name, 0) for own in counts) / whole
        cells = "".join(
            heat(
                f"{own.get(name, 0) / of:.0%}",
                (own.get(name, 0) / of - mean) * 3,
                aside=f"{own.get(name, 0):,}",
            )
            for own, of in zip(counts, subjects, strict=True)
        )
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return "".join(rows)
