"""erasures: who asked to be forgotten, and that no job lets them in again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import erased, erasures, users
from jobs.config import load
from jobs.contracts import contract
from jobs.ids import pseudonym
from jobs.shell import Ask, run_job
from jobs.tables import Tables
from tests.jobs.given import event, rows, table
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put
from tests.jobs.test_users import HEADER

USER = {raw: pseudonym("user", raw, key=IDS.key, key_id=IDS.key_id) for raw in ("u1", "u2")}
DEVICE = pseudonym("device", "d1", key=IDS.key, key_id=IDS.key_id)
NOON = datetime(2017, 8, 21, 16, tzinfo=UTC)


def test_requests_are_taken_over_and_wrong_ones_told(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        {"user_id": "u1", "device_id": "d1", "asked_at": "2017-08-20T10:00:00Z"},
        {"user_id": "u1", "asked_at": "2017-08-20T09:00:00Z"},
        {"user_id": None, "asked_at": "2017-08-20T10:00:00Z"},
        {"user_id": "u2", "asked_at": "yesterday"},
    ]
    files = listed(spark, file(put(tmp_path / "a.jsonl", lines), "erasures"))
    good, bad = judged("erasures", erasures.build(files, ids=IDS, subject_buckets=2), [DAY])
    asked = datetime(2017, 8, 20, 10, tzinfo=UTC)
    assert sorted((row["subject"], row["asked_at"].astimezone(UTC)) for row in good) == sorted(
        [(USER["u1"], asked), (DEVICE, asked)]
    )
    assert [(row["offset"], row["reason"]) for row in bad] == [
        (2, "a later row of the same day replaces it"),
        (3, "an erasure needs a subject"),
        (4, "column asked_at is not of type timestamp"),
    ]


def test_rows_of_the_erased_are_turned_away_and_their_name_leaves_the_rows_of_others(
    spark: SparkSession,
) -> None:
    gone = table(spark, "erasures", [{"subject": USER["u1"]}, {"subject": DEVICE}]).select("subject")
    seen = [
        event("page_view", NOON, subject=USER["u1"], event_id="own"),
        event("page_view", NOON, subject=USER["u2"], device=DEVICE, event_id="device"),
        event("page_view", NOON, subject=USER["u2"], event_id="other"),
        event("page_view", NOON, subject="nobody", event_id="nobody"),
    ]
    built = erased.without(table(spark, "events", seen), contract("events"), gone)
    found = {row["event_id"]: row["_reason"] for row in rows(built)}
    assert found == {"own": erased.REASON, "device": erased.REASON, "other": None, "nobody": None}
    lists = [{"list_key": key} for key in (f"own:{USER['u1']}:TEA", f"own:{USER['u2']}:TEA", "trending")]
    built = erased.without(table(spark, "product_lists", lists), contract("product_lists"), gone)
    assert [row["_reason"] for row in rows(built, "list_key")].count(erased.REASON) == 1
    told = [{"subject": USER["u2"], "sponsor": USER["u1"]}, {"subject": USER["u1"], "sponsor": USER["u2"]}]
    built = erased.without(table(spark, "users", told), contract("users"), gone)
    assert {(row["subject"], row["sponsor"], row["_reason"]) for row in rows(built)} == {
        (USER["u2"], None, None),
        (USER["u1"], USER["u2"], erased.REASON),
    }


def test_who_asks_on_the_day_that_is_loaded_is_not_let_in(spark: SparkSession, home: Path) -> None:
    """Nor later; counts, as of quarantine, name nobody."""
    config = load().model_copy(update={"ids": IDS})
    asked = [{"user_id": "u1", "asked_at": "2017-08-21T09:00:00Z"}]
    put(home / f"lake/erasures/date={DAY}/a.jsonl", asked)
    people = [f"u{n},customer,u{3 - n},north,true,35-44,,,,," for n in (1, 2)]
    more = [f"v{n},customer,,north,false,,,,,," for n in range(30)]
    for day in (DAY, DAY + timedelta(1)):
        put(home / f"lake/users/date={day}/users.csv", [HEADER, *people, *more])
    ask = Ask(DAY, DAY + timedelta(2))
    for job in (erasures.JOB, users.JOB):
        run_job(job, ask, config, spark)
    tables = Tables(config.tables)
    found = tables.read("users").to_pylist()
    assert len(found) == 62
    assert {row["sponsor"] for row in found if row["subject"] == USER["u2"]} == {None}
    assert USER["u1"] not in str(found)
    refused = tables.read("quarantine").to_pylist()
    assert [row["reason"] for row in refused] == [erased.REASON] * 2
    assert USER["u1"] not in str(refused)
    assert "35-44" not in str(refused)
