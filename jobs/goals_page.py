"""A preview of goals, for store operations: as text, and as one HTML page.

Plain values in, text and HTML out; nothing is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from jobs.goals_preview import Change, Example, Point, Preview
from jobs.page_specs import REWARD, Goals
from jobs.page_words import title_of_widget
from jobs.policy_charts import WIDTH, padded, svg, ticks
from ml.ope.intervals import Interval

STYLES = [Path(__file__).with_name(f"{name}.css") for name in ("segment_page", "policy_page", "goals_page")]
ABOUT = {
    "reward": "reward a visit",
    "click": "clicks a visit",
    "quality": "clicks a visit that ended in the basket",
    "revenue": "cents bought a visit",
    "freshness": "freshness of the widgets (0 to 1)",
    "diversity": "share of labels that two widgets do not share",
}
HOW_TO_READ = (
    "Reward, clicks and revenue are estimated from what was logged: what came of each widget, weighed by how"
    " much more often the other weights would have shown it (off-policy evaluation). Freshness and diversity"
    " are of pages drawn anew for every logged visit, by either weights. A change is surely more or less"
    " where its 95 % interval, by subject, leaves 0 out; of twenty such intervals one errs."
    " A gain in the log is no promise of sales: how people act may change with what they see."
)


def lines(found: Preview) -> Iterator[str]:
    """Tell a preview in words."""
    log = found.log
    yield (
        f"Page {log.page.page}, policy {log.spec}: {found.servings:,} visits of {found.subjects:,} subjects,"
        f" {log.first} to {log.last}."
    )
    yield f"Weights of now: {weights_of(found.now.weights)}. Tried: {weights_of(found.goals.weights)}."
    yield ""
    yield f"{'a visit':<44}{'now':>10}{'then':>10}{'change':>10}   95 % interval"
    for change in found.changes:
        yield (
            f"{ABOUT[change.goal]:<44}{number(change.now):>10}{number(change.then):>10}"
            f"{percent(change):>10}   {interval(change)}: {verdict(change)}"
        )
    yield ""
    names = list(found.points[0].changes)
    yield (
        f"Other weights, {sampled(found)}: change of each goal; * loses to no others in"
        f" all of {', '.join(names)}. Half the width of each 95 % interval stands behind ±."
    )
    yield f"  {'weights':<42}" + "".join(f"{name:>22}" for name in names)
    for point in found.points:
        told = "".join(f"{about(each):>22}" for each in point.changes.values())
        yield f"{'*' if point.is_best else ' '} {weights_of(point.weights):<42}{told}"
    yield ""
    yield "Example pages, before and after:"
    for example in found.examples:
        yield f"  {example.role or 'subject'} {example.subject[-8:]}"
        yield f"    before  {', '.join(map(title_of_widget, example.before))}"
        yield f"    after   {', '.join(told_after(example))}"
    yield ""
    yield f"To have them, write into conf/pages/{log.page.page}.yaml:"
    yield from yaml_of(found.goals)


def sampled(found: Preview) -> str:
    """Say over which visits weights of the grid are compared, and which table to trust for those asked."""
    if found.of_grid == found.servings:
        return f"over all {found.servings:,} visits, as above"
    return (
        f"over a sample, {found.of_grid:,} visits of whole subjects (for the weights asked, the last row, the"
        f" table above is surer: it counts all {found.servings:,})"
    )


def yaml_of(goals: Goals) -> Iterator[str]:
    """Return the lines of a page's file."""
    for name, values in (("weights", goals.weights), ("differences", goals.differences)):
        if name == "weights":
            yield "goals:"
        yield f"  {name}: {{{', '.join(f'{goal}: {value:g}' for goal, value in values.items())}}}"


def told_after(example: Example) -> Iterator[str]:
    """Name an example's widgets after: + who is new, the places up or down of who moved."""
    for place, widget in enumerate(example.after):
        name = title_of_widget(widget)
        moved = example.before.index(widget) - place if widget in example.before else None
        if moved is None:
            yield f"+ {name}"
        else:
            yield f"{name}{f' ({moved:+d})' if moved else ''}"


def weights_of(weights: Mapping[str, float]) -> str:
    """Return weights as they are typed."""
    return ",".join(f"{name}={weight:g}" for name, weight in weights.items())


def number(value: float, *, sign: bool = False) -> str:
    """Return a number in three digits."""
    if abs(value) < 5e-6:
        return "0"
    return (
        f"{value:{'+' if sign else ''}{'.1f' if abs(value) >= 100 else '.4g' if abs(value) < 0.1 else '.3f'}}"
    )


def percent(change: Change) -> str:
    """Return a change as a share of now."""
    return f"{100 * change.difference.value / change.now:+.1f} %" if change.now else ""


def interval(change: Change) -> str:
    """Return a change's interval, in units of its goal."""
    return f"{number(change.difference.lower, sign=True)} to {number(change.difference.upper, sign=True)}"


def about(change: Interval) -> str:
    """Return a change with half the width of its interval."""
    if change.lower == change.upper:
        return number(change.value, sign=True)
    return f"{number(change.value, sign=True)} ± {number((change.upper - change.lower) / 2)}"


def verdict(change: Change) -> str:
    """Say whether a change is more than chance."""
    if change.difference.lower > 0:
        return "surely more"
    if change.difference.upper < 0:
        return "surely less"
    return "cannot tell" if change.difference.lower < change.difference.upper else "the same"


