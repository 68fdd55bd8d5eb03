"""events: both sources merged into one row per event, whatever the order; what cannot be is told.

One small lake of four days holds a case per device. It is built at once and day by day, and looked at from
many sides: a build takes a second, a look nothing.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from jobs import erased, events, shell
from jobs.config import BotRules, Config, Consent, load
from jobs.ids import pseudonym
from jobs.shell import Ask, run_job
from jobs.sources.files import LakeFile
from jobs.tables import Tables
from jobs.widgets import JOB as WIDGETS
from tests.jobs.given import table
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, NOON, file, listed, message, put, span, tag
from tests.jobs.sources.test_otlp import ID

Rows = list[dict[str, Any]]

ONE = timedelta(1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAYS = [DAY + n * ONE for n in range(4)]
MIDNIGHT = datetime.fromisoformat("2017-08-22T00:00:00-04:00")
BUSY = 20
ARGUMENTS: dict[str, Any] = {
    "business_time_zone": "America/New_York",
    "subject_buckets": 2,
    "late_days": 3,
    "copy_minutes": 60,
    "sources": load().sources,
    "ids": IDS,
    "bots": BotRules(
        agents=["bot"], events_per_day=BUSY, events_per_minute=8, pages_per_minute=5, pages_alone=15
    ),
    "consent": Consent(purpose="personalisation", by_default=True),
}


def device(raw: str) -> str:
    return pseudonym("device", raw, key=IDS.key, key_id=IDS.key_id)


def user(raw: str) -> str:
    return pseudonym("user", raw, key=IDS.key, key_id=IDS.key_id)


def view(case: str, number: int = 0, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    """A page view by a case's device."""
    return span("page.view", f"{number:016x}", at, device=case, **{"user": None, "page": "home", **more})


def seen(case: str, number: int) -> dict[str, Any]:
    """A widget that came into a case's view, two seconds after the last."""
    at = NOON + 2 * number * SECOND
    return span("widget.seen", f"{number:016x}", at, device=case, user=None, page="home", widget="w")


def hit(case: str, at: datetime) -> dict[str, Any]:
    """The tag hit of a case's page view, number 1."""
    return tag("page_view", f"{1:016x}", at, user_pseudo_id=case, user_id=None)


