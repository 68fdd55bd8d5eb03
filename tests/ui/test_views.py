"""What the pages make of rows: plain values, by hand."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.config import Prices
from jobs.health import TableHealth
from jobs.ui import cost, health, models, policies, reports, segments
from jobs.ui.cost import Stored, shared, used
from jobs.ui.health import Away
from jobs.ui.view import PAGES, Cell, Figure, Samples, Table, View, render, styles
from tests.ui.given import AT, NIGHT, ODD, policy, run, value


def texts(table: Any) -> list[list[str]]:
    """Return a table's cells as text."""
    assert isinstance(table, Table)
    return [[cell.text if isinstance(cell, Cell) else cell for cell in row] for row in table.rows]


def blocks(view: View) -> dict[str, Any]:
    """Return a page's tables and figures by caption."""
    found = [block for section in view.sections for block in section.blocks]
    return {block.caption: block for block in found if isinstance(block, Table | Figure)}


TABLES = [
    TableHealth("orders", 10, NIGHT, 0, 1, "published", ""),
    TableHealth("events", 10, NIGHT - timedelta(3), 3, 1, "published", ""),
    TableHealth("users", 5, None, None, None, "stopped", "no key"),
]


def test_what_is_ill_comes_first_and_says_how() -> None:
    last = [run("orders", 8, message="warning: old"), run("orders", message="warning: few"),
            run("events", status="stopped", message="no rows"), run("users")]  # fmt: skip
    view = health.view(NIGHT, TABLES, last, [])
    found = blocks(view)
    assert view.lead == "Not well: events, users."
    assert [row[:2] for row in texts(found["Tables, as of the night"])] == [
        ["events", "stale"], ["users", "stopped"], ["orders", "well"],
    ]  # fmt: skip
    assert [row[:4] for row in texts(found["What runs of the last 7 nights said"])] == [
        ["events", "stopped", "no rows", f"{NIGHT}"], ["orders", "published", "warning: few", f"{NIGHT}"],
    ]  # fmt: skip
    assert found["Turned away in 7 days"].rows == []


def test_a_run_is_held_against_those_over_as_many_days() -> None:
    before = [run("orders", ago, seconds=seconds) for ago, seconds in ((4, 10.0), (3, 12.0), (2, 14.0))]
    last = [run("orders", 9, days=30, seconds=900.0), *before, run("orders", seconds=30.0, rows_out=60)]
    view = health.view(NIGHT, [], last, [])
    table = blocks(view)["Seconds of the runs that published"]
    assert texts(table) == [["orders", "30.0 s", "12.0 s", "2.50", "2", "512 MiB"]]
    assert table.rows[0][1].kind == "bad"
    assert 'aria-label="orders: seconds of 4 runs"' in table.rows[0][1].svg
    (only,) = texts(blocks(health.view(NIGHT, [], [run("users")], []))["Seconds of the runs that published"])
    assert only == ["users", "10.0 s", "–", "–", "10", "512 MiB"]


def test_samples_are_told_whatever_they_hold() -> None:
    sample = {"source_file": "a/<b>.gz", "source_offset": 7, "row": '{"x": "(redacted)"}'}
    broken = {"source_file": None, "source_offset": None, "row": ODD}
    view = health.view(NIGHT, [], [run("users")], [Away("orders", ODD, 3, [sample, broken])])
    (samples,) = [block for block in view.sections[2].blocks if isinstance(block, Samples)]
    assert samples.texts == [
        (f"orders: {ODD}, a/<b>.gz, line 7", '{\n  "x": "(redacted)"\n}'),
        (f"orders: {ODD}, no file", ODD),
    ]
    html = render(view)
    assert ODD not in html
    assert "&lt;b&gt;&#34;it&#39;s&#34;&lt;/b&gt;" in html


