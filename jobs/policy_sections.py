"""Sections of the policies' report: values by estimator and role, weights, support, what would change.

Rows of policy_values, and what was summed of judgements, in; pieces of HTML out. Nothing is read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from jobs.context_drift import DRIFTED
from jobs.policy_charts import heat, histogram
from jobs.policy_values import EVERYONE, OBSERVED
from ml.ope.summary import OTHERS

Row = Mapping[str, Any]

DECIDES = ("DR", "position-based DR", "IPS", "position-based IPS")
MOST_MOVES = 8
SEGMENT = ": "


@dataclass(frozen=True)
class Shown:
    """What was summed of the judgements of a page.

    weights : by spec the share of servings in each class of weights, in their order.
    first : by spec and widget the mean probability of standing first.
    shown : by widget the share of servings that it stood first in.
    moves : by spec (from, to, share): what the live policy would most likely show first, what the spec would.
    drift : features with their population stability index, the largest first (jobs.context_drift).
    """

    weights: Mapping[str, Sequence[tuple[str, float]]]
    first: Mapping[str, Mapping[str, float]]
    shown: Mapping[str, float]
    moves: Mapping[str, Sequence[tuple[str, str, float]]]
    drift: Sequence[tuple[str, float]] = ()


def drift(shown: Shown) -> str:
    if not shown.drift:
        return ""
    moved = sum(index > DRIFTED for _, index in shown.drift)
    body = "".join(
        f"<tr><th>{escape(name)}</th>{heat(f'{index:.3f}', min(index, 1.0), is_bad=index > DRIFTED)}</tr>"
        for name, index in shown.drift[:MOST_MOVES]
    )
    note = (
        f"Population stability of the features on the newest day beside the days before: {moved} of"
        f" {len(shown.drift)} are above {DRIFTED}. Where many are, the log had other contexts than tonight."
    )
    return f'<h3>Contexts</h3><p class="note">{note}</p>{card(table(["feature", "index"], body))}'


def values_by_estimator(everyone: Sequence[Row]) -> str:
    estimators = list(dict.fromkeys(row["estimator"] for row in everyone if row["estimator"] != OBSERVED))
    specs = sorted({row["spec"] for row in everyone if row["estimator"] != OBSERVED})
    found = {(row["spec"], row["estimator"]): row for row in everyone}
    body = ""
    for spec in specs:
        cells = "".join(
            f"<td>{row['value']:.3f}<small>±{(row['upper'] - row['lower']) / 2:.3f}</small></td>"
            if (row := found.get((spec, name))) and row["lower"] is not None
            else "<td>–</td>"
            for name in estimators
        )
        body += f"<tr><th>{escape(spec)}</th>{cells}</tr>"
    return f"<h3>By estimator</h3>{card(table(['policy', *estimators], body))}"


def values_by_audience(window: Sequence[Row]) -> str:
    names = sorted({row["audience"] for row in window} - {EVERYONE})
    roles = [name for name in names if SEGMENT not in name]
    by_segmentation: dict[str, list[str]] = {}
    for name in names:
        if SEGMENT in name:
            by_segmentation.setdefault(name.partition(SEGMENT)[0], []).append(name)
    parts = [_by("By role", roles, window)] if roles else []
    parts += [_by(f"By segment of {named}", own, window) for named, own in by_segmentation.items()]
    return "".join(parts)


def _by(title: str, audiences: Sequence[str], window: Sequence[Row]) -> str:
    found = {
        (row["spec"], name): row
        for name in audiences
        for row in deciding([row for row in window if row["audience"] == name])
    }
    body = "".join(
        f"<tr><th>{escape(spec)}</th>"
        + "".join(
            f"<td>{row['value']:.3f}<small>±{(row['upper'] - row['lower']) / 2:.3f}</small></td>"
            if (row := found.get((spec, name))) and row["lower"] is not None
            else "<td>–</td>"
            for name in audiences
        )
        + "</tr>"
        for spec in sorted({spec for spec, _ in found})
    )
    heads = ["policy", *(name.rpartition(SEGMENT)[2] for name in audiences)]
    return f"<h3>{escape(title)}</h3>{card(table(heads, body))}"


def weights(shown: Shown, everyone: Sequence[Row]) -> str:
    body = "".join(
        f"<tr><th>{escape(row['spec'])}</th><td>{row['effective_servings']:,.0f}"
        f"<small>of {row['servings']:,}</small></td><td>{row['mean_weight']:.3f}</td>"
        f"<td>{row['largest_weight']:,.1f}</td><td>{row['unsupported']:.1%}</td>"
        f"<td>{row['open_share']:.1%}</td>"
        f"<td>{row['calibration']:.2g}</td></tr>"
        for row in deciding(everyone)
    )
    heads = ["policy", "effective servings", "mean weight", "largest", "never logged", "not counted yet"]
    heads.append("p of propensities")
    charts = "".join(
        figure(f"<b>{escape(spec)}</b>: servings by weight", histogram(bars, title=f"weights of {spec}"))
        for spec, bars in sorted(shown.weights.items())
    )
    return f'<h3>How often a serving counts</h3>{card(table(heads, body))}<div class="charts">{charts}</div>'


def support(shown: Shown) -> str:
    widgets = sorted(shown.shown, key=lambda name: -shown.shown[name])
    widgets += sorted({name for of in shown.first.values() for name in of} - set(widgets))
    most = max(
        [*shown.shown.values(), *(share for of in shown.first.values() for share in of.values())], default=1
    )
    specs = sorted(shown.first)
    body = ""
    for widget in sorted(widgets, key=OTHERS.__eq__):
        logged = shown.shown.get(widget, 0.0)
        # What a policy seldom shows is summed under one name: each of it may well have been logged.
        cells = "".join(
            heat(f"{share:.1%}", share / most, is_bad=not logged and share > 0 and widget != OTHERS)
            for share in (shown.first[spec].get(widget, 0.0) for spec in specs)
        )
        as_logged = "<td>–</td>" if widget == OTHERS else heat(f"{logged:.1%}", logged / most)
        name = "where below 1 % of a serving" if widget == OTHERS else widget
        body += f"<tr><th>{escape(name)}</th>{as_logged}{cells}</tr>"
    note = "Mean probability of standing first. In red: never logged first, so nothing is known of it."
    return (
        f'<h3>What would be shown first</h3><p class="note">{note}</p>'
        f"{card(table(['widget', 'as logged', *specs], body))}"
    )


def moves(shown: Shown, live: str | None) -> str:
    blocks = []
    for spec, moves in sorted(shown.moves.items()):
        if spec == live or not moves:
            continue
        rows = "".join(
            f"<tr><th>{escape(before)} → {escape(after)}</th><td>{share:.1%}</td></tr>"
            for before, after, share in moves[:MOST_MOVES]
        )
        caption = f"<b>{escape(spec)}</b> in place of {escape(live or 'what is live')}"
        blocks.append(figure(caption, table(["likeliest first widget", "servings"], rows)))
    return f'<h3>What it would change</h3><div class="charts">{"".join(blocks)}</div>' if blocks else ""


def deciding(rows: Sequence[Row]) -> list[Row]:
    """Keep of each spec the estimate that decides."""
    found: dict[str, Row] = {}
    for row in rows:
        if row["estimator"] in DECIDES:
            best = found.get(row["spec"])
            if best is None or DECIDES.index(row["estimator"]) < DECIDES.index(best["estimator"]):
                found[row["spec"]] = row
    return [found[spec] for spec in sorted(found)]


def figure(caption: str, content: str) -> str:
    return f'<figure class="card"><figcaption>{caption}</figcaption>{content}</figure>'


def table(heads: Sequence[str], rows: str) -> str:
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def card(content: str) -> str:
    return f'<div class="card wide">{content}</div>'
