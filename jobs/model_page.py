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
from jobs.model_tables import METRICS, bars, by_answer, by_slice, figure, learner_names, learners, overall
from jobs.policy_charts import Estimate, forest
from jobs.segment_tables import card

Row = Mapping[str, Any]

STYLES = [Path(__file__).with_name(f"{name}_page.css") for name in ("segment", "policy")]
THIN = 0.02
"""A gain of less than this share of the small model's loss is thin."""

HOW_TO_READ = {
    "Log loss, Brier, squared error": "lower is better. Intervals of 95 % come from drawing subjects anew, a"
    " subject's rows of all closings together; changes are paired, so both models see the same subjects.",
    "AUC, average precision": "higher is better; of several questions the mean over them.",
    "Calibration": "of ten groups by rising prediction, how far the mean prediction lies from what came."
    " Drawing anew only adds to it, so its interval may lie above it.",
    "Lift and gains": "what the likeliest tenth, two tenths and so on hold of all that came.",
    "SHAP": "how much a feature moves predictions, on average, up or down, in units of the raw score"
    " (Lundberg, Lee 2017). It tells what the model uses, not what causes what.",
    "Drift": "the population stability index between the closings that the champion was trained on and those"
    " that the models are tested on: below 0.1 nothing moved, above 0.25 much did. What grows by nature, as"
    " days since the first visit, decides nothing.",
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
        card(learners(spec, values)),
        '<div class="charts">',
        bars("What it uses: mean |SHAP| by feature", values, "shap"),
        bars("What has drifted: PSI by feature", values, "psi", spec.bounds.grows),
        "</div>",
        *by_slice(spec, values),
        *by_answer(spec, values),
    ]
    return "".join([*parts, "</section>"])


def _forest(spec: ModelSpec, values: Sequence[Row]) -> str:
    names = learner_names(spec)
    rows = [
        Estimate(
            names[row["learner"]], row["value"], row["low"], row["high"], row["learner"] == spec.algorithm
        )
        for row in overall(values, spec.metric)
    ]
    rows.sort(key=lambda row: row.value)
    drawn = forest(rows, served=None, title=f"{spec.name}: {METRICS[spec.metric]} by learner")
    return figure(f"<b>{METRICS[spec.metric]}</b> with its interval; lower is better", drawn)


def _calibration(values: Sequence[Row]) -> str:
    by = {(row["metric"], row["slice"]): row["value"] for row in values}
    bins = sorted(label for metric, label in by if metric == "predicted")
    if not bins:
        return ""
    points = [(by["predicted", label], by["observed", label]) for label in bins]
    return figure(
        "<b>Reliability</b>: what was predicted, and what came", reliability(points, title="reliability")
    )


def _gains(values: Sequence[Row]) -> str:
    found = {int(row["slice"].partition("/")[2]): row for row in values if row["metric"] == "gain"}
    if not found:
        return ""
    lift = next(row["value"] for row in values if row["metric"] == "lift" and row["slice"] == "decile/1")
    drawn = gains([found[number]["value"] for number in sorted(found)], title="gains")
    return figure(f"<b>Gains</b>: the likeliest tenth has {lift:.1f} times the mean", drawn)


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