def test_the_engines_time_is_shared_out_among_the_runs_at_work() -> None:
    def at(second: float, seconds: float, engine: float | None) -> dict[str, Any]:
        began = AT + timedelta(seconds=second)
        return run("a", started_at=began, seconds=seconds, engine_cpu_seconds=engine)

    # Two processors all the while: the first alone for 5 s, then both, then the second alone.
    assert shared([at(0, 10, 20.0), at(5, 10, 20.0)]) == pytest.approx([15.0, 15.0])
    assert shared([at(0, 10, 20.0), at(0, 10, 20.0), at(20, 5, 10.0)]) == pytest.approx([10.0, 10.0, 10.0])
    assert shared([at(0, 10, None), at(5, 10, 20.0), at(3, 0, 1.0)]) == [None, pytest.approx(15.0), 1.0]


def test_what_jobs_use_is_told_by_business_day_and_paid_by_price() -> None:
    last = [
        run("orders", 20, days=3, seconds=500.0),
        run("orders", 1, days=9, cpu_seconds=30.0, engine_cpu_seconds=50.0, seconds=36.0, peak_mib=1024),
        run("orders", cpu_seconds=10.0, engine_cpu_seconds=10.0, seconds=36.0, peak_mib=2048),
        run("users", cpu_seconds=None),
        run("users", status="stopped", cpu_seconds=99.0),
    ]
    orders, users = used(last)
    assert (orders.job, orders.days, orders.runs, orders.peak_mib) == ("orders", 10, 2, 2048)
    # Of the last 10 s of the engine, users had a share for as long as it ran.
    assert orders.cpu == pytest.approx(30 + 50 + 10 + 10 * (10 / 2 + 26) / 36)
    assert orders.memory == pytest.approx((1 * 36 + 2 * 36) / 3600)
    assert (users.cpu, users.seconds) == (None, 10.0)

    stored = [Stored("users", 1, 2**20, 10), Stored("orders", 4, 2**30, 2**20)]
    prices = Prices(currency="EUR", cpu_hour=36.0, memory_gib_hour=0.0, storage_gib_month=2.0)
    view = cost.view(last, stored, 500, prices)
    found = blocks(view)
    daily = orders.cpu / 10
    assert texts(found["Jobs, the dearest first"])[0] == [
        "orders", f"{daily:.2f}", "7.20", f"{2 * daily:.3f} s", "2,048 MiB", "2", f"{daily / 100:.4f} EUR",
    ]  # fmt: skip
    assert texts(found["Tables, the largest first"]) == [
        ["orders", "1.0 GiB", "2.0 GiB", "1,048,576", "1,024.0", "4", "2.0000 EUR"],
        ["users", "1.0 MiB", "2.0 MiB", "10", "104,857.6", "1", "0.0020 EUR"],
    ]
    month = 30.4 * daily / 100 + 2 * (1 + 1 / 1024)
    assert dict(view.facts)["a month"] == f"{month:,.4f} EUR"
    plain = blocks(cost.view(last, stored, 0, None))
    assert texts(plain["Jobs, the dearest first"])[1] == ["users", "–", "10.00", "–", "512 MiB", "1"]
    assert texts(plain["Tables, the largest first"])[0][2] == "–"


