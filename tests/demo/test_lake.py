"""The lake has the forms that the jobs read, says what the replay says, and is the same twice."""

import gzip
import hashlib
import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from jobs.demo import lake, truth, world
from jobs.demo.source import Baskets, Source, date_of
from jobs.demo.writer import DayWriter
from tests.demo.reading import DAYS, read_lines

FIRST, SECOND, LAST = (date_of(day).isoformat() for day in DAYS)


@pytest.fixture(scope="module")
def hits(written: Path) -> list[dict[str, Any]]:
    """Every tag hit of the lake, once."""
    found = {parameter(hit, "event_id"): hit for _, hit in read_lines(written / "lake/tags")}
    return list(found.values())


def parameter(hit: dict[str, Any], name: str) -> Any:
    ((value,),) = [entry["value"].values() for entry in hit["event_params"] if entry["key"] == name]
    return value


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def planted(home: Path) -> Counter[str]:
    return Counter(json.loads((home / "truth/planted.json").read_bytes()))


def test_a_second_call_changes_nothing(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    again = lake.write_days(written, DAYS)
    assert again.written == 0
    assert again.sentence == "The lake's 72 days were there already: nothing changed."
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*")} == before


def test_the_same_bytes_in_two_steps_and_after_a_loss(written: Path, demo_home: Path) -> None:
    lake.write_days(demo_home, range(DAYS[0], DAYS[1] + 1))
    (demo_home / f"truth/days/{SECOND}.json").unlink()
    assert lake.write_days(demo_home, DAYS).written == 2
    assert digests(demo_home / "lake") == digests(written / "lake")
    assert digests(demo_home / "truth") == digests(written / "truth")


def test_daily_sources_have_a_folder_for_every_day(written: Path) -> None:
    days = [f"date={date_of(day)}" for day in range(DAYS.stop)]
    for name in ("orders", "order_lines"):
        assert sorted(path.name for path in (written / "lake" / name).iterdir()) == days
    for name in ("telemetry/web", "telemetry/layout", "tags"):
        assert sorted(path.name for path in (written / "lake" / name).iterdir()) == days[-3:]
    for name in ("users", "products", "widgets", "closings", "consents"):
        assert [path.name for path in (written / "lake" / name).iterdir()] == ["date=2017-01-01"]


def test_orders_and_lines_stay_raw(written: Path, data: Source) -> None:
    raw = data.lines[data.lines["day"] == DAYS[0]]
    orders = pq.read_table(written / f"lake/orders/date={FIRST}/orders.parquet")
    lines = pq.read_table(written / f"lake/order_lines/date={FIRST}/order_lines.parquet").to_pandas()
    assert sorted(orders["order_id"].to_pylist()) == sorted(raw["basket_id"].unique().astype(str))
    assert (raw["dropped"] != "").sum() > 0
    assert len(lines) == len(raw)
    assert lines["sales_cents"].sum() == round(raw["sales_value"].sum() * 100)
    assert lines["quantity"].sum() == raw["quantity"].sum()
    assert not lines.duplicated(["order_id", "line"]).any()
    assert str(orders.schema.field("ordered_at").type) == "timestamp[us, tz=UTC]"
    local = orders["ordered_at"].to_pandas().dt.tz_convert("America/New_York").dt.date
    assert set(local) == {date(2017, 3, 11)}


def test_christmas_is_an_empty_file_of_the_same_form(demo_home: Path, data: Source, baskets: Baskets) -> None:
    writer = DayWriter(demo_home, data, baskets, "recipe")
    for day in (357, 358):
        writer.orders(day)
    for name in ("orders", "order_lines"):
        eve, christmas = (
            pq.read_table(demo_home / f"lake/{name}/date=2017-12-{day}/{name}.parquet") for day in (24, 25)
        )
        assert eve.num_rows > 0
        assert christmas.num_rows == 0
        assert christmas.schema.equals(eve.schema)


def test_entities(written: Path, baskets: Baskets) -> None:
    first_day = "date=2017-01-01"
    users = pd.read_csv(written / f"lake/users/{first_day}/users.csv", dtype=str, keep_default_na=False)
    assert len(users) == 2_469
    assert (users["has_demographics"] == "true").sum() == 801
    shares = users["role"].value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx(dict(world.ROLES), abs=0.02)
    roles = users.set_index("user_id")["role"]
    sponsored = users[users["sponsor_id"] != ""]
    pairs = set(zip(sponsored["role"], sponsored["sponsor_id"].map(roles), strict=True))
    assert pairs == {("customer", "consultant"), ("consultant", "recruiter"), ("recruiter", "recruiter")}

    products = pq.read_table(written / f"lake/products/{first_day}/products.parquet").to_pandas()
    assert len(products) == 92_331
    milk = products.set_index("product_id").loc["1029743"]
    assert milk["type"] == "FLUID MILK PRODUCTS|FLUID MILK WHITE ONLY"

    widgets = [
        json.loads(line)
        for line in (written / f"lake/widgets/{first_day}/widgets.jsonl").read_text().splitlines()
    ]
    on_page = {page: {w["widget_id"] for w in widgets if page in w["pages"]} for page in ("start", "home")}
    assert on_page["start"] == {"category1", "category2", "bestsellers", "trending"}
    assert len(on_page["home"]) == 24
    assert sum(w["category"] in baskets.categories for w in widgets) == 22

    closings = pd.read_csv(written / f"lake/closings/{first_day}/closings.csv")
    assert closings.iloc[0].tolist() == ["2017-01", "2017-01-02", "2017-01-29"]
    assert closings.iloc[12].tolist() == ["2017-13", "2017-12-04", "2017-12-31"]

    consents = pd.read_csv(written / f"lake/consents/{first_day}/consents.csv")
    of_users = consents[consents["user_id"].notna()]
    assert len(of_users) == 2_469
    assert of_users["granted"].mean() == pytest.approx(0.95, abs=0.015)
    devices = consents[consents["user_id"].isna()]["device_id"]
    households = [int(user.removeprefix("h")) for user in of_users["user_id"]]
    assert set(devices) == {device for household in households for device in world.devices(household)}


def test_sponsors_form_a_tree(data: Source) -> None:
    tree = world.sponsors(sorted(data.lines["household_id"].unique().tolist()))
    for household in tree:
        seen = {household}
        while household in tree:
            household = tree[household]
            assert household not in seen
            seen.add(household)


def test_each_visit_is_one_trace_over_two_services(written: Path, spans: list[dict[str, Any]]) -> None:
    known = truth.read(written, "start", date_of(DAYS[0]), date_of(DAYS[2]))
    served = [span for span in spans if span["name"] == "layout.served"]
    pages = Counter((span["trace_id"], span["vitrine.page"]) for span in served)
    assert set(pages.values()) == {1}
    late_on_the_last_day = 0.03 * len(known.decision_id)
    assert 2 * len(known.decision_id) - len(served) < late_on_the_last_day
    by_id = {span["span_id"]: span for span in spans}
    inside = [span for span in spans if span["parent"] in by_id]
    assert len(inside) > 0.8 * len(spans)
    assert all(span["trace_id"] == by_id[span["parent"]]["trace_id"] for span in inside)


def test_servings_hold_what_off_policy_learning_needs(written: Path, spans: list[dict[str, Any]]) -> None:
    known = truth.read(written, "home", date_of(DAYS[0]), date_of(DAYS[2]))
    rows = {decision: row for row, decision in enumerate(known.decision_id)}
    checked = 0
    for span in spans:
        if span["name"] != "layout.served" or span["vitrine.page"] != "home":
            continue
        logged = known.logging[rows[span["vitrine.decision_id"]]]
        columns = [known.actions.index(widget) for widget in span["vitrine.widgets"]]
        before = np.concatenate([[0], logged[columns].cumsum()[:-1]])
        assert span["vitrine.propensities"] == pytest.approx((logged[columns] / (1 - before)).tolist())
        assert span["vitrine.candidates"] == list(known.actions)
        assert span["vitrine.policy_version"] == "logging"
        assert len(span["vitrine.draw_id"]) == 32
        checked += 1
    assert checked > 900


@pytest.mark.parametrize("page", ["start", "home"])
def test_outcomes_of_seen_positions_are_the_truth(
    page: str, written: Path, spans: list[dict[str, Any]]
) -> None:
    known = truth.read(
        written, page, date_of(DAYS[0]), date_of(DAYS[1])
    )  # the last day's late events never came
    rows = {decision: row for row, decision in enumerate(known.decision_id)}
    names = ("widget.seen", "product.view", "basket.add")
    found: dict[str, dict[tuple[str, int], str]] = {name: {} for name in names}
    for span in spans:
        if span["name"] in names and span["vitrine.page"] == page and span["vitrine.decision_id"] in rows:
            key = span["vitrine.decision_id"], span["vitrine.position"]
            found[span["name"]][key] = span["vitrine.widget"]
    for key, widget in found["widget.seen"].items():
        reward = known.rewards[rows[key[0]], known.actions.index(widget)]
        assert (3 if key in found["basket.add"] else 1 if key in found["product.view"] else 0) == reward
    assert found["basket.add"].keys() <= found["product.view"].keys() <= found["widget.seen"].keys()
    if page == "start":
        assert len(found["widget.seen"]) == len(known.decision_id)


def test_details_follow_their_serving_within_20_seconds_by_either_clock(spans: list[dict[str, Any]]) -> None:
    served = {span["vitrine.decision_id"]: span["at"] for span in spans if span["name"] == "layout.served"}
    lags = np.array(
        [
            span["at"] - served[span["vitrine.decision_id"]]
            for span in spans
            if span["name"] == "product.view" and span["vitrine.decision_id"] in served
        ]
    )
    assert lags.max() <= 18
    assert lags.min() >= -2
    assert ((lags < 1) | (lags > 15)).any()


def test_tag_hits_are_the_same_events_under_the_same_ids(
    written: Path, spans: list[dict[str, Any]], hits: list[dict[str, Any]]
) -> None:
    names = {
        "page.view": "page_view",
        "product.view": "view_item",
        "basket.add": "add_to_cart",
        "order.placed": "purchase",
    }
    by_id = {span["span_id"]: span for span in spans}
    both = [(by_id[event], hit) for hit in hits if (event := parameter(hit, "event_id")) in by_id]
    assert len(both) > 0.98 * len(hits)
    for span, hit in both:
        assert hit["event_name"] == names[span["name"]]
        assert int(hit["event_timestamp"]) == round(span["at"] * 1e6)
        assert hit["user_pseudo_id"] == span["device.id"]
        assert hit["user_id"] == span.get("user.id")
        if span["name"] in ("product.view", "basket.add"):
            assert hit["items"][0]["item_id"] == span["vitrine.product_id"]
        if span["name"] == "order.placed":
            assert hit["ecommerce"]["transaction_id"] == span["vitrine.order_id"]
            assert round(100 * hit["ecommerce"]["purchase_revenue"]) == span["vitrine.value_cents"]
    tagged = sum(span["name"] in names for span in spans)
    assert len(hits) / tagged == pytest.approx(0.97, abs=0.006)


def test_every_event_lies_in_its_business_day(spans: list[dict[str, Any]]) -> None:
    at = pd.to_datetime([span["at"] for span in spans], unit="s", utc=True).tz_convert("America/New_York")
    arrived = pd.to_datetime([span["arrived"] for span in spans])
    days = (arrived - at.tz_localize(None).normalize()).days
    assert set(days) == {0, 1}
    assert (days == 1).mean() == pytest.approx(0.01 * 2 / 3, abs=0.002)


def test_logged_out_visits_name_only_the_device(spans: list[dict[str, Any]]) -> None:
    served = [span for span in spans if span["name"] == "layout.served"]
    logged_out = [span for span in served if "user.id" not in span]
    assert len(logged_out) / len(served) == pytest.approx(0.10, abs=0.025)
    for span in served:
        household = span.get("user.id", "").removeprefix("h")
        assert not household or span["device.id"].startswith(f"d{household}-")


def test_bots_serve_no_decisions(spans: list[dict[str, Any]]) -> None:
    of_bots = [span for span in spans if span["device.id"].startswith("b")]
    assert {span["name"] for span in of_bots} == {"page.view"}
    assert all("user.id" not in span for span in of_bots)
    assert any("Googlebot" in span["user_agent.original"] for span in of_bots)


def test_what_was_planted_is_counted(
    written: Path, spans: list[dict[str, Any]], hits: list[dict[str, Any]]
) -> None:
    counts = planted(written)
    waiting = sum(
        len(scope["spans"])
        for service in ("web", "layout")
        for line in read_late(written, f"telemetry/{service}")
        for scope in line["resourceSpans"][0]["scopeSpans"]
    )
    assert counts["spans"] == len(spans) + waiting
    assert counts["hits"] - counts["lost hits"] == len(hits) + len(read_late(written, "tags"))
    assert counts["late spans"] == waiting + sum(late(span) for span in spans)
    lines = sum(
        1
        for name in ("telemetry/web", "telemetry/layout", "tags")
        for _ in read_lines(written / "lake" / name)
    )
    distinct = {
        (name, json.dumps(line))
        for name in ("telemetry/web", "telemetry/layout", "tags")
        for _, line in read_lines(written / "lake" / name)
    }
    assert lines - len(distinct) == counts["repeated lines"] > 0
    known = truth.read(written, "start", date_of(DAYS[0]), date_of(DAYS[2]))
    assert counts["visits"] == len(known.decision_id)


def read_late(home: Path, name: str) -> list[dict[str, Any]]:
    """What will arrive on the day after the last."""
    content = gzip.decompress((home / "truth/late" / name / f"{date_of(DAYS.stop)}.jsonl.gz").read_bytes())
    return [json.loads(line) for line in content.decode().splitlines()]


def late(span: dict[str, Any]) -> bool:
    at = pd.Timestamp(span["at"], unit="s", tz="UTC").tz_convert("America/New_York")
    return at.date().isoformat() != span["arrived"]


def test_decisions_with_late_events_are_named(written: Path, spans: list[dict[str, Any]]) -> None:
    named = set(json.loads((written / f"truth/days/{FIRST}.json").read_bytes())["late_decisions"])
    arrived_late = {
        span["vitrine.decision_id"]
        for span in spans
        if span["arrived"] == SECOND and late(span) and "vitrine.decision_id" in span
    }
    assert named == arrived_late
