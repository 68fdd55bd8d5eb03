"""closings: what arrived about a sales period on a day; it may be moved or called off."""

from datetime import date, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import closings
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put


def test_closings_are_taken_over_and_wrong_ones_told(spark: SparkSession, tmp_path: Path) -> None:
    header, later = "closing_id,first_date,last_date", DAY + timedelta(1)
    first = [
        header,
        "2017-01,2017-01-02,2017-01-29",
        "2017-02,2017-02-26,2017-01-30",
        "2017-03,soon,2017-03-26",
    ]
    moved = [
        f"{header},is_deleted",
        "2017-01,2017-01-02,2017-01-30,false",
        "2017-04,2017-03-27,2017-04-23,true",
    ]
    files = listed(
        spark,
        file(put(tmp_path / "a.csv", first), "closings"),
        file(put(tmp_path / "b.csv", moved), "closings", later),
    )
    good, bad = judged("closings", closings.build(files, ids=IDS), [DAY, later])
    names = ("closing_id", "changed_date", "first_date", "last_date", "is_deleted")
    assert [tuple(row[name] for name in names) for row in good] == [
        ("2017-01", DAY, date(2017, 1, 2), date(2017, 1, 29), False),
        ("2017-01", later, date(2017, 1, 2), date(2017, 1, 30), False),
        ("2017-04", later, date(2017, 3, 27), date(2017, 4, 23), True),
    ]
    assert [(row["offset"], row["reason"]) for row in bad] == [
        (3, "a closing ends after it starts"),
        (4, "column first_date is not of type date"),
    ]
