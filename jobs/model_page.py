"""The models' report after a closing: one HTML file that says which model is live, how good it is, and why.

Rows of models, model_values and releases in, HTML out.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from jobs.model_charts import gains, reliability
from jobs.model_specs import ModelSpec
from jobs.policy_charts import Estimate, forest
from jobs.segment_tables import card, table

Row = Mapping[str, Any]

STYLES = [Path(__file__).with_name(f"{name}_page.css") for name in ("segment", "policy")]
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
THIN = 0.02
"""A gain of less than this share of the small model's loss is thin."""
MOST = 12

HOW_TO_READ = {
    "Log loss, Brier, squared error": "lower is better. Intervals of 95 % come from drawing subjects anew, a"
    " subject's rows of all closings together; changes are paired, so both models see the same subjects.",
    "AUC, average precision": "higher is better; of several questions the mean over them.",
    "Calibration": "of ten groups by rising prediction, how far the mean prediction lies from what came.",
    "Lift and gains": "what the likeliest tenth, two tenths and so on hold of all that came.",
    "SHAP": "how much a feature moves predictions, on average, up or down, in units of the raw score"
    " (Lundberg, Lee 2017). It tells what the model uses, not what causes what.",
    "Drift": "the population stability index between the closings that the champion was trained on and those"
    " that the models are tested on: below 0.1 nothing moved, above 0.25 much did.",
    "Regions": "figures by region are for information: how even the model's quality is. They decide only"
    " through the bound on how far a slice may fall.",
}


def render(
    day: date, models: Sequence[Row], values: Sequence[Row], releases: Sequence[Row], *, note: str
) -> str:
    """Return the report of one closing.

    `models` and `values` are the day's rows, `releases` its verdicts; `note` is what must be known of the
    data.
    """
    candidates = [row for row in models if row["is_candidate"] and row["is_current"]]
    candidates.sort(key=lambda row: (row["name"] != "churn", row["name"]))
    title = f"Models, closing of {day.day} {day:%B %Y}"
    style = "".join(file.read_text(encoding="utf-8") for file in STYLES)
    by_version = {row["version"]: row for row in releases}
    lead = "".join(
        f"<li>{escape(row['name'])}: <b>{_became(by_version.get(row['model_version']))}</b></li>"
        for row in candidates
    )
    parts = [
        _model(row, [one for one in values if one["model_version"] == row["model_version"]],
               by_version.get(row["model_version"]))
        for row in candidates
    ]  # fmt: skip
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title} · Vitrine</title><style>{style}</style></head><body>",
            f'<header><p class="brand">Vitrine</p><h1>{title}</h1><ul class="facts">{lead}</ul></header>',
            "<main>",
            *parts,
            f"</main>{_footer(note)}</body></html>\n",
        ]
    )


def thin_gain(values: Sequence[Row]) -> str:
    """Say in words how much is gained over the small model."""
    change = next(
        (row for row in values if row["metric"] == "change_from_small" and row["slice"] == "all"), None
    )
    if change is None:
        return ""
    value, low, high = change["value"], change["low"], change["high"]
    told = f"loss {value:+.1%} against the small model ({low:+.1%} to {high:+.1%})"
    if low is None or high >= 0:
        return f"The gain over the small model is not sure: {told}. A few numbers do nearly as well here."
    if value > -THIN:
        return f"The gain over the small model is sure but thin: {told}."
    return f"It is better than the small model: {told}."


def _became(verdict: Row | None) -> str:
    if verdict is None:
        return "no verdict yet"
    return {"yes": "new champion", "no": "not promoted"}.get(verdict["verdict"], "cannot tell: not promoted")


def _model(model: Row, values: Sequence[Row], verdict: Row | None) -> str:
    spec = ModelSpec.model_validate_json(model["spec"])
    kind = "" if verdict is None else {"yes": "yes", "no": "no"}.get(verdict["verdict"], "cannot")
    why = "There is no verdict yet." if verdict is None else verdict["why"]
    facts = [
        f"trained on {model['rows']:,} examples of {_closings(model['train'])}",
        f"stopped and calibrated by {_closings(model['validate'])}",
        f"tested on {_closings(model['test'])}",
        f"{len(model['features'])} features, {len(model['categories'])} categories; {model['trees']} trees",
    ]
    notes = [thin_gain(values), *model["notes"]]
    listed = "".join(f"<li>{escape(text)}</li>" for text in [why, *notes, *facts] if text)
    parts = [
        f"<section><h2>{escape(spec.name)}: {escape(spec.meaning)}</h2>",
        (
            f'<div class="card verdict {kind}"><h4>{_became(verdict)}'
            f" <small>{escape(model['model_version'])}</small></h4><ul>{listed}</ul></div>"
        ),
        f'<div style="max-width:640px;margin-top:16px">{_forest(spec, values)}</div>',
        f'<div class="charts" style="max-width:860px">{_calibration(values)}{_gains(values)}</div>',
        "<h3>Beside each other</h3>",
        card(_learners(spec, values)),
        '<div class="charts">',
        _bars("What it uses: mean |SHAP| by feature", values, "shap"),
        _bars("What has drifted: PSI by feature", values, "psi"),
        "</div>",
        *_slices(spec, values),
        *_classes(values, spec),
    ]
    return "".join([*parts, "</section>"])


