"""Consent as of a day, by the newest answer, the default where nobody answered; joined either way alike."""

from datetime import date, timedelta

import pytest
from pyspark.sql import SparkSession

from jobs import consent
from jobs.config import Consent
from tests.jobs.given import table

DAY = date(2017, 8, 21)
DAYS = [DAY + timedelta(n) for n in range(3)]
ANSWERS = [("changes", 0, True), ("changes", 1, False), ("agrees", 1, True), ("refuses", 0, False)]


@pytest.mark.parametrize("by_default", [False, True])
def test_the_newest_answer_as_of_a_day_counts(spark: SparkSession, *, by_default: bool) -> None:
    asked = Consent(purpose="personalisation", by_default=by_default)
    given = [
        {"subject": who, "changed_date": DAYS[n], "is_granted": yes, "purpose": "personalisation"}
        for who, n, yes in ANSWERS
    ]
    given.append({"subject": "agrees", "changed_date": DAY, "is_granted": not by_default, "purpose": "ads"})
    answers = table(spark, "consents", given)
    rows = spark.createDataFrame(
        [(who, day) for who in ("changes", "agrees", "refuses", "silent", None) for day in DAYS],
        "subject string, day date",
    )
    wanted = {
        "changes": [True, False, False],
        "agrees": [by_default, True, True],
        "refuses": [False] * 3,
        "silent": [by_default] * 3,
        None: [by_default] * 3,
    }
    for are_few in (False, True):
        found = consent.with_consent(rows, answers, asked, subject="subject", day="day", are_few=are_few)
        by_row = {(row["subject"], row["day"]): row["is_consented"] for row in found.collect()}
        assert by_row == {
            (who, day): yes for who, told in wanted.items() for day, yes in zip(DAYS, told, strict=True)
        }


def test_answers_are_few_by_those_that_differ_from_the_default(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent, "FEW", 1)
    told = [
        {"subject": f"s{n}", "changed_date": DAY, "is_granted": yes, "purpose": "personalisation"}
        for n, yes in enumerate((True, True, False))
    ]
    answers = table(spark, "consents", told)
    assert consent.are_few(answers, Consent(purpose="personalisation", by_default=True))
    assert not consent.are_few(answers, Consent(purpose="personalisation", by_default=False))
    assert consent.are_few(answers, Consent(purpose="ads", by_default=False))
