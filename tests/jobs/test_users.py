"""users: what arrived about a user on a day, under a pseudonym."""

from datetime import timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from jobs import users
from jobs.ids import pseudonym
from tests.jobs.sources.door import IDS, judged
from tests.jobs.sources.lake import DAY, file, listed, put
from tests.jobs.sources.test_otlp import USER

HEADER = (
    "user_id,role,sponsor_id,region,has_demographics,"
    "age,income,household_size,home_ownership,marital_status,kids"
)


def test_users_are_taken_over_and_wrong_ones_told(spark: SparkSession, tmp_path: Path) -> None:
    first = [
        HEADER,
        "u1,customer,u9,north,true,35-44,50-74K,2,Homeowner,Married,1",
        "u2,boss,,north,false,,,,,,",
        ",customer,,north,false,,,,,,",
        "u3,direct,,north,perhaps,35-44,,,,,",
        "u4,direct,,north,false,,,,,,",
        "u4,direct,,north,false,,,,,,",
        "u5,direct,,north,false,,,,,,",
        "u5,direct,,south,false,,,,,,",
        "u6,direct,u6,north,false,,,,,,",
    ]
    second = [
        f"{HEADER},is_deleted",
        "u1,consultant,,north,false,,,,,,,",
        "u5,direct,,south,false,,,,,,,true",
    ]
    files = listed(
        spark,
        file(put(tmp_path / "a.csv", first), "users"),
        file(put(tmp_path / "b.csv", second), "users", DAY + timedelta(1)),
    )
    built = users.build(files, ids=IDS, subject_buckets=2)
    good, bad = judged("users", built, [DAY, DAY + timedelta(1)])
    of = {raw: pseudonym("user", raw, key=IDS.key, key_id=IDS.key_id) for raw in ("u1", "u4", "u5", "u9")}
    nothing = dict.fromkeys(["age", "income", "household_size", "home_ownership", "marital_status", "kids"])
    mine = [row for row in good if row["subject"] == USER]
    assert mine == [
        {
            "subject": USER,
            "subject_bucket": int(USER[-4:], 16) % 2,
            "changed_date": DAY,
            "role": "customer",
            "sponsor": of["u9"],
            "region": "north",
            "has_demographics": True,
            "age": "35-44",
            "income": "50-74K",
            "household_size": "2",
            "home_ownership": "Homeowner",
            "marital_status": "Married",
            "kids": "1",
            "is_deleted": False,
        },
        {
            "subject": USER,
            "subject_bucket": int(USER[-4:], 16) % 2,
            "changed_date": DAY + timedelta(1),
            "role": "consultant",
            "sponsor": None,
            "region": "north",
            "has_demographics": False,
            "is_deleted": False,
            **nothing,
        },
    ]
    others = sorted(
        (row["changed_date"], row["region"], row["is_deleted"]) for row in good if row not in mine
    )
    assert others == [
        (DAY, "north", False),
        (DAY, "south", False),
        (DAY + timedelta(1), "south", True),
    ]
    assert {row["subject"] for row in good} == {of["u1"], of["u4"], of["u5"]}
    assert [(row["offset"], row["reason"]) for row in bad] == [
        (3, "a user needs a known role"),
        (4, "a user needs a subject"),
        (5, "column has_demographics is not of type boolean"),
        (8, "a later row of the same day replaces it"),
        (10, "a user must not sponsor itself"),
    ]
    assert "35-44" not in str(bad)
