"""Nobody: who did not agree leaves no id, in the table or in quarantine."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs import event_parts, nobody
from jobs.consent import Answers
from jobs.contracts import contract
from jobs.ids import pseudonym
from jobs.sources import schemas
from jobs.staged_pieces import in_pieces

DAY = date(2017, 8, 21)
YES, NO = (pseudonym("user", raw, key=b"k", key_id="k1") for raw in ("yes", "no"))
SCHEMA = in_pieces(contract("events"))
BUCKETS = 5


def events(*cases: tuple[str | None, str | None]) -> pa.RecordBatch:
    """Return events of subjects with a reason, or none, each with all ids."""
    rows = [
        {
            **dict.fromkeys(nobody.IDS, "id"), "event_id": f"e{n}", "subject": who, "_reason": reason,
            "event_date": DAY, "_day": DAY,
        }
        for n, (who, reason) in enumerate(cases)
    ]  # fmt: skip
    return pa.RecordBatch.from_pylist(rows, schemas.arrow(event_parts.COLUMNS))


def told_apart(rows: pa.RecordBatch, *, by_default: bool = True) -> list[dict[str, Any]]:
    tail = NO if by_default else YES
    who = np.array([int(tail[-16:], 16)], np.uint64)
    days = [np.array([number], np.int32) for number in (0, 2**31 - 1)]
    return nobody.told_apart(rows, Answers(by_default, who, *days), BUCKETS, SCHEMA).to_pylist()


def test_quarantine_too_holds_no_id_of_who_did_not_agree() -> None:
    cases = ((YES, None), (YES, "r"), (None, "r"), (NO, None), (NO, "r"), ("nobody", None), (None, None))
    for by_default in (True, False):
        found = told_apart(events(*cases), by_default=by_default)
        known, hidden = found[:3], found[3:]
        assert [(row["event_id"], row["subject"]) for row in known] == [
            ("e0", YES),
            ("e1", YES),
            ("e2", None),
        ]
        assert {tuple(row[name] for name in nobody.IDS) for row in known} == {("id",) * 7}
        assert {tuple(row[name] for name in nobody.IDS) for row in hidden} == {(None,) * 7}
        assert {row["subject"] for row in hidden} == {"nobody"}
        assert len({row["event_id"] for row in hidden}) == 4
        assert all(row["event_id"].startswith("nobody-") for row in hidden)
        assert [row["is_consented"] for row in found[:2]] == [True, True]
        assert not any(row["is_consented"] for row in hidden)


def test_names_and_buckets_are_those_of_their_formula(spark: SparkSession) -> None:
    """What Spark says of the same columns: a rerun of an older day gives its rows."""
    found = told_apart(events(*[(who, None) for who in (YES, NO, NO, NO)]))
    by_hash = F.pmod(F.xxhash64("id"), F.lit(BUCKETS))
    hidden = F.concat(F.lit("nobody-"), F.sha2("id", 256).substr(1, 32))
    ids = spark.createDataFrame([(f"e{n}",) for n in (1, 2, 3)], "id string")
    wanted = [tuple(row) for row in ids.select(hidden, by_hash.cast("int")).collect()]
    assert [(row["event_id"], row["subject_bucket"]) for row in found[1:]] == wanted
    assert found[0]["subject_bucket"] == int(YES[-4:], 16) % BUCKETS


def test_events_are_placed_by_their_day_and_bucket() -> None:
    rows = pa.RecordBatch.from_pylist(
        [{"_day": date(1970, 1, 3), "subject_bucket": 4}, {"_day": date(1970, 1, 2)}], SCHEMA
    )
    assert [found.tolist() for found in nobody.by_bucket(rows)] == [[0, 1], [2, 1], [4, 0]]