def write_lake(folder: Path) -> list[LakeFile]:
    """Write the cases, by day of arrival and file."""
    twice = message(view("twice"))
    added = {"decision_id": "dec1", "page": "home", "position": 2, "widget": "w", "product_id": "17"}
    secret = {"user": "anna@example.org", "device": "anna's phone", "session": "s"}
    hasty = [view("hasty", n) for n in range(BUSY + 1)]
    calm = [view("calm", n, NOON + n * MINUTE) for n in range(15)] + [seen("calm", 15)]
    staring = [view("staring", n, NOON + n * MINUTE) for n in range(16)]
    flicking = [view("flicking", n, NOON + n * SECOND) for n in range(6)]
    hurried = [seen("hurried", n) for n in range(9)]
    bots = [*hasty, *calm, *staring, *flicking, *hurried]
    telemetry: dict[tuple[int, str], Sequence[Any]] = {
        (0, "web-0.jsonl.gz"): [
            message(span("basket.add", ID, **added)),
            twice,
            twice,
            message(*bots, view("refuses", 0), view("shared", 0, user="refuser")),
            message(view("says so", agent="AhrefsBot/5.2"), view("long before", at=NOON - 2 * ONE)),
            message(span("page.view", "00000000000000dd", **secret), span("scroll", ID, **secret)),
        ],
        (0, "web-1.jsonl"): [
            twice,
            "{ no json, anna",
            message(
                view("d", user=None) | {"attributes": []},
                view("broken", 1, NOON + 2 * ONE),
                span("widget.seen", f"{2:016x}", device="broken", widget="unknown"),
                span("layout.served", f"{3:016x}", device="broken", widgets=["w", "unknown"]),
                span("layout.served", f"{4:016x}", device="broken", widgets=["w", "v"]),
            ),
        ],
        (1, "web-0.jsonl"): [
            message(view("calm", 99, NOON + ONE), view("late", 1), view("refuses", 1, NOON + ONE)),
            message(*[view("midnight", n, MIDNIGHT - timedelta(microseconds=1 - n)) for n in range(2)]),
            "[",
            # Copies on both sides of midnight, by clocks that differ: see also the tags.
            message(view("later span", 1, MIDNIGHT + SECOND), view("next day", 1, MIDNIGHT + SECOND)),
        ],
        # From the future, and turned away: it marks nothing on its own day.
        (0, "future.jsonl"): [message(view("once a bot", 2, NOON + ONE, agent="AhrefsBot/5.2"))],
        (1, "future.jsonl"): [message(view("once a bot", 1, NOON + ONE))],
        (0, "midnight.jsonl"): [
            message(view("earlier span", 1, MIDNIGHT - SECOND), view("far", 1, MIDNIGHT - 61 * MINUTE)),
            message(view("next day", 1, MIDNIGHT - SECOND)),
        ],
        (2, "midnight.jsonl"): [message(view("late copy", 1, MIDNIGHT - SECOND))],
        (1, "late-0.jsonl"): [twice],
        (3, "web-0.jsonl"): [message(view("late", 3), view("late", 4, NOON - ONE))],
    }
    for n in range(4):
        new = span("widget.seen", f"{n:016x}", NOON + n * ONE, device="widget", widget="new")
        telemetry[n, "widget.jsonl"] = [message(new)]
    tags: dict[tuple[int, str], Sequence[Any]] = {
        (0, "tags-0.jsonl.gz"): [
            tag("add_to_cart", ID, NOON + SECOND, items=[{"item_id": "17"}]),
            tag("purchase", "00000000000000bb", ecommerce={"transaction_id": "o1", "purchase_revenue": 3}),
            tag("page_view", "ee", user_id="anna@example.org", user_pseudo_id="anna's phone"),
            tag(
                "page_view", "ef", user_id=None, user_pseudo_id=None, privacy_info={"analytics_storage": "No"}
            ),
        ],
        (0, "midnight.jsonl"): [hit("later span", MIDNIGHT - SECOND)],
        (1, "tags-0.jsonl.gz"): [
            hit(case, MIDNIGHT + SECOND) for case in ("earlier span", "far", "late copy")
        ],
        (2, "tags-0.jsonl"): ["", tag("page_view", f"{2:016x}", user_pseudo_id="late")],
    }
    written = [
        *[
            file(put(folder / "w" / f"{n}" / name, lines), "telemetry", DAYS[n])
            for (n, name), lines in telemetry.items()
        ],
        *[
            file(put(folder / "t" / f"{n}" / name, lines), "tags", DAYS[n])
            for (n, name), lines in tags.items()
        ],
    ]
    whole = [message(view("cut", n, page=f"{n * 7919}")) for n in range(100)]
    return [*written, file(put(folder / "w" / "0" / "cut.jsonl.gz", whole, cut=300), "telemetry")]


def widgets(spark: SparkSession, until: date) -> DataFrame:
    """`new` is known from the second day until before the fourth."""
    always = date(2017, 1, 1)
    changes = [("w", always), ("v", always), ("new", DAYS[1]), ("new", DAYS[2]), ("new", DAYS[3])]
    rows = [
        {"widget": name, "changed_date": day, "is_deleted": day == DAYS[3]}
        for name, day in changes
        if day <= until
    ]
    return table(spark, "widgets", rows)


def consents(spark: SparkSession, until: date) -> DataFrame:
    """A device refuses, and agrees from the second day on; a user refuses on whatever device."""
    answers = [
        (device("refuses"), DAY - ONE, False),
        (device("refuses"), DAYS[1], True),
        (user("refuser"), DAY, False),
    ]
    rows = [
        {"subject": who, "changed_date": day, "is_granted": yes, "purpose": "personalisation"}
        for who, day, yes in answers
        if day <= until
    ]
    return table(spark, "consents", rows)


def build(spark: SparkSession, files: Sequence[LakeFile], days: Sequence[date]) -> tuple[Rows, Rows]:
    """Run the job as the shell does: on the files that it names."""
    frames = [reading(spark, files, days, read) for read in events.JOB.reads[:2]]
    known = widgets(spark, max(days)), consents(spark, max(days))
    built = events.build(*frames, *known, days=list(days), **ARGUMENTS)
    return judged("events", built, days)


def named(spark: SparkSession, files: Sequence[LakeFile], *days: date) -> list[date]:
    frames = [reading(spark, files, days, read) for read in events.JOB.late_reads or ()]
    named = {name: ARGUMENTS[name] for name in ("business_time_zone", "late_days", "copy_minutes")}
    found = events.late(*frames, days=list(days), **named)
    return sorted({row["day"] for row in found.collect()})


