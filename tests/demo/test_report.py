"""The report says what it shows in words that promise no uplift."""

from datetime import date
from io import StringIO

import pytest
from rich.console import Console

from jobs.demo import report
from jobs.demo.report import Place, Said, Shown
from jobs.demo.value import Value
from jobs.demo.values import PageValues

VALUES = PageValues(
    page="start",
    policy_version="linucb-start@2017-09-28",
    first=date(2017, 9, 29),
    last=date(2017, 10, 12),
    visits=4_321,
    households=1_234,
    best_constant="always category1",
    policies=[
        Value("uniform", 0.935, 0.915, 0.954, -22.3, -23.8, -20.8),
        Value("always category1", 1.203, 1.17, 1.238, 0.0, 0.0, 0.0),
        Value("learned policy, greedy", 1.31, 1.27, 1.35, 8.9, 7.1, 10.6),
    ],
)
SHOWN = Shown(
    "h42",
    "typical shopper",
    {"start": "linucb-start@2017-10-12"},
    {"start": [Place("category1", "bought often", 1.234, 0.4567, ["Milk 1 GA", "Cream"])]},
)


@pytest.fixture
def printed() -> str:
    console = Console(record=True, width=160, file=StringIO())
    report.show(
        console,
        rows={"events": 251_234, "layouts": 9_999},
        shown=[SHOWN],
        values=[VALUES],
        verdicts=[Said("start", "linucb-start", "yes", True, "it beats the live policy")],
        models=["churn: yes. It is better"],
        next_steps=[("make up", "Airflow")],
    )
    return console.export_text()


def line_with(printed: str, *words: str) -> str:
    (line,) = [line for line in printed.splitlines() if all(word in line for word in words)]
    return line


def test_rows_by_table(printed: str) -> None:
    assert line_with(printed, "events").split() == ["events", "251,234"]


def test_a_layout_has_its_reasons(printed: str) -> None:
    assert "h42: typical shopper" in printed
    assert "page start, drawn by linucb-start@2017-10-12" in printed
    cells = line_with(printed, "bought often").split()
    assert cells == ["0", "category1", "bought", "often", "1.23", "0.457", "Milk", "1", "GA,", "Cream"]


def test_values_with_both_intervals(printed: str) -> None:
    cells = line_with(printed, "uniform").split()
    assert " ".join(cells) == "uniform 0.935 0.915 to 0.954 -22.3 -23.8 to -20.8"
    cells = line_with(printed, "greedy").split()
    assert " ".join(cells) == "learned policy, greedy 1.310 1.270 to 1.350 +8.9 +7.1 to +10.6"
    cells = line_with(printed, "always category1").split()
    assert " ".join(cells) == "always category1 1.203 1.170 to 1.238 best constant"
    words = " ".join(printed.split())
    assert "2017-09-29 to 2017-10-12, 4,321 visits of 1,234 households" in words
    assert "Learned policy: linucb-start@2017-09-28, fitted on the days before" in words


def test_it_says_what_the_data_is_and_what_the_values_are_not(printed: str) -> None:
    words = " ".join(printed.split())
    assert "simulated by its publisher from real shopping patterns" in words
    assert "ranking quality, not sales uplift" in words
    assert words.count("uplift") == 1
    assert "Intervals are over resampled households." in words
    assert "linucb-start on page start: yes, live. it beats the live policy." in words


def test_where_to_look_next(printed: str) -> None:
    lines = [line.strip() for line in printed.splitlines()]
    assert lines[lines.index("make up") + 1] == "Airflow"


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_cut_off(width: int) -> None:
    console = Console(record=True, width=width, file=StringIO())
    nothing = {"verdicts": [], "models": [], "next_steps": []}
    report.show(console, rows={"events": 1}, shown=[SHOWN], values=[VALUES], **nothing)
    assert "…" not in console.export_text()


def test_what_was_decided_after_the_closing_is_told_or_where_to_look(printed: str) -> None:
    assert line_with(printed, "churn: yes.", "It is better")
    console = Console(record=True, width=160, file=StringIO())
    report.show(console, rows={}, shown=[], values=[], verdicts=[], models=[], next_steps=[])
    assert "closing_training is at it now, by itself" in console.export_text()
