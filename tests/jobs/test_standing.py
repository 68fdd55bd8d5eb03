"""What stands on a night: draws of earlier nights are what drawing everybody again would give."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs import layouts, runs, standing
from jobs.config import Page
from jobs.contracts import contract
from jobs.drawn_before import Drawn
from jobs.due import of_night
from jobs.merged import File
from jobs.standing_rows import batches
from jobs.tables import Tables
from tests.jobs.given import rows, table
from tests.jobs.test_layouts import HOME, LABELLED, START, built, features, on, subject_name

LEFT, CAME_BACK, PROMOTED = subject_name(5), subject_name(8), subject_name(3)
RULES = {"eligible": {"bakery": {"roles": ["consultant"]}}, "already_bought": {"days": 2}}
HOME_OF_TWO = {**HOME.model_dump(), "positions": 2, "rules": RULES}
PAGES = {"home": Page.model_validate(HOME_OF_TWO), "start": START}
DAYS = range(11, 21)
EVERY = frozenset(on(day) for day in DAYS)


def known() -> list[dict[str, Any]]:
    """Return features: one leaves, one was away, one gets another role; all bought dairy on day 17."""
    found = features(DAYS)
    for row in found:
        day = (row["feature_date"] - on(0)).days
        row["role"] = "consultant" if row["subject"] == PROMOTED and day == 20 else "direct"
        row["lately"] = {"lately/bought/dairy": float(day - 16)} if day >= 17 else {}
    return [row for row in found if not _is_away(row["subject"], (row["feature_date"] - on(0)).days)]


def _is_away(subject: str, day: int) -> bool:
    return (subject == LEFT and day == 20) or (subject == CAME_BACK and 14 <= day <= 18)


def drawn(spark: SparkSession, day: int, before: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """Draw a night that may lean on all nights given."""
    nights = {row["layout_date"] for row in before}
    may = more.pop("as_drawn", dict.fromkeys(nights, EVERY))
    more = {"pages": PAGES, "widgets": LABELLED, **more}
    with TemporaryDirectory() as folder:
        files: dict[int, list[File]] = {}
        ordered = sorted(before, key=lambda row: (row["layout_date"], row["subject_bucket"], row["subject"]))
        for (night, bucket), own in groupby(
            ordered, key=lambda row: (row["layout_date"], row["subject_bucket"])
        ):
            part = pa.Table.from_pylist(list(own), contract("layouts").arrow_schema)
            files.setdefault(bucket, []).append(File("layouts", night, f"{folder}/{night}-{bucket}.parquet"))
            pq.write_table(part, files[bucket][-1].path)
        leaning = Drawn(files, may) if may else None
        return built(spark, [day], features=known(), known=DAYS, layouts=before, drawn_before=leaning, **more)


@dataclass(frozen=True)
class Nights:
    """Rows of three nights that lean on those before; the third drawn whole, and as it stands."""

    table: list[dict[str, Any]]
    third: list[dict[str, Any]]
    whole: list[dict[str, Any]]
    stands: list[dict[str, Any]]
    told: list[dict[str, Any]]


@pytest.fixture(scope="module")
def nights(spark: SparkSession) -> Nights:
    found: list[dict[str, Any]] = []
    third: list[dict[str, Any]] = []
    told: list[dict[str, Any]] = []
    for day in (18, 19, 20):
        night = drawn(spark, day, found)
        told = [row for row in night if row.get("_skipped")]
        third = [_plain(row) for row in night if not row.get("_skipped")]
        found += third
    whole = [row for row in drawn(spark, 20, []) if row["widgets"]]
    stands = of_night(table(spark, "layouts", found), table(spark, "subject_features", known()), on(20))
    return Nights(found, third, whole, rows(stands, "scenario", "layout_date", "page", "subject"), told)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("_")}


def test_what_stands_is_what_drawing_everybody_would_give(nights: Nights) -> None:
    assert nights.stands == nights.whole


def test_half_of_the_night_stands_and_the_run_says_so(nights: Nights) -> None:
    of_subjects = [row for row in nights.whole if not layouts.is_default(row["subject"])]
    again = [row for row in nights.third if not layouts.is_default(row["subject"])]
    (told,) = nights.told
    assert told["_skipped"] == len(of_subjects) - len(again) == 11
    assert told["_reason"] == f"of {len(of_subjects)} layouts stand as they were drawn on an earlier night"


def test_a_new_epoch_another_role_and_an_end_of_a_filter_draw_anew(nights: Nights) -> None:
    def home(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {row["subject"]: row for row in found if row["page"] == "home"}

    before = home([row for row in nights.table if row["layout_date"] == on(18)])
    again, now = home(nights.third), home(nights.stands)
    assert "bakery" in again[PROMOTED]["candidates"]
    assert "bakery" not in before[PROMOTED]["candidates"]
    assert again[CAME_BACK]["drawn_date"] == on(20)
    assert LEFT in before
    assert LEFT not in now
    ended = [
        name for name, row in again.items() if before.get(name, {}).get("filtered") and not row["filtered"]
    ]
    assert ended
    assert all(again[name]["drawn_date"] == on(20) and "dairy" in again[name]["candidates"] for name in ended)
    quiet = [name for name, row in now.items() if name not in again and row["drawn_date"] <= on(18)]
    assert quiet
    assert all(now[name]["draw_id"] == before[name]["draw_id"] for name in quiet)


def test_other_terms_or_other_features_let_nothing_stand(spark: SparkSession, nights: Nights) -> None:
    before = [row for row in nights.table if row["layout_date"] < on(20)]
    warm = {"start": START.model_copy(update={"temperature": 0.3})}
    assert not [row for row in drawn(spark, 20, before, pages=warm) if row.get("_skipped")]
    late = drawn(spark, 20, before, as_drawn={on(19): frozenset({on(20)})})
    assert [_plain(row) for row in late if row["widgets"]] == nights.whole


def test_the_export_and_explanations_read_what_stands(nights: Nights, tmp_path: Path) -> None:
    tables = Tables(str(tmp_path))
    ordered = sorted(nights.table, key=lambda row: (row["subject"], row["page"]))
    tables.append("layouts", ordered)
    kept = ("subject", "subject_bucket", "feature_date")
    there = sorted(known(), key=lambda row: row["subject"])
    tables.append("subject_features", [{name: row[name] for name in kept} for row in there])
    columns = ("subject", "page", "draw_id", "widgets", "scores")
    versions = {name: tables.version(name) for name in ("layouts", "subject_features")}
    forgotten = pa.array([subject_name(2)])
    read = pa.Table.from_batches(batches(tables, on(20), versions, columns, forgotten)).to_pylist()
    kept_rows = (row for row in nights.whole if row["subject"] != subject_name(2))
    wanted = [{name: row[name] for name in columns} for row in kept_rows]
    assert sorted(read, key=lambda row: (row["page"], row["subject"])) == wanted
    assert standing.newest_night(tables) == on(20)
    assert standing.newest_night(tables, before=on(20)) == on(19)
    for subject in (subject_name(0), CAME_BACK, PROMOTED):
        own = standing.of_subject(tables, subject, on(20), ("draw_id",))
        assert sorted(row["draw_id"] for row in own) == sorted(
            row["draw_id"] for row in nights.whole if row["subject"] == subject
        )
    assert standing.of_subject(tables, LEFT, on(20), ("draw_id",)) == []


def test_a_page_that_is_gone_stands_no_more(spark: SparkSession, nights: Nights) -> None:
    alone = [row for row in nights.table if (row["page"], row["layout_date"]) != ("start", on(20))]
    stands = of_night(table(spark, "layouts", alone), table(spark, "subject_features", known()), on(20))
    assert {row["page"] for row in stands.select("page").distinct().collect()} == {"home"}


def run(job: str, days: list[int], inputs: dict[str, int], **more: Any) -> dict[str, Any]:
    """Return a row of `runs`."""
    made = runs.Run(
        f"{job}-{days}", job, None, on(days[0]), on(days[-1] + 1), "", datetime(2017, 9, 9, tzinfo=UTC)
    )
    made.days, made.inputs, made.status, made.output = [on(day) for day in days], inputs, "published", job
    made.output_version = more.pop("version", 1)
    return {**made.row(), **more}


def test_a_night_leans_on_those_whose_features_code_and_pseudonyms_are_as_they_were(tmp_path: Path) -> None:
    tables, features_of = Tables(str(tmp_path)), "subject_features"
    assert standing.as_drawn(tables, on(20), None) == {}
    tables.append("runs", [
        *(run(features_of, [day], {}, version=day) for day in range(10, 20)),
        run("layouts", [14], {features_of: 14}, code_version="another"),
        run("layouts", [15], {features_of: 15}),
        run("layouts", [17], {features_of: 18}),
        run("layouts", [17], {features_of: 17}),
        run(features_of, [16, 17], {}, version=30),
        run(features_of, [15], {}, version=40),
    ])  # fmt: skip
    before_late = {on(15): {*range(9, 16)}, on(17): {*range(11, 16)}}
    assert _days(standing.as_drawn(tables, on(20), 30)) == before_late
    assert _days(standing.as_drawn(tables, on(20), 40)) == {
        on(15): {*range(9, 15)}, on(17): {*range(11, 15)}
    }  # fmt: skip
    tables.append("runs", [run(runs.REKEY, [20], {}, started_at=datetime(2017, 9, 30, tzinfo=UTC))])
    assert standing.as_drawn(tables, on(20), 40) == {}


def _days(found: standing.AsDrawn) -> dict[date, set[int]]:
    return {night: {(day - on(0)).days for day in days} for night, days in found.items()}


def test_nights_that_lean_on_a_night_are_drawn_after_it_unless_they_were_served(spark: SparkSession) -> None:
    there = table(
        spark, "layouts", [
            {"layout_date": on(day), "scenario": scenario, "subject": "s", "page": "home"}
            for day, scenario in ((18, "live"), (19, "live"), (20, "backfill"), (21, "live"))
        ],
    )  # fmt: skip

    def named(days: list[int], **more: Any) -> list[date]:
        found = layouts.late(there, days=[on(day) for day in days], **more)
        return sorted(row["day"] for row in found.collect())

    assert named([18]) == [on(19), on(21)]
    assert named([18, 20], served_until=on(19)) == [on(21)]
    assert named([18], served_until=on(19)) == []
    assert named([18], scenario="what-if") == []


def test_what_stands_of_one_subject_is_found_whatever_its_bucket(tables: Tables) -> None:
    """Defaults lie in the first 64 buckets, and a larger shop has more."""
    drawn = {"scenario": "live", "page": "home", "widgets": ["bestsellers"]}
    mine = {"subject": "s", "subject_bucket": 200}
    night, before = on(20), on(19)
    default = {"subject": "default:home:03", "subject_bucket": 3, "layout_date": night, "draw_id": "default"}
    tables.append("layouts", [{**drawn, **mine, "layout_date": before, "draw_id": "mine"}])
    tables.append("layouts", [{**drawn, **default}])
    tables.append("subject_features", [{**mine, "feature_date": night}])
    found = standing.of_subject(tables, "s", night, ("draw_id",), {"subject_bucket": 200})
    assert [row["draw_id"] for row in found] == ["mine"]