def reading(
    spark: SparkSession, files: Sequence[LakeFile], days: Sequence[date], read: shell.Read
) -> DataFrame:
    assert isinstance(read, shell.Lake)
    wanted = read.arrivals(days, ARGUMENTS["late_days"])
    return listed(spark, *[f for f in files if f.source == read.name and f.arrival_date in wanted])


@dataclass(frozen=True)
class Lake:
    """The lake's files, and what the job makes of them."""

    files: list[LakeFile]
    good: Rows
    bad: Rows

    def of(self, case: str) -> Rows:
        return [row for row in self.good if row["device"] == device(case)]

    def told(self, name: str) -> list[tuple[int, str, date]]:
        return [(row["offset"], row["reason"], row["day"]) for row in self.bad if row["file"] == name]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    files = write_lake(tmp_path_factory.mktemp("lake"))
    return Lake(files, *build(spark, files, DAYS))


def test_a_span_and_its_tag_hit_are_one_row(lake: Lake) -> None:
    shared = {
        "event_date": DAY,
        "arrival_date": DAY,
        "subject": user("u1"),
        "subject_bucket": int(user("u1")[-4:], 16) % 2,
        "device": device("d1"),
        "user": user("u1"),
        "page": "home",
        "is_bot": False,
        "bot_rule": None,
        "is_consented": True,
        **dict.fromkeys(["draw_id", "widgets", "candidates", "propensities", "policy_version", "versions"]),
        **dict.fromkeys(["variant", "freshness", "rules"]),
    }
    assert lake.of("d1") == [
        {
            **shared,
            "event_id": f"00000000000000bb-{device('d1')[-16:]}",
            "event_name": "order_placed",
            "event_at": NOON.replace(tzinfo=None),
            "sources": ["tags"],
            "service": None,
            "trace_id": None,
            "visit": "1503331200",
            "decision_id": None,
            "position": None,
            "widget": None,
            "product_id": None,
            "order_id": "o1",
            "value_cents": 300,
        },
        {
            **shared,
            "event_id": f"{ID}-{device('d1')[-16:]}",
            "event_name": "basket_add",
            "event_at": NOON.replace(tzinfo=None),
            "sources": ["tags", "telemetry"],
            "service": "web",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "visit": "s1",
            "decision_id": "dec1",
            "position": 2,
            "widget": "w",
            "product_id": "17",
            "order_id": None,
            "value_cents": None,
        },
    ]


def test_no_raw_id_gets_past_the_door(lake: Lake) -> None:
    assert [(row["event_id"][:2], row["user"]) for row in lake.of("anna's phone")] == [
        ("00", user("anna@example.org")),
        ("ee", user("anna@example.org")),
    ]
    assert lake.told("web-0.jsonl.gz") == []
    assert "anna" not in f"{lake.good} {lake.bad}"


def test_an_event_delivered_twice_or_again_the_next_day_is_one_row_of_its_first_arrival(lake: Lake) -> None:
    assert [(row["event_date"], row["arrival_date"], row["sources"]) for row in lake.of("twice")] == [
        (DAY, DAY, ["telemetry"])
    ]


def test_late_events_are_rows_of_their_own_day_and_too_late_ones_are_told(lake: Lake) -> None:
    assert [(row["event_id"][:16], row["event_date"], row["arrival_date"]) for row in lake.of("late")] == [
        (f"{n:016x}", DAY, DAYS[n]) for n in (1, 2, 3)
    ]
    assert lake.told("web-0.jsonl")[0] == (1, "an event must not come later than late_days", DAYS[3])
    assert lake.of("long before") == []


def test_arrivals_name_the_earlier_days_to_rebuild(spark: SparkSession, lake: Lake) -> None:
    assert named(spark, lake.files, DAYS[0]) == [DAY - 2 * ONE]
    assert named(spark, lake.files, DAYS[1], DAYS[2], DAYS[3]) == [DAY]
    # What came on the third day for the end of the first may be repeated on the second.
    assert named(spark, lake.files, DAYS[2]) == DAYS[:2]
    assert named(spark, [], DAY) == []


def test_what_cannot_be_is_told_with_file_and_line_and_the_rest_goes_on(lake: Lake) -> None:
    assert lake.told("web-1.jsonl") == [
        (2, "line is not JSON", DAY),
        (3, "an event cannot come from the future", DAY),
        (3, "an event needs a subject", DAY),
        (3, "an event's widgets must be in widgets", DAY),
        (3, "an event's widgets must be in widgets", DAY),
    ]
    assert [row["event_id"][:16] for row in lake.of("broken")] == [f"{4:016x}"]
    assert (3, "line is not JSON", DAYS[1]) in lake.told("web-0.jsonl")