def _forest(spec: ModelSpec, values: Sequence[Row]) -> str:
    names = OF_REWARDS if spec.task == "rewards" else NAMES
    rows = [
        Estimate(
            names[row["learner"]], row["value"], row["low"], row["high"], row["learner"] == spec.algorithm
        )
        for row in _overall(values, spec.metric)
    ]
    rows.sort(key=lambda row: row.value)
    drawn = forest(rows, served=None, title=f"{spec.name}: {METRICS[spec.metric]} by learner")
    return _figure(f"<b>{METRICS[spec.metric]}</b> with its interval; lower is better", drawn)


def _calibration(values: Sequence[Row]) -> str:
    by = {(row["metric"], row["slice"]): row["value"] for row in values}
    bins = sorted(label for metric, label in by if metric == "predicted")
    if not bins:
        return ""
    points = [(by["predicted", label], by["observed", label]) for label in bins]
    return _figure(
        "<b>Reliability</b>: what was predicted, and what came", reliability(points, title="reliability")
    )


def _gains(values: Sequence[Row]) -> str:
    found = {int(row["slice"].partition("/")[2]): row for row in values if row["metric"] == "gain"}
    if not found:
        return ""
    lift = next(row["value"] for row in values if row["metric"] == "lift" and row["slice"] == "decile/1")
    drawn = gains([found[number]["value"] for number in sorted(found)], title="gains")
    return _figure(f"<b>Gains</b>: the likeliest tenth has {lift:.1f} times the mean", drawn)


def _learners(spec: ModelSpec, values: Sequence[Row]) -> str:
    shown = [name for name in METRICS if _overall(values, name)]
    names = OF_REWARDS if spec.task == "rewards" else NAMES
    there = [
        name for name in names if any(row["learner"] == name for row in values if row["metric"] in shown)
    ]
    rows = "".join(
        f"<tr{' class=suggested' if learner == spec.algorithm else ''}><td><b>{names[learner]}</b></td>"
        + "".join(
            _cell(next((r for r in _overall(values, m) if r["learner"] == learner), None)) for m in shown
        )
        + "</tr>"
        for learner in there
    )
    return table(["learner", *(METRICS[name] for name in shown)], rows)


def _slices(spec: ModelSpec, values: Sequence[Row]) -> list[str]:
    """By role, region and segment: the loss, beside the small model's, and the change from the champion."""
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
        rows = []
        for row in sorted(mine, key=lambda row: row["slice"]):
            at = {(r["learner"], r["metric"]): r for r in values if r["slice"] == row["slice"]}
            cells = [
                _cell(row),
                _cell(at.get((spec.algorithm, "auc"))),
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
            "AUC",
            "against the small model",
            "against the champion",
        )
        parts += [f"<h3>By {kind}{about}</h3>", card(table(heads, "".join(rows)))]
    return parts


def _classes(values: Sequence[Row], spec: ModelSpec) -> list[str]:
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


def _bars(title: str, values: Sequence[Row], metric: str) -> str:
    found = sorted(((row["value"], row["slice"].removeprefix("feature/")) for row in values
                    if row["metric"] == metric), reverse=True)  # fmt: skip
    if not found:
        return ""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{value:.3f}</td></tr>" for value, name in found[:MOST])
    more = f" The largest {MOST} of {len(found)}." if len(found) > MOST else ""
    return _figure(f"<b>{title}</b>.{more}", table(["feature", metric.upper()], rows))


def _overall(values: Sequence[Row], metric: str) -> list[Row]:
    return [row for row in values if row["metric"] == metric and row["slice"] == row["class"] == "all"]


def _figure(caption: str, content: str) -> str:
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


def _closings(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"closing {names[0]}"
    return f"closings {names[0]} to {names[-1]}"


def _footer(note: str) -> str:
    told = "".join(f"<p><strong>{name}</strong>: {text}</p>" for name, text in HOW_TO_READ.items())
    about = f"<p><strong>The data</strong>: {escape(note)}</p>" if note else ""
    by_hand = (
        "<p><strong>By hand</strong>: <em>vitrine model list</em> shows all versions, <em>vitrine model"
        " promote</em> and <em>vitrine model rollback</em> change the champion, by your name.</p>"
    )
    return f"<footer>{by_hand}{told}{about}</footer>"
