"""rekey: tables and the store end as if the new key had made them; killed, it goes on."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from jobs import export, raw_ids, rekey, rotation, runs, shell, sweep
from jobs.config import Config, ConfigError, Ids, load
from jobs.contracts import all_tables, contract
from jobs.ids import pseudonym, subject_bucket
from jobs.publish import Stopped
from jobs.shell import Ask
from jobs.store import Store
from jobs.tables import Tables
from tests.jobs.sources.lake import DAY, message, put, span, tag
from tests.jobs.test_users import HEADER
from tests.store import given as nights

NEXT = DAY + timedelta(1)
OLD, NEW = Ids(key_id="k1", demo_key="old"), Ids(key_id="k2", before="k1", demo_key="new")
Of = Callable[[str], str]


def of_key(ids: Ids, *, known: bool = True) -> Of:
    """Return what names d1, d2 or u1, u2, …; u9 is nowhere in the lake, and keeps its first name."""

    def of(raw: str) -> str:
        own = OLD if raw == "u9" and known else ids
        kind = "device" if raw[0] == "d" else "user"
        return pseudonym(kind, raw, key=own.key, key_id=own.key_id)

    return of


def given(of: Of) -> dict[str, list[dict[str, Any]]]:
    """Rows of every form in which a pseudonym is held."""
    told: dict[str, list[dict[str, Any]]] = {
        "erasures": [{"subject": of("u3"), "changed_date": DAY}],
        "users": [{"subject": of("u1"), "sponsor": of("u9"), "role": "customer", "changed_date": DAY},
                  {"subject": of("u9"), "sponsor": of("u2"), "role": "customer", "changed_date": NEXT},
                  {"subject": of("u2"), "sponsor": None, "role": "direct", "changed_date": NEXT}],
        "events": [{"event_id": f"00f067aa0ba902b7-{of('d1')[-16:]}", "subject": of("u1"), "device": of("d1"),
                    "user": of("u1"), "event_date": DAY},
                   {"event_id": f"nobody-{'ab' * 16}", "subject": "nobody", "event_date": DAY,
                    "subject_bucket": 1},
                   {"event_id": f"00f067aa0ba902b8-{of('u2')[-16:]}", "subject": of("u2"), "user": of("u2"),
                    "event_date": NEXT}],
        "product_lists": [{"list_key": f"own:{of('u1')}:TEA", "subject": of("u1"), "kind": "own",
                           "category": "TEA", "products": ["1", "2"], "list_date": NEXT}],
        "subject_features": [{"subject": of(f"u{n}"), "category1": "TEA", "feature_date": NEXT,
                              "features": [("visits", float(n))]} for n in (1, 2, 9)],
    }  # fmt: skip
    for name, rows in told.items():
        about = contract(name)
        owner = about.pseudonyms("own", "kept")[0]
        for row in rows if "subject_bucket" in about.columns else ():
            if "subject_bucket" not in row:
                row["subject_bucket"] = subject_bucket(row[owner], 2)
    served = [nights.layout(raw, "home") for raw in ("u1", "u2")]
    rows = [{**row, "subject": of(row["subject"])} for row in served]
    rows += [nights.layout(f"default:home:{n:02d}", "home") for n in range(64)]
    whose = {row["subject"]: subject_bucket(row["subject"], 2) for row in rows[:2]}
    told["layouts"] = [
        {**row, "layout_date": NEXT, "scenario": "live", "subject_bucket": whose.get(row["subject"], 0)}
        for row in sorted(rows, key=lambda row: row["subject"])
    ]
    told["subject_features"].sort(key=lambda row: row["subject"])
    told["product_lists"] += [{**row, "list_date": NEXT} for row in nights.lists()]
    return told


def write_lake(home: Path) -> None:
    """What the lake still has: u1 with d1 in telemetry, u2 with d2 in tags, u2 and u3 in files."""
    put(home / f"lake/telemetry/date={DAY}/a.jsonl.gz", [message(span("page.view", "00f067aa0ba902b7"))])
    hit = tag("page_view", "00f067aa0ba902b8", user_pseudo_id="d2", user_id="u2")
    put(home / f"lake/tags/date={NEXT}/a.jsonl", [hit])
    put(home / f"lake/users/date={DAY}/users.csv", [HEADER, "u1,customer,u2,north,true,35-44,,,,,"])
    put(home / f"lake/erasures/date={DAY}/a.jsonl", [{"user_id": "u3", "asked_at": "2017-08-21T09:00:00Z"}])


def content(tables: Tables, names: Any) -> dict[str, list[str]]:
    """Rows of tables, in any order, without what nobody gave."""
    return {name: lines(tables.read(name).to_pylist()) for name in names}


def lines(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str({key: value for key, value in row.items() if value is not None}) for row in rows)


@pytest.fixture
def made(home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, Tables]:
    """Tables and a live generation of the first key, and the configuration that changes it."""
    monkeypatch.delenv("VITRINE_ID_KEY", raising=False)
    monkeypatch.setenv("VITRINE_ID_KEY_BEFORE", "old")
    config = load().model_copy(update={"ids": OLD})
    tables = Tables(config.tables)
    for name, rows in given(of_key(OLD)).items():
        if name == "subject_features":  # made before its contract gained a column
            older = pa.Table.from_pylist(rows, schema=contract(name).arrow_schema).drop_columns(["vector"])
            write_deltalake(tables.path(name), older, partition_by=contract(name).partition_by)
        else:
            tables.append(name, rows)
    versions = {name: tables.version(name) for name in export.READS}
    export.run(config, tables, NEXT, versions=versions, run_id="r1", at=datetime(2017, 8, 23, tzinfo=UTC))
    write_lake(home)
    return config.model_copy(update={"ids": NEW}), tables


def test_killed_and_run_again_it_ends_as_if_the_new_key_had_made_it(
    spark: SparkSession, made: tuple[Config, Tables], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, tables = made
    runs.pin(tables, "d/1", ["users"], runs.now())
    publish, done = Tables.publish, []

    def killed(*args: Any, **more: Any) -> int:
        done.append(args[1])
        if len(done) == 3:
            raise KeyboardInterrupt
        return publish(*args, **more)

    monkeypatch.setattr(Tables, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        rekey.rekey(config, spark, days_at_once=1)
    monkeypatch.setattr(Tables, "publish", publish)
    with (
        pytest.raises(Stopped, match="key k1 are not yet those of k2: run `vitrine rekey` to its end"),
        shell.recorded("users", Ask(DAY, NEXT), config, {}),
    ):
        pytest.fail("a job ran on tables of two keys")
    told: list[str] = []
    found = rekey.rekey(config, spark, tell=told.append)

    wanted = given(of_key(NEW))
    assert content(tables, wanted) == {name: wanted_rows(name, rows) for name, rows in wanted.items()}
    assert {one.table: (one.days, one.unknown) for one in found} == {
        "erasures": (0, 0), "events": (1, 0),  # the rest of them was done before it was killed
        "layouts": (1, 0), "product_lists": (1, 0), "subject_features": (1, 1), "users": (2, 1),
    }  # fmt: skip
    assert "users: 2 days written anew; 1 pseudonyms are of no raw id in the lake" in told
    with shell.recorded("users", Ask(DAY, NEXT), config, {}) as run:
        run.status = "unchanged"
    with pytest.raises(runs.StalePin, match="d/1 pinned its tables before the key of pseudonyms changed"):
        runs.resolve(tables, ["users"], "d/1")

    store = Store.open(config.store_url, clock="generation")
    for raw in ("u1", "u2"):
        before, now = (store.get(of_key(ids)(raw), "home") for ids in (OLD, NEW))
        drawn = nights.layout(raw, "home")["draw_id"]
        assert (before.draw_id, before.freshness) == (now.draw_id, now.freshness) == (drawn, "fresh")
    pages = [store.page(of_key(ids)("u1"), "home").slots for ids in (OLD, NEW)]
    assert pages[0] == pages[1]
    assert store.generation().pointer.generation == 2

    sweep.sweep(config, NEXT, vacuum_hours=0)
    assert rotation.has_names(config)
    sweep.sweep(
        config.model_copy(update={"ids": NEW.model_copy(update={"before": None})}), NEXT, vacuum_hours=0
    )
    assert not rotation.has_names(config)
    assert not [path for path in Path(config.tables, "events").rglob("*.parquet") if "data/" not in str(path)]


def wanted_rows(name: str, rows: list[dict[str, Any]]) -> list[str]:
    return lines(pa.Table.from_pylist(rows, schema=contract(name).arrow_schema).to_pylist())


def test_who_is_nowhere_in_the_lake_may_go(
    spark: SparkSession, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the names are known already, as after a kill."""
    monkeypatch.delenv("VITRINE_ID_KEY", raising=False)
    config = load().model_copy(update={"ids": NEW})
    tables = Tables(config.tables)
    for name in ("erasures", "subject_features", "users"):
        tables.append(name, given(of_key(OLD))[name])
    pairs = [{"before": of_key(OLD)(raw), "now": of_key(NEW)(raw)} for raw in ("u1", "u2", "u3")]
    put(Path(rotation.names_path(config), rotation.COMPLETE), [])
    pq.write_table(pa.Table.from_pylist(pairs), Path(rotation.names_path(config), "part.parquet"))
    rekey.rekey(config, spark, drop_unknown=True)
    of = of_key(NEW)
    people = {row["subject"]: row["sponsor"] for row in tables.read("users").to_pylist()}
    assert people == {of("u1"): None, of("u2"): None}
    assert sorted(tables.read("subject_features")["subject"].to_pylist()) == sorted([of("u1"), of("u2")])
    assert tables.read("erasures")["subject"].to_pylist() == [of("u3")]


