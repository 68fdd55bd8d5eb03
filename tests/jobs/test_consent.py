"""Consent as of a day, by the newest answer, else by default; of rows that are joined, and of arrays."""

import pickle
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
CHANGES, WAVERS, AGREES, REFUSES, SILENT = (
    pseudonym("user", raw, key=b"k", key_id="k1")
    for raw in ("changes", "wavers", "agrees", "refuses", "silent")
)
DAYS = [DAY + timedelta(n) for n in range(5)]
ANSWERS = [
    *((CHANGES, 0, True), (CHANGES, 1, False), (AGREES, 1, True), (REFUSES, 0, False)),
    *((WAVERS, n, n % 2 == 0) for n in range(4)),
]


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
        [(who, day) for who in (CHANGES, WAVERS, AGREES, REFUSES, SILENT, None) for day in DAYS],
        "subject string, day date",
    )
    wanted = {
        CHANGES: [True, *[False] * 4],
        WAVERS: [True, False, True, False, False],
        AGREES: [by_default, *[True] * 4],
        REFUSES: [False] * 5,
        SILENT: [by_default] * 5,
        None: [by_default] * 5,
    }
    wanted_of = {(who, day): yes for who, told in wanted.items() for day, yes in zip(DAYS, told, strict=True)}
    found = consent.with_consent(rows, answers, asked, subject="subject", day="day")
    assert {(row["subject"], row["day"]): row["is_consented"] for row in found.collect()} == wanted_of
    # The same of arrays, as tasks have them.
    held = pickle.loads(pickle.dumps(consent.answers(answers, asked)))
    numbers = pa.array([day for _, day in wanted_of]).cast(pa.int32()).to_numpy().astype(np.int64)
    subjects = pa.array([who for who, _ in wanted_of], pa.string())
    assert held.granted(subjects, numbers).tolist() == list(wanted_of.values())


def test_answers_travel_packed() -> None:
    rng, count = np.random.default_rng(0), 100_000
    tails = np.sort(rng.integers(0, 2**64, count, np.uint64))
    first, until = np.full(count, 17_000, np.int32), np.full(count, 2**31 - 1, np.int32)
    sent = pickle.dumps(consent.Answers(False, tails, first, until))
    assert len(sent) < 7 * count
    held = pickle.loads(sent)
    assert (held.by_default, held.tails.dtype, held.first.dtype) == (False, np.uint64, np.int32)
    for found, wanted in ((held.tails, tails), (held.first, first), (held.until, until)):
        np.testing.assert_array_equal(found, wanted)


def test_nobody_is_whom_no_answer_is_of() -> None:
    nought = np.array([0], np.uint64), np.array([0], np.int32), np.array([9], np.int32)
    held = consent.Answers(False, *nought)
    days = np.array([1, 1, 9], np.int64)
    assert held.granted(pa.array(["k1-" + 32 * "0", "nobody", None]), days).tolist() == [True, False, False]
