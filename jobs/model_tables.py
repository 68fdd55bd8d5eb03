"""Tables of the models' report: learners side by side, by slice and by answer, what is used, what drifted.

Rows of model_values in, HTML out.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from jobs.example_arrays import expand
from jobs.model_specs import ModelSpec
from jobs.segment_tables import card, table

Row = Mapping[str, Any]

NAMES = {
    "catboost": "CatBoost", "xgboost": "XGBoost", "logistic": "the small model (logistic)",
    "last_period": "last period's behaviour", "champion": "the champion before",
}  # fmt: skip
OF_REWARDS = {**NAMES, "logistic": "the small model (ridge)"}
METRICS = {
    "log_loss": "log loss", "squared_error": "squared error", "auc": "AUC",
    "average_precision": "average precision", "brier": "Brier score",
    "calibration_error": "calibration error", "reward": "mean reward of the best predicted action",
}  # fmt: skip
MOST = 12
"""Features shown of a list."""


def learner_names(spec: ModelSpec) -> dict[str, str]:
    """Return what the report calls each learner of a spec."""
    return OF_REWARDS if spec.task == "rewards" else NAMES


def learners(spec: ModelSpec, values: Sequence[Row]) -> str:
    """Return every learner's figures, the spec's own marked."""
    shown = [name for name in METRICS if overall(values, name)]
    names = learner_names(spec)
    there = [
        name for name in names if any(row["learner"] == name for row in values if row["metric"] in shown)
    ]
    rows = "".join(
        f"<tr{' class=suggested' if learner == spec.algorithm else ''}><td><b>{names[learner]}</b></td>"
        + "".join(
            _cell(next((r for r in overall(values, m) if r["learner"] == learner), None)) for m in shown
        )
        + "</tr>"
        for learner in there
    )
    return table(["learner", *(METRICS[name] for name in shown)], rows)


def by_slice(spec: ModelSpec, values: Sequence[Row]) -> list[str]:
    """Return by role, region and segment the loss, beside the small model's and the champion's."""
    parts = []
    for kind in ("role", "region", "segment"):
        mine = [
            row
            for row in values
            if row["metric"] == spec.metric
            and row["learner"] == spec.algorithm
            and row["slice"].startswith(f"{kind}/")
        ]
        if not mine:
            continue
        slices = {row["slice"] for row in mine}
        has_auc = any(row["metric"] == "auc" and row["slice"] in slices for row in values)
        rows = []
        for row in sorted(mine, key=lambda row: row["slice"]):
            at = {(r["learner"], r["metric"]): r for r in values if r["slice"] == row["slice"]}
            cells = [
                _cell(row),
                *([_cell(at.get((spec.algorithm, "auc")))] if has_auc else []),
                _change(at.get((spec.algorithm, "change_from_small"))),
                _change(at.get((spec.algorithm, "change_from_champion"))),
            ]
            name = escape(row["slice"].partition("/")[2])
            rows.append(f"<tr><td>{name}</td><td>{row['rows']:,}</td>{''.join(cells)}</tr>")
        about = " (for information: is it as good everywhere?)" if kind == "region" else ""
        heads = (
            kind,
            "examples",
            METRICS[spec.metric],
            *(["AUC"] if has_auc else []),
            "against the small model",
            "against the champion",
        )
        parts += [f"<h3>By {kind}{about}</h3>", card(table(heads, "".join(rows)))]
    return parts


def by_answer(spec: ModelSpec, values: Sequence[Row]) -> list[str]:
    """Return the figures of each answer, where there are several."""
    mine = [row for row in values if row["learner"] == spec.algorithm and row["class"] != "all"]
    if not mine:
        return []
    by = {(row["class"], row["metric"]): row for row in mine}
    names = sorted({row["class"] for row in mine})
    shown = [name for name in METRICS if any(metric == name for _, metric in by)]
    rows = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(_cell(by.get((name, metric))) for metric in shown)}</tr>"
        for name in names
    )
    return ["<h3>By answer</h3>", card(table(["answer", *(METRICS[name] for name in shown)], rows))]


def bars(title: str, values: Sequence[Row], metric: str, grows: Sequence[str] = ()) -> str:
    """Return the features of which a metric is largest; those that a pattern of `grows` names say so."""
    found = sorted(((row["value"], row["slice"].removeprefix("feature/")) for row in values
                    if row["metric"] == metric), reverse=True)  # fmt: skip
    if not found:
        return ""
    by_nature = set(expand(grows, [name for _, name in found]))
    rows = "".join(
        f"<tr><td>{escape(name)}{' <small>grows by nature</small>' if name in by_nature else ''}</td>"
        f"<td>{value:.3f}</td></tr>"
        for value, name in found[:MOST]
    )
    more = f" The largest {MOST} of {len(found)}." if len(found) > MOST else ""
    return figure(f"<b>{title}</b>.{more}", table(["feature", metric.upper()], rows))


def overall(values: Sequence[Row], metric: str) -> list[Row]:
    """Return the rows of a metric that are of all examples and answers."""
    return [row for row in values if row["metric"] == metric and row["slice"] == row["class"] == "all"]


def figure(caption: str, content: str) -> str:
    """Put a chart or table on a card, with its caption."""
    return f'<figure class="card"><figcaption>{caption}</figcaption>{content}</figure>'


def _cell(row: Row | None) -> str:
    if row is None:
        return "<td>–</td>"
    between = "" if row["low"] is None else f"<small>{row['low']:.3f} to {row['high']:.3f}</small>"
    return f"<td>{row['value']:.3f}{between}</td>"


def _change(row: Row | None) -> str:
    if row is None:
        return "<td>–</td>"
    between = "" if row["low"] is None else f"<small>{row['low']:+.1%} to {row['high']:+.1%}</small>"
    return f"<td>{row['value']:+.1%}{between}</td>"