def test_a_cut_file_keeps_its_good_lines_and_says_where_it_ends(lake: Lake) -> None:
    kept = [row["event_id"][:16] for row in lake.of("cut")]
    assert kept == [f"{n:016x}" for n in range(len(kept))]
    assert 10 < len(kept) < 100
    assert lake.told("cut.jsonl.gz") == [(len(kept) + 1, "gzip stream is cut off here", DAY)]


def test_a_widget_is_known_from_its_arrival_until_it_is_deleted(lake: Lake) -> None:
    assert [row["event_date"] for row in lake.of("widget")] == DAYS[1:3]
    reason = "an event's widgets must be in widgets"
    assert sorted(lake.told("widget.jsonl")) == [(1, reason, DAYS[0]), (1, reason, DAYS[3])]


def test_the_business_day_begins_at_local_midnight(lake: Lake) -> None:
    assert [row["event_date"] for row in lake.of("midnight")] == [DAY, DAYS[1]]


def test_copies_on_both_sides_of_midnight_are_one_row_of_the_earlier_day(lake: Lake) -> None:
    found = {
        case: [(row["event_date"], row["sources"]) for row in lake.of(case)]
        for case in ("earlier span", "later span", "late copy", "next day", "far")
    }
    assert found == {
        "earlier span": [(DAY, ["telemetry"])],
        "later span": [(DAY, ["tags"])],
        "late copy": [(DAY, ["telemetry"])],
        "next day": [(DAY, ["telemetry"])],
        "far": [(DAY, ["telemetry"]), (DAYS[1], ["tags"])],
    }


def test_bots_are_marked_with_the_rule_that_they_break(lake: Lake) -> None:
    cases = ("says so", "once a bot", "hasty", "hurried", "flicking", "staring", "calm")
    marks = {
        case: (len(lake.of(case)), {(row["is_bot"], row["bot_rule"]) for row in lake.of(case)})
        for case in cases
    }
    assert marks == {
        "says so": (1, {(True, "agent")}),
        "once a bot": (1, {(False, None)}),
        "hasty": (BUSY + 1, {(True, "events_per_day")}),
        "hurried": (9, {(True, "events_per_minute")}),
        "flicking": (6, {(True, "pages_per_minute")}),
        "staring": (16, {(True, "pages_alone")}),
        "calm": (17, {(False, None)}),
    }


def test_who_did_not_agree_is_counted_without_any_id(lake: Lake) -> None:
    counted = [row for row in lake.good if row["subject"] == "nobody"]
    assert Counter((row["event_date"], tuple(row["sources"])) for row in counted) == {
        (DAY, ("telemetry",)): 2,
        (DAY, ("tags",)): 1,
    }
    ids = ("device", "user", "trace_id", "visit", "decision_id", "draw_id", "order_id")
    assert {tuple(row[name] for name in ids) for row in counted} == {(None,) * len(ids)}
    assert {(row["event_name"], row["page"], row["is_consented"]) for row in counted} == {
        ("page_view", "home", False)
    }
    assert [(row["event_date"], row["is_consented"]) for row in lake.of("refuses")] == [(DAYS[1], True)]
    for hidden in (user("refuser"), device("shared")):
        assert hidden[-16:] not in f"{lake.good} {lake.bad}"


def test_an_empty_day_is_no_row(spark: SparkSession, tmp_path: Path) -> None:
    empty = [file(put(tmp_path / "a.jsonl.gz", []), "telemetry"), file(put(tmp_path / "b", []), "tags")]
    assert build(spark, empty, [DAY]) == ([], [])


def test_days_at_once_give_the_rows_of_each_day_alone(spark: SparkSession, lake: Lake) -> None:
    alone = [build(spark, lake.files, [day]) for day in reversed(DAYS)]
    assert sorted((row for good, _ in alone for row in good), key=str) == sorted(lake.good, key=str)
    assert sorted((row for _, bad in alone for row in bad), key=str) == sorted(lake.bad, key=str)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), files=st.integers(1, 4))
