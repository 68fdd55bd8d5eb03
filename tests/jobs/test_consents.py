"""consents: a user's answers, by the day they arrived, under a pseudonym."""

from datetime import datetime
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import consents
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put
from tests.jobs.sources.test_otlp import USER


def test_consents_are_taken_over_and_wrong_ones_told(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        "user_id,purpose,granted,changed_at",
        "u1,personalisation,true,2017-08-20T10:00:00Z",
        "u1,personalisation,false,2017-08-21T12:00:00+02:00",
        "u1,research,true,2017-08-21T10:00:00",
        "u1,research,false,2017-08-21T09:59:59Z",  # said before, though it stands below
        "u2,personalisation,,2017-08-21T10:00:00Z",
        ",personalisation,true,2017-08-21T10:00:00Z",
        "u3,personalisation,true,yesterday",
    ]
    files = listed(spark, file(put(tmp_path / "consents.csv", lines), "consents"))
    good, bad = judged("consents", consents.build(files, ids=IDS, subject_buckets=2), [DAY])
    shared = {
        "subject": USER,
        "subject_bucket": int(USER[-4:], 16) % 2,
        "changed_at": datetime.fromisoformat("2017-08-21T10:00:00"),
        "changed_date": DAY,
    }
    assert good == [
        {**shared, "purpose": "personalisation", "is_granted": False},
        {**shared, "purpose": "research", "is_granted": True},
    ]
    assert [(row["offset"], row["reason"]) for row in bad] == [
        (2, "a later row of the same day replaces it"),
        (5, "a later row of the same day replaces it"),
        (6, "a consent needs an answer"),
        (7, "a consent needs a subject"),
        (8, "column changed_at is not of type timestamp"),
    ]
