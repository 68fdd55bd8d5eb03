"""Charts of the models' report: reliability and gains, as inline SVG in the page's colours."""

from collections.abc import Callable, Sequence
from html import escape

SIZE, EDGE = 300, 34

Point = tuple[float, float]


def reliability(points: Sequence[Point], *, title: str) -> str:
    """Draw mean prediction against mean outcome by bin, and the diagonal on which both are the same."""
    top = min(1.0, 1.1 * max((value for point in points for value in point), default=1.0) or 1.0)
    x, y = _scales(top)
    dots = "".join(
        f'<circle class="dot" cx="{x(p):.1f}" cy="{y(o):.1f}" r="4.5"><title>predicted {p:.3f}, came {o:.3f}'
        "</title></circle>"
        for p, o in points
    )
    line = " ".join(f"{x(p):.1f},{y(o):.1f}" for p, o in points)
    return _frame(
        f'<line class="asked" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(top):.1f}" y2="{y(top):.1f}"/>'
        f'<polyline class="ours" points="{line}"/>{dots}',
        [top * step / 4 for step in range(5)], x, y, title, ("predicted", "came"),
    )  # fmt: skip


def gains(shares: Sequence[float], *, title: str) -> str:
    """Draw the share of all yes that the first tenths of the ranking hold, and the diagonal of no ranking."""
    x, y = _scales(1.0)
    points = [(0.0, 0.0), *((number / len(shares), share) for number, share in enumerate(shares, 1))]
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    dots = "".join(
        f'<circle class="dot" cx="{x(a):.1f}" cy="{y(b):.1f}" r="4"><title>{a:.0%} of subjects hold {b:.0%}'
        "</title></circle>"
        for a, b in points[1:]
    )
    return _frame(
        f'<line class="asked" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>'
        f'<polyline class="ours" points="{line}"/>{dots}',
        [0, 0.25, 0.5, 0.75, 1], x, y, title, ("share of examples", "share of all yes"),
    )  # fmt: skip


def _scales(top: float) -> tuple[Callable[[float], float], Callable[[float], float]]:
    wide = SIZE - EDGE - 12
    return (lambda value: EDGE + wide * value / top), (lambda value: SIZE - EDGE - wide * value / top)


def _frame(
    content: str,
    ticks: Sequence[float],
    x: Callable[[float], float],
    y: Callable[[float], float],
    title: str,
    axes: tuple[str, str],
) -> str:
    lines = "".join(
        f'<line class="axis" x1="{x(0):.1f}" x2="{x(ticks[-1]):.1f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{EDGE - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.2g}</text>'
        f'<text x="{x(tick):.1f}" y="{SIZE - EDGE + 16}" text-anchor="middle">{tick:.2g}</text>'
        for tick in ticks
    )
    names = (
        f'<text x="{(EDGE + SIZE) / 2}" y="{SIZE - 2}" text-anchor="middle">{axes[0]}</text>'
        f'<text x="{EDGE + 6}" y="{y(ticks[-1]) + 12:.1f}">{axes[1]}</text>'
    )
    label = f'class="square" viewBox="0 0 {SIZE} {SIZE}" role="img" aria-label="{escape(title)}"'
    return f"<svg {label}>{lines}{content}{names}</svg>"
