"""model_report: what is decided, how good it is, and where the gain is thin, in one whole file."""

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from jobs.config import load
from jobs.model_page import render, thin_gain
from jobs.model_report import run_report
from jobs.publish import Stopped
from jobs.shell import Ask
from tests.jobs.closings_given import DAY, spec
from tests.jobs.test_model_gate import BETTER, candidate, values


def model() -> dict[str, Any]:
    """Return a measured candidate's row."""
    closings = {"train": ["2017-01", "2017-02"], "validate": ["2017-03"], "test": ["2017-04"]}
    grown = spec(bounds={"slice_rows": 50, "grows": ["ten*"]})
    more = {"algorithm": "catboost", "trees": 40, "notes": ["flat <is> the same."], **closings}
    return candidate(**{**more, "spec": grown.model_dump_json()})


def figures() -> list[dict[str, Any]]:
    """Return a little of everything that a report shows."""
    own = model()
    found = values(own, BETTER)
    common = {key: value for key, value in found[0].items() if key not in ("value", "low", "high")}

    def row(metric: str, value: float, **more: Any) -> dict[str, Any]:
        return {**common, "metric": metric, "value": value, "low": None, "high": None, **more}

    found += [
        row("log_loss", 0.31, learner="logistic", low=0.3, high=0.32),
        row("change_from_small", -0.01, low=-0.02, high=-0.001),
    ]
    for number in range(10):
        found += [
            row("predicted", number / 10, slice=f"bin/{number}"),
            row("observed", number / 11, slice=f"bin/{number}"),
        ]
        found += [
            row("gain", (number + 1) / 10, slice=f"decile/{number + 1}"),
            row("lift", 2.5, slice=f"decile/{number + 1}"),
        ]
    found += [row("shap", 0.4, slice="feature/recency"), row("psi", 0.03, slice="feature/recency")]
    found += [row("psi", 4.2, slice="feature/tenure")]
    return [*found, row("log_loss", 0.29, slice="region/north", low=0.25, high=0.33)]


class Balanced(HTMLParser):
    """Checks that elements close in order."""

    void = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """Nothing stays open."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_says_what_was_decided_and_shows_it() -> None:
    verdict = {"version": model()["model_version"], "verdict": "no", "why": "As good, not better."}
    html = render(DAY, [model()], figures(), [verdict], note="simulated")
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    for words in (
        "<h1>Models, closing of 21 May 2017</h1>",
        "churn: <b>not promoted</b>",
        "As good, not better.",
        "The gain over the small model is sure but thin: loss -1.0% against the small model (-2.0%",
        "flat &lt;is&gt; the same.",
        "trained on 300 examples of closings 2017-01 to 2017-02",
        "the likeliest tenth has 2.5 times the mean",
        "<td>north</td><td>300</td><td>0.290<small>0.250 to 0.330</small></td>",
        "<tr><td>recency</td><td>0.400</td></tr>",
        "<tr><td>tenure <small>grows by nature</small></td><td>4.200</td></tr><tr><td>recency</td>",
        "for information: is it as good everywhere?",
    ):
        assert words in html, words
    # Of all learners; no slice has one here.
    assert html.count("<th>AUC</th>") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((-0.01, -0.03, 0.01), "not sure: loss -1.0%"),
        ((-0.01, -0.015, -0.005), "sure but thin"),
        ((-0.05, -0.06, -0.04), "It is better than the small model"),
    ],
)
def test_a_thin_gain_is_said(change: tuple[float, float, float], words: str) -> None:
    row = dict(zip(("value", "low", "high"), change, strict=True))
    assert words in thin_gain([{"metric": "change_from_small", "slice": "all", "class": "all", **row}])
    assert thin_gain([]) == ""


def test_the_report_is_kept_as_a_file_and_in_mlflow(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    kept: dict[str, Any] = {}
    monkeypatch.setattr("jobs.model_report.keep", lambda *given, **more: kept.update(more, given=given[1:]))
    config = load()
    with pytest.raises(Stopped, match="No model as of 2017-05-21 was measured"):
        run_report(Ask(DAY, DAY + timedelta(1)), config)
    from jobs.tables import Tables

    tables = Tables(config.tables)
    tables.append("models", [model()])
    tables.append("model_values", figures())
    said = {"release_id": "r", "kind": "model", "name": "churn", "version": model()["model_version"],
            "as_of_date": DAY, "verdict": "yes", "why": "Better.", "decided_by": "model_gate",
            "decided_at": datetime(2017, 5, 22, tzinfo=UTC)}  # fmt: skip
    tables.append("releases", [said])
    run = run_report(Ask(DAY, DAY + timedelta(1)), config)
    assert run.status == "published"
    assert kept["given"][:2] == ("models", "2017-05-21")
    assert "churn: <b>new champion</b>" in kept["given"][2]
    assert kept["tags"] == {"churn.verdict": "yes: Better."}
    assert kept["measures"][0]["churn.logistic.log_loss"] == 0.31
