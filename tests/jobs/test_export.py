"""export: from the tables to a generation of the store and its row in `exports`."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from jobs import runs
from jobs.config import ConfigError, Page, load
from jobs.export import READS, ExportError, run, run_export
from jobs.flag_specs import FlagSpec
from jobs.publish import Stopped
from jobs.shell import Ask
from jobs.store import Store
from jobs.store.flags import Flags
from jobs.tables import Tables
from tests.store import given as nights
from tests.store.given import DAY, subject

AT = datetime(2017, 12, 31, 8, tzinfo=UTC)


@pytest.fixture
def config(home):
    return load()


@pytest.fixture
def tables(config):
    """Return tables with one night: ten subjects, of whom a scenario has other layouts."""
    made = Tables(config.tables)
    night(made, DAY, nights.layouts(range(10)))
    night(made, DAY, nights.layouts(range(10), dict.fromkeys(range(10), 9)), scenario="replay", lists=False)
    products = [{"product_id": str(n), "name": f"Product {n}", "category": "CHEESE"} for n in range(5)]
    made.append("products", [{**row, "changed_date": date(2017, 1, 1)} for row in products])
    made.append(
        "products",
        [
            {**products[0], "name": "Renamed", "changed_date": DAY},
            {**products[1], "is_deleted": True, "changed_date": DAY},
            {**products[2], "name": "Too late", "changed_date": DAY + timedelta(1)},
        ],
    )
    made.append("widgets", [{"widget": "category:1", "category": "CHEESE", "changed_date": date(2017, 1, 1)}])
    return made


def night(tables, day, rows, scenario="live", lists=True):
    """Add a night's layouts and lists."""
    of_night = {"layout_date": day, "subject_bucket": 0, "scenario": scenario}
    tables.append("layouts", [{**row, **of_night} for row in sorted(rows, key=lambda row: row["subject"])])
    if lists:
        tables.append("product_lists", [{**row, "list_date": day} for row in nights.lists(range(10))])


def versions(tables):
    return {name: tables.version(name) for name in READS}


def test_a_night_is_exported_and_noted(config, tables):
    done = run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    assert (done.outcome, done.live.layouts) == ("exported", 20)
    rows = tables.read("exports").to_pylist()
    maps = ("rewards", "moved")
    assert [row | {name: dict(row[name]) for name in maps} for row in rows] == [done.row()]
    assert (rows[0]["generation"], rows[0]["verified"], rows[0]["run_id"]) == (1, True, "r1")
    assert rows[0]["valid_until"] == datetime(2018, 1, 3, 5, tzinfo=UTC)


def test_nobody_who_asked_to_be_forgotten_is_exported(config, tables):
    pinned = versions(tables)
    tables.append("erasures", [{"subject": subject(4), "changed_date": DAY + timedelta(1)}])
    done = run(config, tables, DAY, versions=pinned, run_id="r1", at=AT)
    store = Store.open(config.store_url, clock="generation")
    assert done.live.layouts == 18
    assert not [key for key, _ in store.generation().colour.pairs() if subject(4).encode() in key]
    assert store.get(subject(4), "home").freshness == "fallback"


def test_readers_get_the_live_rows_and_products_as_of_the_night(config, tables):
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    store = Store.open(config.store_url, clock="generation")
    found = store.get(subject(4), "home")
    assert found.draw_id == nights.layout(subject(4), "home")["draw_id"]
    names = {key: store.generation().colour.get(f"product:{key}".encode()) for key in range(4)}
    assert [b"Renamed" in names[0], names[1], b"Product 2" in names[2]] == [True, None, True]


def test_a_rerun_confirms_and_adds_no_row(config, tables):
    first = run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    again = run(config, tables, DAY, versions=versions(tables), run_id="r2", at=AT + timedelta(hours=1))
    assert (again.outcome, again.live) == ("unchanged", first.live)
    assert len(tables.read("exports")) == 1


def test_a_rerun_after_a_crash_behind_the_flip_adds_the_row(config, tables, monkeypatch):
    def die(step):
        if step == "flipped":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT, step=die)
    assert len(tables.read("exports")) == 0
    again = run(config, tables, DAY, versions=versions(tables), run_id="r2", at=AT)
    assert again.outcome == "unchanged"
    assert tables.read("exports")["run_id"].to_pylist() == ["r1"]


