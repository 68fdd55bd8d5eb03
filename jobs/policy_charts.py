"""Charts of the policies' report: inline SVG in the page's colours, light and dark.

Plain numbers in, SVG out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

WIDTH = 560
NARROW = 350
ROW = 26


@dataclass(frozen=True)
class Estimate:
    """A row of a forest plot; ends are None where there is no interval."""

    label: str
    value: float
    lower: float | None
    upper: float | None
    is_live: bool = False


def forest(rows: Sequence[Estimate], *, served: float | None, title: str) -> str:
    """Draw values with their intervals under each other, and a dashed rule at what was served."""
    ends = [end for row in rows for end in (row.lower, row.upper, row.value) if end is not None]
    ends += [] if served is None else [served]
    low, high = padded(min(ends), max(ends))
    left, right, bottom = 210, 66, 26
    height = ROW * len(rows) + 10 + bottom

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * (value - low) / (high - low)

    parts = [_ticks_below(low, high, x, height - bottom)]
    if served is not None:
        parts.append(
            f'<line class="served" x1="{x(served):.1f}" x2="{x(served):.1f}" y1="4" y2="{height - bottom}"/>'
        )
    for place, row in enumerate(rows):
        y = 5 + ROW * place + ROW / 2
        kind = ' class="live"' if row.is_live else ""
        whisker = (
            ""
            if row.lower is None or row.upper is None
            else f'<line class="whisker" x1="{x(row.lower):.1f}" x2="{x(row.upper):.1f}" y1="{y}" y2="{y}"/>'
        )
        between = "" if row.lower is None else f", {row.lower:.3f} to {row.upper:.3f}"
        parts.append(
            f"<g{kind}><title>{escape(row.label)}: {row.value:.3f}{between}</title>"
            f'<text class="label" x="{left - 10}" y="{y + 4}" text-anchor="end">'
            f"{escape(row.label)}</text>{whisker}"
            f'<circle class="dot" cx="{x(row.value):.1f}" cy="{y}" r="5"/>'
            f'<text x="{WIDTH - right + 10}" y="{y + 4}">{row.value:.3f}</text></g>'
        )
    return svg(height, title, "".join(parts))


@dataclass(frozen=True)
class Strip:
    """A row of dots about 0: (value, whether it is fine, what it is), and their mean."""

    label: str
    dots: Sequence[tuple[float, bool, str]]
    mean: float


def strips(rows: Sequence[Strip], *, title: str) -> str:
    """Draw rows of dots under each other, a rule at 0, a bar at each mean; what is not fine is hollow."""
    ends = [0.0, *(value for row in rows for value, _, _ in row.dots)]
    low, high = padded(min(ends), max(ends))
    left, right, bottom = 210, 20, 26
    height = ROW * len(rows) + 10 + bottom

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * (value - low) / (high - low)

    parts = [
        _ticks_below(low, high, x, height - bottom),
        f'<line class="served" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{height - bottom}"/>',
    ]
    for place, row in enumerate(rows):
        y = 5 + ROW * place + ROW / 2
        dots = "".join(
            f'<circle class="{"night" if is_fine else "night missed"}" cx="{x(value):.1f}" cy="{y}" r="4">'
            f"<title>{escape(about)}: {value:+.3f}</title></circle>"
            for value, is_fine, about in row.dots
        )
        parts.append(
            f'<g><text class="label" x="{left - 10}" y="{y + 4}" text-anchor="end">{escape(row.label)}</text>'
            f'{dots}<line class="mean" x1="{x(row.mean):.1f}" x2="{x(row.mean):.1f}" y1="{y - 9}"'
            f' y2="{y + 9}"/></g>'
        )
    return svg(height, title, "".join(parts))


def histogram(shares: Sequence[tuple[str, float]], *, title: str) -> str:
    """Draw bars: a label and a share each."""
    left, right, height = 92, 60, ROW * len(shares) + 6
    most = max((share for _, share in shares), default=1.0) or 1.0
    parts = []
    for place, (label, share) in enumerate(shares):
        y = 3 + ROW * place
        width = (NARROW - left - right) * share / most
        parts.append(
            f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{escape(label)}</text>'
            f'<rect class="bar" x="{left}" y="{y + 4}" width="{width:.1f}" height="{ROW - 9}" rx="3"/>'
            f'<text x="{left + width + 7:.1f}" y="{y + 17}">{share:.1%}</text>'
        )
    return svg(height, title, "".join(parts), width=NARROW)


def curves(lines: Mapping[str, Mapping[date, float]], *, title: str) -> str:
    """Draw a line a series over days, in the order of the series' names; a legend stands above."""
    days = sorted({day for values in lines.values() for day in values})
    values = [value for series in lines.values() for value in series.values()]
    if len(days) < 2 or not values:
        return '<p class="note">One day has no curve yet.</p>'
    low, high = padded(min(values), max(values))
    left, right, top, bottom, height = 44, 12, 8, 26, 230

    def x(day: date) -> float:
        return left + (WIDTH - left - right) * (day - days[0]).days / (days[-1] - days[0]).days

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - value) / (high - low)

    parts = [
        f'<line class="axis" x1="{left}" x2="{WIDTH - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{left - 7}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>'
        for tick in ticks(low, high)
    ]
    step = max(1, math.ceil(len(days) / 5))
    parts += [
        f'<text x="{x(day):.1f}" y="{height - 6}" text-anchor="middle">{day.day} {day:%b}</text>'
        for day in days[::step]
    ]
    for number, (name, series) in enumerate(sorted(lines.items())):
        points = " ".join(f"{x(day):.1f},{y(series[day]):.1f}" for day in sorted(series))
        parts.append(
            f'<polyline class="line s{number % 8}" points="{points}"><title>{escape(name)}</title></polyline>'
        )
    legend = "".join(
        f'<li><i class="s{number % 8}"></i>{escape(name)}</li>' for number, name in enumerate(sorted(lines))
    )
    return f'<ul class="legend">{legend}</ul>{svg(height, title, "".join(parts))}'


def heat(text: str, strength: float, *, is_bad: bool = False) -> str:
    """A table cell, coloured by a strength of 0 to 1; bad ones loudly, however small."""
    colour = f"var(--high)/{60 * min(max(strength, 0.0), 1.0):.0f}%" if not is_bad else "var(--bad)/55%"
    return f'<td style="background:rgb({colour})">{escape(text)}</td>'


def svg(height: float, title: str, content: str, width: int = WIDTH) -> str:
    """Return a drawing of these parts."""
    return f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(title)}">{content}</svg>'


def padded(low: float, high: float) -> tuple[float, float]:
    """Return the ends of an axis that holds these values."""
    room = 0.06 * (high - low) or 0.1
    return low - room, high + room


def ticks(low: float, high: float) -> list[float]:
    """Return some four round numbers between the ends of an axis."""
    raw = (high - low) / 4
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    first = math.ceil(low / step)
    return [round(step * number, 10) for number in range(first, math.floor(high / step) + 1)]


def _ticks_below(low: float, high: float, x, bottom: float) -> str:  # type: ignore[no-untyped-def]
    return "".join(
        f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{bottom}"/>'
        f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks(low, high)
    )
