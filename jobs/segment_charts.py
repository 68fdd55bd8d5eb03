"""Charts of the segmentation's report: inline SVG and table cells in the page's colours, light and dark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 10, 26
FULL = 1.5
"""Standard deviations at which a cell has its full colour."""


@dataclass(frozen=True)
class Line:
    """A line over k: its CSS class, and a value by k."""

    kind: str
    values: Mapping[int, float]


def lines_over_k(lines: Sequence[Line], *, best: int | None, asked: float, top: float, title: str) -> str:
    """Draw lines over k, from 0 to `top`, with a mark at the suggested k and a rule at what is asked."""

    def up(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(max(value / top, 0.0), 1.0))

    ks = sorted(lines[0].values)
    step = (WIDTH - LEFT - RIGHT) / max(len(ks) - 1, 1)
    x = {k: LEFT + step * place for place, k in enumerate(ks)}
    marks = "".join(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(level):.1f}" y2="{up(level):.1f}"/>'
        f'<text x="{LEFT - 7}" y="{up(level) + 4:.1f}" text-anchor="end">{level:.2g}</text>'
        for level in (0, top / 4, top / 2, 3 * top / 4, top)
    )
    marks += "".join(
        f'<text x="{place:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{k}</text>' for k, place in x.items()
    )
    rule = f'<line class="asked" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(asked):.1f}" y2="{up(asked):.1f}"/>'
    drawn = "".join(
        f'<polyline class="{line.kind}" points="'
        + " ".join(f"{x[k]:.1f},{up(line.values[k]):.1f}" for k in ks)
        + '"/>'
        for line in lines
    )
    points = "".join(
        f'<circle class="{"best" if k == best else ""}" cx="{x[k]:.1f}" cy="{up(value):.1f}"'
        f' r="{6 if k == best else 4}"><title>k = {k}: {value:.3f}</title></circle>'
        for k, value in lines[0].values.items()
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{marks}{rule}{drawn}{points}</svg>"
    )


def heat(text: str, deviations: float, *, aside: str = "") -> str:
    """A table cell, coloured by how many standard deviations it lies above or below the mean of all."""
    strength = min(abs(deviations) / FULL, 1.0)
    colour = "high" if deviations > 0 else "low"
    small = f"<small>{escape(aside)}</small>" if aside else ""
    return f'<td style="background:rgb(var(--{colour})/{45 * strength:.0f}%)">{escape(text)}{small}</td>'


def bar(name: str, share: float | None) -> str:
    """A bar with its name and share, for a grid of three columns."""
    value = share or 0.0
    return f'<span>{escape(name)}</span><i style="--to:{100 * value:.1f}%"></i><b>{value:.0%}</b>'