def test_a_page_tells_its_policies_verdicts_and_who_was_right() -> None:
    releases = [
        policy("winner", "cannot tell", 2),
        policy("old", "yes", 2, is_live="yes", serves="old"),
        policy("winner", "yes", 1, is_live="yes", compared_from="2017-12-01", live_since="2017-12-29"),
        policy("old", "no", 1),
        policy("winner", "yes", is_live="yes", live_since="2017-12-29"),
        policy("old", "no"),
    ]
    values = [
        value("winner", 1.5, 1), value("winner", 1.4), value("old", 1.2),
        value("winner (served)", 1.3, estimator="observed", days=1),
        value("winner (served)", 1.3, estimator="observed"),
    ]  # fmt: skip
    view = policies.view(releases, values)
    found = blocks(view)
    assert view.facts == [("night", f"{NIGHT}"), ("home shows", "winner")]
    (cards,) = [block for block in view.sections[0].blocks if block.shape == "cards"]
    assert [(card.title, card.tags, card.kind) for card in cards.cards] == [
        ("winner", ["yes", "live"], "yes"), ("old", ["no"], "no"),
    ]  # fmt: skip
    assert cards.cards[0].facts == [f"Because {ODD}.", "And more.", "Live since the night of 2017-12-29."]
    assert texts(found["The gate's nights, page home"]) == [
        ["old", "no", f"{NIGHT}", "1", "2", "0", "1"], ["winner", "yes", f"{NIGHT}", "2", "0", "1", "2"],
    ]  # fmt: skip
    # The evening before the night said 1.5, and 1.3 came.
    assert texts(found["Forecast less outcome, night by night"]) == [
        ["home: IPS", "1", "0.200", "+0.200", "0 of 1"]
    ]
    assert texts(found["Since it went live"]) == [
        ["home: winner, IPS", "1.500", "1.300", "+0.200", "±0.139", "no", "1"]
    ]
    assert [row[:3] for row in texts(found["Policies that replaced another"])] == [
        ["2017-12-29", "home", "winner"]
    ]
    assert ODD not in render(view)
    alone = blocks(policies.view(releases[:2], []))
    assert alone["Forecast less outcome, night by night"].rows == []
    assert not [caption for caption in alone if caption.startswith("What a serving")]


def test_approved_segments_have_the_names_that_a_person_gave() -> None:
    release = {
        "name": "rfm", "version": "rfm@a-k2", "as_of_date": NIGHT, "verdict": "yes", "why": ODD,
        "decided_by": "ann", "decided_at": AT, "details": [("0", "regulars"), ("1", "gone <quiet>")],
    }  # fmt: skip
    fitted = [
        {"segmentation_version": f"{request}-k{k}", "segmentation": "rfm", "request": request, "k": k,
         "as_of_date": NIGHT - timedelta(ago), "subjects": 100, "silhouette": 0.5, "stability": 0.9,
         "has_structure": True, "is_suggested": k == 2, "reason": "stable"}
        for request, ago in (("rfm@a", 1), ("rfm@b", 0)) for k in (2, 3)
    ]  # fmt: skip
    profiles = [
        {"segmentation_version": "rfm@a-k2", "segment": number, "suggested_name": "?", "subjects": 50,
         "share": 0.5, "revenue_cents": 20_000, "revenue_share": 0.25, "orders": 100,
         "basket_cents": None, "retention": 0.4, "as_of_date": NIGHT}
        for number in (1, 0)
    ]  # fmt: skip
    view = segments.view([release], fitted, profiles, ["rfm@b"])
    found = blocks(view)
    assert view.facts == [("approved", "1"), ("waiting for an answer", "1")]
    assert texts(found[f"Who is in them, {NIGHT}"]) == [
        ["regulars", "50", "50%", "25%", "–", "2.0", "4.00", "40%"],
        ["gone <quiet>", "50", "50%", "25%", "–", "2.0", "4.00", "40%"],
    ]
    requests = found["The last 20 requests"]
    assert [row[:4] for row in texts(requests)] == [
        ["rfm@b", "waits", "stable", "2"], ["rfm@a", "approved", ODD, "2"],
    ]  # fmt: skip
    assert [row[0].href for row in requests.rows] == ["/vitrine/reports/segments/rfm@b.html", ""]
    html = render(view)
    assert ODD not in html
    assert "gone &lt;quiet&gt;" in html
    assert "Nobody has approved" in segments.view([], [], []).lead