def test_every_source_of_raw_ids_is_read() -> None:
    """Else people whom only it names would keep their old pseudonyms."""
    from importlib import import_module

    from jobs.sources.records import Record

    tables = {source.table for source in load().sources.values() if source.form == "records"}
    found = {
        name
        for name in tables
        for one in vars(import_module(f"jobs.{name}")).values()
        if isinstance(one, Record) and any(field.id_of for field in one.fields)
    }
    assert found == set(raw_ids.RECORDS)


def test_every_id_of_a_person_is_marked() -> None:
    """A column named as one, or that says so, is renamed, erased and swept."""
    unmarked = {
        f"{name}.{column}"
        for name in all_tables()
        for column, about in contract(name).columns.items()
        if column in ("subject", "user", "device", "sponsor", "session_id", "event_id", "outcome_id")
        and (about.pseudonym is None or not about.personal)
    }
    assert unmarked == set()


def test_what_is_missing_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITRINE_ID_KEY", raising=False)
    monkeypatch.delenv("VITRINE_ID_KEY_BEFORE", raising=False)
    with pytest.raises(rekey.RekeyError, match="names no key to change from: set ids"):
        rekey.rekey(load().model_copy(update={"ids": OLD}), None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="pseudonyms of k1: set VITRINE_ID_KEY_BEFORE"):
        _ = NEW.key_before
    monkeypatch.setenv("VITRINE_ID_KEY_BEFORE", "new")
    with pytest.raises(ConfigError, match="the key has not changed"):
        _ = NEW.key_before
    with pytest.raises(ValueError, match="must name another key"):
        Ids(key_id="k1", before="k1")
