"""Small charts of the pages: inline SVG in the page's colours, with what they show in words.

Plain numbers in, SVG out.
"""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT, EDGE = 120, 26, 3


def trend(values: Sequence[float], title: str) -> Markup:
    """Draw values after one another from 0 up, the last with a dot; nothing for fewer than two."""
    if len(values) < 2:
        return Markup()
    top = max(values) or 1.0
    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    points = [
        (EDGE + step * place, HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * value / top)
        for place, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return Markup(
        '<svg class="trend" viewBox="0 0 {} {}" role="img" aria-label="{}"><polyline points="{}"/>'
        '<circle cx="{}" cy="{}" r="2.6"/></svg>'
    ).format(WIDTH, HEIGHT, title, line, f"{x:.1f}", f"{y:.1f}")


def share(part: float, title: str) -> Markup:
    """Draw a share of a whole, 0 to 1, as a bar."""
    return Markup('<span class="share" role="img" aria-label="{}"><i style="width:{}%"></i></span>').format(
        title, f"{100 * min(max(part, 0.0), 1.0):.1f}"
    )
