"""What the week reads of a night: whom an alert is about, what stayed behind, how long jobs were at work."""

import pytest

from jobs.alerts import Event, alert
from tests.week.night import NOTHING_TO_DO, covered, left_behind, named_in


@pytest.mark.parametrize(
    ("kind", "task", "about"),
    [
        ("failed", "orders", ("lake_etl", "night__2017-08-20", "orders")),
        ("stopped", "orders", ("lake_etl", "night__2017-08-20", "orders")),
        ("not flipped", "export", ("lake_etl", "night__2017-08-20", "export")),
        ("late", "", None),
        ("refused", "lints-home", None),
    ],
)
def test_an_alert_names_the_task_to_clear(kind, task, about):
    told = alert(Event(kind, "lake_etl", "night__2017-08-20", task, "x")).text
    assert named_in(told) == about
    assert (NOTHING_TO_DO in told) == (kind == "refused")


def test_what_stayed_behind_is_a_failed_run_without_a_failed_task():
    tasks = {
        "lake_etl": {"orders": "success", "order_lines": "upstream_failed"},
        "policy_evaluation": {"gate": "failed", "report": "upstream_failed"},
        "nightly_layouts": {"layouts": "none"},
    }
    runs = {"lake_etl": "failed", "policy_evaluation": "failed", "nightly_layouts": "running"}
    assert left_behind(runs, tasks) == ["lake_etl"]
    assert left_behind({**runs, "lake_etl": "running"}, tasks) == []


def test_spans_that_overlap_count_once_and_only_within_the_night():
    spans = [(5.0, 20.0), (0.0, 12.0), (30.0, 40.0), (35.0, 60.0)]
    assert covered(spans, 10.0, 50.0) == (20 - 10) + (50 - 30)
    assert covered([], 0.0, 9.0) == 0.0
