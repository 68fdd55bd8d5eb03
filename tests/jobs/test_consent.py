"""Consent as of a day, by the newest answer, else by default; of rows that are joined, and of arrays."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from jobs import consent
from jobs.config import Consent
from jobs.ids import pseudonym
from tests.jobs.given import table

DAY = date(2017, 8, 21)
CHANGES, AGREES, REFUSES, SILENT = (
    pseudonym("user", raw, key=b"k", key_id="k1") for raw in ("changes", "agrees", "refuses", "silent")
)
DAYS = [DAY + timedelta(n) for n in range(3)]
ANSWERS = [(CHANGES, 0, True), (CHANGES, 1, False), (AGREES, 1, True), (REFUSES, 0, False)]


@pytest.mark.parametrize("by_default", [False, True])
def test_the_newest_answer_as_of_a_day_counts(spark: SparkSession, *, by_default: bool) -> None:
    asked = Consent(purpose="personalisation", by_default=by_default)
    given = [
        {"subject": who, "changed_date": DAYS[n], "is_granted": yes, "purpose": "personalisation"}
        for who, n, yes in ANSWERS
    ]
    given.append({"subject": AGREES, "changed_date": DAY, "is_granted": not by_default, "purpose": "ads"})
    answers = table(spark, "consents", given)
    rows = spark.createDataFrame(
        [(who, day) for who in (CHANGES, AGREES, REFUSES, SILENT, None) for day in DAYS],
        "subject string, day date",
    )
    wanted = {
        CHANGES: [True, False, False],
        AGREES: [by_default, True, True],
        REFUSES: [False] * 3,
        SILENT: [by_default] * 3,
        None: [by_default] * 3,
    }
    wanted_of = {(who, day): yes for who, told in wanted.items() for day, yes in zip(DAYS, told, strict=True)}
    found = consent.with_consent(rows, answers, asked, subject="subject", day="day")
    assert {(row["subject"], row["day"]): row["is_consented"] for row in found.collect()} == wanted_of
    # The same of arrays, as tasks have them; of all days, or of some.
    for days in (DAYS, DAYS[1:2]):
        held = consent.answers(answers, asked, days)
        asked_of = [(who, day) for who, day in wanted_of if day in days]
        subjects = pa.array([who for who, _ in asked_of], pa.string())
        numbers = pa.array([day for _, day in asked_of]).cast(pa.int32()).to_numpy().astype(np.int64)
        assert held.granted(subjects, numbers).tolist() == [wanted_of[one] for one in asked_of]


def test_nobody_is_whom_no_answer_is_of() -> None:
    nought = np.array([0], np.uint64), np.array([0], np.int32), np.array([9], np.int32)
    held = consent.Answers(False, *nought)
    days = np.array([1, 1, 9], np.int64)
    assert held.granted(pa.array(["k1-" + 32 * "0", "nobody", None]), days).tolist() == [True, False, False]