def render(found: Preview, note: str) -> str:
    """Return the report; `note` is what must be known of the data."""
    log = found.log
    title = f"Goals of page {escape(log.page.page)}"
    style = "".join(file.read_text(encoding="utf-8") for file in STYLES)
    facts = [
        f"<b>{found.servings:,}</b> visits of <b>{found.subjects:,}</b> subjects",
        f"{log.first} to {log.last}",
        f"policy <b>{escape(log.spec)}</b>",
        f"now <b>{weights_of(found.now.weights)}</b>",
        f"tried <b>{weights_of(found.goals.weights)}</b>",
    ]
    yaml = escape("\n".join(yaml_of(found.goals)))
    lines_to_copy = f"<p>In conf/pages/{escape(log.page.page)}.yaml:</p><pre><code>{yaml}</code></pre>"
    pairs = f'<div class="pairs">{_examples(found)}</div>'
    about = f"<p><strong>The data</strong>: {escape(note)}</p>" if note else ""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title} · Vitrine</title><style>{style}</style></head><body>",
            f'<header><p class="brand">Vitrine</p><h1>{title}</h1>',
            f'<ul class="facts">{"".join(f"<li>{fact}</li>" for fact in facts)}</ul></header><main>',
            f"<section><h2>What these weights gain and lose</h2>{_changes(found.changes)}</section>",
            f"<section><h2>Other weights</h2>{_front(found)}</section>",
            f"<section><h2>Ten pages, before and after</h2>{pairs}</section>",
            f"<section><h2>To have them</h2>{lines_to_copy}</section></main>",
            f"<footer><p><strong>How to read it</strong>: {HOW_TO_READ}</p>{about}</footer></body></html>\n",
        ]
    )


def _changes(changes: Sequence[Change]) -> str:
    rows = "".join(
        f'<tr class="{verdict(change).replace(" ", "-")}"><th scope="row">{change.goal}'
        f"<small>{ABOUT[change.goal]}</small></th><td>{number(change.now)}</td><td>{number(change.then)}</td><td>{percent(change)}</td>"
        f"<td>{interval(change)}</td><td><span class='answer'>{verdict(change)}</span></td></tr>"
        for change in changes
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("goal, a visit", "now", "then", "change", "95 % interval", "")
    )
    return f'<div class="card wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _front(found: Preview) -> str:
    names, over = list(found.points[0].changes), sampled(found)
    plots = "".join(
        f"<figure class='card'><figcaption><b>{name}</b> against {REWARD}: change a visit</figcaption>"
        f"{_scatter(found.points, REWARD, name)}</figure>"
        for name in names
        if name != REWARD
    )
    rows = "".join(
        f'<tr class="{"best" if point.is_best else "beaten"}"><th scope="row">{number_of}. '
        f"{weights_of(point.weights)}</th>"
        + "".join(f"<td>{about(each)}</td>" for each in point.changes.values())
        + f"<td>{'on the front' if point.is_best else ''}</td></tr>"
        for number_of, point in enumerate(found.points, 1)
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("weights", *names, ""))
    return (
        f'<p class="note">{over[0].upper()}{over[1:]}. Filled: on the Pareto front, no other weights'
        f" tried are better in all of {', '.join(names)}; hollow: beaten. The last is what was asked."
        f" Half the width of each 95 % interval stands behind ±.</p>"
        f'<div class="charts">{plots}</div><div class="card wide below"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _scatter(points: Sequence[Point], across: str, up: str) -> str:
    xs, ys = ([point.changes[name].value for point in points] for name in (across, up))
    (x_low, x_high), (y_low, y_high) = padded(min(xs), max(xs)), padded(min(ys), max(ys))
    left, right, top, bottom, height = 62, 24, 10, 30, 270

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * (value - x_low) / (x_high - x_low)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (y_high - value) / (y_high - y_low)

    parts = [
        f'<line class="axis" x1="{left}" x2="{WIDTH - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text x="{left - 7}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in ticks(y_low, y_high)
    ]
    parts += [
        f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{tick:g}</text>'
        for tick in ticks(x_low, x_high)
    ]
    for place, point in enumerate(points, 1):
        kind = "asked" if place == len(points) else "best" if point.is_best else "beaten"
        at_x, at_y = x(point.changes[across].value), y(point.changes[up].value)
        told = f"{weights_of(point.weights)}: {across} {about(point.changes[across])},"
        told += f" {up} {about(point.changes[up])}"
        parts.append(
            f'<g class="point {kind}"><title>{escape(told)}</title>'
            f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="6"/>'
            f'<text x="{at_x + 9:.1f}" y="{at_y + 4:.1f}">{place}</text></g>'
        )
    return svg(height, f"{up} against {across}, by weights", "".join(parts))


def _examples(found: Preview) -> str:
    cards = []
    for example in found.examples:
        before = "".join(f"<li>{escape(title_of_widget(widget))}</li>" for widget in example.before)
        after = "".join(
            f'<li class="{"new" if told.startswith("+ ") else "moved" if told.endswith(")") else ""}">'
            f"{escape(told.removeprefix('+ '))}{'<small> new</small>' if told.startswith('+ ') else ''}</li>"
            for told in told_after(example)
        )
        cards.append(
            f'<article class="card"><h3>{escape(example.role or "subject")} '
            f"<small>…{escape(example.subject[-8:])}</small></h3><div><div><h4>before</h4><ol>{before}</ol></div><div><h4>after</h4><ol>{after}</ol></div>"
            "</div></article>"
        )
    return "".join(cards)