def test_rows_do_not_depend_on_order_files_or_partitions(
    spark: SparkSession, tmp_path: Path, seed: int, files: int
) -> None:
    shuffled = random.Random(seed)
    spans = 2 * [message(view(f"d{n % 3}", n, NOON + n * SECOND)) for n in range(6)]
    hits = [
        # Two copies that differ: which one stands must not depend on which comes first.
        tag("page_view", f"{n:016x}", NOON + (n + 1) * SECOND, user_pseudo_id=f"d{n % 3}", user_id=who)
        for n in range(2, 8)
        for who in ("u1", "u2")
    ]
    shuffled.shuffle(spans)
    shuffled.shuffle(hits)
    folder = tmp_path / f"{seed}-{files}"
    found = [
        *[file(put(folder / f"w{n}", spans[n::files]), "telemetry", DAYS[n]) for n in range(files)],
        *[file(put(folder / f"t{n}", hits[n::files]), "tags") for n in range(files)],
    ]
    shuffled.shuffle(found)
    good, bad = build(spark, found, [DAY])
    assert bad == []
    lesser = min(user("u1"), user("u2"))
    both, at = ["tags", "telemetry"], NOON.replace(tzinfo=None)
    assert [(row["event_id"][:16], row["sources"], row["event_at"], row["user"]) for row in good] == [
        *[(f"{n:016x}", ["telemetry"], at + n * SECOND, None) for n in range(2)],
        *[(f"{n:016x}", both, at + n * SECOND, None) for n in range(2, 6)],
        *[(f"{n:016x}", ["tags"], at + (n + 1) * SECOND, lesser) for n in range(6, 8)],
    ]


def test_a_night_keeps_what_it_rejects_and_the_next_one_mends_the_day_before(
    spark: SparkSession, home: Path
) -> None:
    """Through the shell: the lake's folders in, tables out."""
    labels = {"theme": "popular", "core_theme": "personal", "intent": "discover"}
    labels |= dict.fromkeys(["size", "page_context"], "x")
    known = {"widget_id": "w", "kind": "banner", "pages": ["home"], "created_date": "2016-01-01", **labels}
    many = message(*[view("a", n) for n in range(60)], span("GET /", ID), span("scroll", ID))
    put(home / "lake" / "widgets" / "date=2017-08-19" / "widgets.jsonl", [known])
    for n, lines in enumerate([[many, "{"], [message(view("a", 99), view("b", 1, NOON + ONE))]]):
        put(home / "lake" / "telemetry" / "web" / f"date={DAYS[n]}" / "web-0.jsonl.gz", lines)
        put(home / "lake" / "tags" / f"date={DAYS[n]}" / "tags-0.jsonl.gz", [])
    late = home / "lake" / "telemetry" / "web" / f"date={DAYS[1]}"
    later = late.rename(home / "later")
    config = load()
    config = config.model_copy(update={"consent": ARGUMENTS["consent"]})
    (home / "lake" / "telemetry" / "web" / f"date={DAYS[1]}").mkdir()

    run_job(WIDGETS, Ask(date(2017, 8, 19), DAYS[0]), config, spark)
    first = run_job(events.JOB, Ask(DAYS[0], DAYS[1]), config, spark)
    assert (first.rows_out, first.rows_rejected, first.days) == (60, 1, [DAY])
    assert first.message == "2 spans of service web are no events"
    assert shell.describe(first).endswith(" s. 2 spans of service web are no events.")

    late.rmdir()
    later.rename(late)
    second = run_job(events.JOB, Ask(DAYS[1], DAYS[2]), config, spark)
    assert (second.rows_out, second.rows_rejected, second.days) == (62, 1, DAYS[:2])
    tables = Tables(config.tables)
    found = tables.read("events").to_pylist()
    assert Counter((row["event_date"], row["device"]) for row in found) == {
        (DAY, config_device(config, "a")): 61,
        (DAYS[1], config_device(config, "b")): 1,
    }
    told = tables.read("quarantine").to_pylist()
    assert [(row["table"], row["quarantine_date"], row["reason"], row["source_offset"]) for row in told] == [
        ("events", DAY, "line is not JSON", 2)
    ]
    assert told[0]["source_file"].endswith(f"telemetry/web/date={DAY}/web-0.jsonl.gz")

    tables.append("erasures", [{"subject": config_device(config, "b"), "changed_date": DAY}])
    third = run_job(events.JOB, Ask(DAYS[1], DAYS[2]), config, spark)
    assert (third.rows_out, third.rows_rejected) == (61, 2)
    assert {row["device"] for row in tables.read("events").to_pylist()} == {config_device(config, "a")}
    assert erased.REASON in {row["reason"] for row in tables.read("quarantine").to_pylist()}
    assert config_device(config, "b")[-16:] not in str(tables.read("quarantine").to_pylist())


def config_device(config: Config, raw: str) -> str:
    return pseudonym("device", raw, key=config.ids.key, key_id=config.ids.key_id)