def test_older_nights_and_other_inputs_of_the_live_night_export_nothing(config, tables):
    later = DAY + timedelta(1)
    night(tables, later, nights.layouts(range(10), {3: 1}))
    done = run(config, tables, later, versions=versions(tables), run_id="r1", at=AT)
    older = run(config, tables, DAY, versions=versions(tables), run_id="r2", at=AT)
    night(tables, later, nights.layouts([77])[:1], lists=False)
    other = run(config, tables, later, versions=versions(tables), run_id="r3", at=AT)
    assert [older.outcome, other.outcome] == ["older", "other_inputs"]
    assert older.live == other.live == done.live
    assert tables.read("exports")["layout_date"].to_pylist() == [later]


def test_pinned_versions_are_what_is_read(config, tables):
    pinned = versions(tables)
    night(tables, DAY, nights.layouts([77])[:1], lists=False)
    assert run(config, tables, DAY, versions=pinned, run_id="r1", at=AT).live.layouts == 20


def test_a_lost_store_is_made_anew_under_a_number_of_its_own(config, tables):
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    moved = config.model_copy(update={"store": config.store.model_copy(update={"url": "lmdb:elsewhere"})})
    done = run(moved, tables, DAY, versions=versions(tables), run_id="r2", at=AT)
    assert (done.outcome, done.live.generation) == ("exported", 2)
    assert replace(done.live, generation=1, run_id="r1") == Store.open(config.store_url).generation().pointer


def test_a_night_that_lacks_something_says_what_to_run(config, tables):
    night(tables, DAY + timedelta(1), [])
    night(tables, DAY + timedelta(2), nights.layouts(range(3)), lists=False)
    says = {
        DAY + timedelta(1): "layouts has no live row of 2017-12-31; run the layouts job",
        DAY + timedelta(2): "product_lists has no list of 2018-01-01; run that job",
    }
    for day, sentence in says.items():
        with pytest.raises(ExportError, match=sentence):
            run(config, tables, day, versions=versions(tables), run_id="r1", at=AT)
    assert len(tables.read("exports")) == 0


def test_a_run_of_the_job_leaves_its_manifest(config, tables):
    ask = Ask(DAY - timedelta(2), DAY + timedelta(1))
    first, again = run_export(ask, config), run_export(ask, config)
    assert [(made.status, made.rows_out) for made in (first, again)] == [("published", 20), ("unchanged", 0)]
    kept = runs.of_job(tables, "export")
    assert [row["run_id"] for row in kept] == [first.run_id, again.run_id]
    assert kept[0]["inputs"] == {
        name: version for name, version in versions(tables).items() if version is not None
    }
    assert (
        kept[0]["content_digest"] == kept[1]["content_digest"] == tables.read("exports")["digest"][0].as_py()
    )
    assert "already holds just this" in kept[1]["message"]
    assert runs.is_ready(tables, "export", ask.days)


def test_a_generation_beyond_its_bounds_leaves_a_row_and_a_person_may_accept_it(config, tables):
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    later = DAY + timedelta(1)
    night(tables, later, nights.layouts(range(7, 10)))
    ask = Ask(later, later + timedelta(1))
    for _ in range(2):
        with pytest.raises(Stopped, match="7 of 10 subjects have no layout any more"):
            run_export(ask, config)
    rows = tables.read("exports").sort_by("generation").to_pylist()
    assert [(row["generation"], row["verified"]) for row in rows] == [(1, True), (2, False)]
    assert "7 of 10 subjects" in rows[1]["why"]
    assert Store.open(config.store_url).generation().pointer.generation == 1

    accepted = config.with_arguments("export", {"accept": "the old shop was closed"}, ["accept"])
    assert run_export(ask, accepted).status == "published"
    last = tables.read("exports").sort_by("generation").to_pylist()[-1]
    assert (last["generation"], last["verified"]) == (3, True)
    assert last["why"].startswith("accepted: the old shop was closed; on page home 7 of 10")
    with pytest.raises(ConfigError, match="export has no argument acept"):
        run_export(ask, config.with_arguments("export", {"acept": "a slip"}, ["acept"]))


def test_a_fresh_shops_second_night_is_shown_though_all_of_it_is_others(config, tables):
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    later = DAY + timedelta(1)
    night(tables, later, nights.layouts(range(10), dict.fromkeys(range(10), 3)))
    done = run(config, tables, later, versions=versions(tables), run_id="r2", at=AT)
    assert done.outcome == "exported"
    assert done.row()["why"].startswith(
        "on page home 10 of 10 layouts are others than the night before, more than 90%, as they may: it has"
        f" been drawn by its terms for 1 night only, and late data rebuilds the last {config.late_days} days"
    )