def test_a_model_tells_its_champion_its_challenger_and_their_figures() -> None:
    def verdict(version: str, answer: str, hour: int) -> dict[str, Any]:
        return {"kind": "model", "name": "churn", "version": version, "as_of_date": NIGHT, "verdict": answer,
                "why": ODD, "decided_by": "model_gate", "decided_at": AT.replace(hour=hour)}  # fmt: skip

    versions = [
        {"model_version": version, "name": "churn", "closing_id": closing,
         "as_of_date": NIGHT - timedelta(ago), "algorithm": "catboost", "rows": 1234, "trees": 40}
        for version, closing, ago in (("churn@1", "2017-11", 30), ("churn@2", "2017-12", 0))
    ]  # fmt: skip
    common = {"model_version": "churn@2", "learner": "catboost", "slice": "all", "class": "all"}
    values: list[dict[str, Any]] = [
        {**common, "metric": "log_loss", "value": 0.3, "low": 0.25, "high": 0.35},
        {**common, "metric": "log_loss", "value": 0.2, "low": None, "high": None, "learner": "xgboost"},
        {**common, "metric": "change_from_champion", "value": -0.02, "low": -0.05, "high": 0.01},
        *({**common, "metric": metric, "slice": f"bin/{n}", "value": n / of, "low": None, "high": None}
          for n in range(3) for metric, of in (("predicted", 10), ("observed", 12))),
    ]  # fmt: skip
    releases = [verdict("churn@1", "yes", 1), verdict("churn@2", "no", 2)]
    view = models.view(["churn", "purchase"], releases, versions, values, [f"{NIGHT}"])
    found = blocks(view)
    table = found["Versions of churn, the newest first"]
    assert table.heads[5:] == ["log loss", "change from the champion"]
    assert texts(table) == [
        ["churn@2", "no", "2017-12", "1,234", "40", "0.300", "-2.0%"],
        ["churn@1", "live", "2017-11", "1,234", "40", "–", "–"],
    ]
    assert table.rows[0][5] == Cell("0.300", small="0.250 to 0.350")
    assert table.rows[0][0].href == f"/vitrine/reports/models/{NIGHT}.html"
    cards = [card for section in view.sections for block in section.blocks if block.shape == "cards"
             for card in block.cards]  # fmt: skip
    assert [(card.title, card.tags) for card in cards] == [
        ("champion: churn@1", ["live"]), ("newest challenger: churn@2", ["no"]),
        ("purchase", ["no champion"]),
    ]  # fmt: skip
    assert "came 0.167" in found["Reliability of churn@2: what was predicted, and what came"].svg
    assert ODD not in render(view)


def test_reports_are_listed_newest_first_by_safe_addresses() -> None:
    files = [(Path("old.html"), AT), (Path("goals/a b#?.html"), datetime(2018, 1, 1, tzinfo=UTC))]
    (table,) = blocks(reports.view(files)).values()
    assert texts(table) == [["a b#?", "goals", "2018-01-01 00:00"], ["old", "–", "2017-12-31 03:00"]]
    assert table.rows[0][0].href == "/vitrine/reports/goals/a%20b%23%3F.html"


def test_every_page_can_be_walked_by_keyboard_and_screen_reader() -> None:
    html = render(
        replace(health.view(NIGHT, TABLES, [run("orders", 1), run("orders")], []), note="simulated")
    )
    assert '<html lang="en">' in html
    assert '<a class="skip" href="#main">' in html
    assert html.count('aria-current="page"') == 1
    assert '<a href="/vitrine/health" aria-current="page">Health</a>' in html
    assert html.count("<caption>") == html.count("<table>") == 2
    assert html.count("<h1>") == 1
    for part in ("<nav", "<main", "<header", "<footer"):
        assert html.count(part) == 1
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html


@pytest.mark.parametrize("page", PAGES)
def test_no_page_takes_its_name_for_something_that_reports_draw(page: str) -> None:
    [name] = re.findall(r'<body class="([\w-]+)">', render(View(page, "Title")))
    assert name not in re.findall(r"\.([a-z][\w-]*)", styles("segment_page.css", "policy_page.css"))