def test_a_page_that_got_rules_may_be_wholly_other(config, tables):
    config = config.model_copy(update={"late_days": 0})
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    later = DAY + timedelta(1)
    night(tables, later, nights.layouts(range(10), dict.fromkeys(range(10), 3)))
    with pytest.raises(ExportError, match="on page home 10 of 10 layouts are others") as no:
        run(config, tables, later, versions=versions(tables), run_id="r2", at=AT)
    assert "on page start 10 of 10" in str(no.value)

    rules = {"pins": {1: "trending"}, "caps": {"grocery": 2}, "eligible": {"new": {"roles": ["direct"]}}}
    steered = {
        name: Page.model_validate(config.pages[name].model_dump() | {"rules": told})
        for name, told in (("home", rules), ("start", {}))
    }
    under_rules = config.model_copy(update={"pages": config.pages | steered})
    done = run(under_rules, tables, later, versions=versions(tables), run_id="r3", at=AT)
    home, start = done.row()["why"].split("; ")
    page = config.pages["home"]
    ours = f"{page.positions} positions, temperature {page.temperature:g}, floor {page.floor:g}"
    assert home == (
        f"page home has another rules: {ours}, caps {{grocery: 2}}, eligible {{new: {{roles: [direct]}}}},"
        f" pins {{1: trending}} instead of {ours}"
    )
    assert "rules that say nothing instead of" in start


def test_a_run_that_stops_says_why_and_leaves_a_row(config, tables):
    with pytest.raises(Stopped, match="product_lists has no list"):
        run_export(Ask(DAY + timedelta(5), DAY + timedelta(6)), config)
    assert [row["status"] for row in runs.of_job(tables, "export")] == ["stopped"]


def test_flags_are_decided_by_role_and_the_newest_segments(config, tables):
    rules = [{"roles": ["recruiter"], "version": "b"}, {"segments": ["rfm: loyal"], "version": "c"}]
    flag = FlagSpec(versions=["a", "b", "c"], default="a", rules=rules)
    config = config.model_copy(update={"flags": {"hero": flag}})
    roles = {0: "recruiter", 1: "recruiter", 2: "customer", 3: None, 4: None}
    features = [{"subject": subject(n), "role": role, "feature_date": DAY} for n, role in roles.items()]
    by_subject = sorted(features, key=lambda row: row["subject"])
    tables.append("subject_features", [{**row, "subject_bucket": 0} for row in by_subject])
    named = [
        (2, DAY - timedelta(1), "loyal"),
        (3, DAY - timedelta(1), "lost"),
        (4, DAY - timedelta(2), "loyal"),
    ]
    tables.append(
        "segments",
        [{"subject": subject(n), "as_of_date": day, "subject_bucket": 0, "segmentation": "rfm", "name": name}
         for n, day, name in named],
    )  # fmt: skip
    tables.append("erasures", [{"subject": subject(1), "changed_date": DAY}])
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    store = Store.open(config.store_url, clock="generation")
    assert [Flags(store).get("hero", subject(n)).version for n in range(5)] == ["b", "a", "c", "a", "a"]
    keys = [key for key, _ in store.generation().colour.pairs() if key.startswith(b"versions")]
    assert keys == sorted([b"versions", *(f"versions:{subject(n)}".encode() for n in (0, 2))])


def test_a_store_of_a_shop_without_flags_holds_none(config, tables):
    run(config, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    colour = Store.open(config.store_url, clock="generation").generation().colour
    assert not [key for key, _ in colour.pairs() if key.startswith(b"versions")]


def test_the_live_night_again_keeps_the_flags_that_readers_have(config, tables):
    rules = [{"roles": ["recruiter"], "version": "c"}]
    flag = FlagSpec(versions=["a", "b", "c"], default="a", rules=rules)
    before = config.model_copy(update={"flags": {"hero": flag}})
    row = {"subject": subject(2), "role": "recruiter", "feature_date": DAY, "subject_bucket": 0}
    tables.append("subject_features", [row])
    run(before, tables, DAY, versions=versions(tables), run_id="r1", at=AT)
    since = config.model_copy(update={"flags": {"hero": FlagSpec(versions=["a", "b"], default="b")}})
    done = run(since, tables, DAY, versions=versions(tables), run_id="r2", at=AT, again=True)
    assert (done.outcome, done.live.generation) == ("exported", 2)
    store = Store.open(config.store_url, clock="generation")
    assert [Flags(store).get("hero", subject(n)).version for n in (1, 2)] == ["a", "c"]
