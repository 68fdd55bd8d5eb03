"""identities: who was logged in on a device, and whose what it did before is: known from the login on."""

from datetime import date
from typing import Any

from pyspark.sql import SparkSession

from jobs import identities
from tests.jobs.given import event, local, rows, table


def seen(device: str, user: str | None, at: str, **more: Any) -> dict[str, Any]:
    return event("page_view", local(at), subject=user or device, device=device, user=user, **more)


def test_a_login_is_a_device_a_user_and_a_day(spark: SparkSession) -> None:
    told = [
        seen("d0001", "u1", "2017-11-03 23:59:00"),
        seen("d0001", "u1", "2017-11-03 09:00:00"),
        seen("d0001", "u1", "2017-11-04 00:01:00"),
        seen("d0001", "u2", "2017-11-04 10:00:00"),
        seen("d0002", None, "2017-11-04 11:00:00"),
        seen("d0003", "u3", "2017-11-04 11:00:00", is_bot=True),
    ]
    found = rows(identities.build(table(spark, "events", told), subject_buckets=2), "login_date", "user")
    assert [(row["device"], row["user"], row["login_date"].day, row["events"]) for row in found] == [
        ("d0001", "u1", 3, 2),
        ("d0001", "u1", 4, 1),
        ("d0001", "u2", 4, 1),
    ]
    assert (found[0]["first_at"], found[0]["last_at"]) == (
        local("2017-11-03 09:00:00"),
        local("2017-11-03 23:59:00"),
    )
    assert {row["subject_bucket"] for row in found} == {1}


def test_what_a_device_did_is_the_next_user_s_from_the_login_on(spark: SparkSession) -> None:
    logins = [
        (device, user, date(2017, 11, day), local(f"2017-11-{day:02} {hour:02}:00:00"))
        for device, user, day, hour in [
            ("tablet", "ann", 3, 9),
            ("tablet", "bob", 10, 12),
            ("tablet", "ann", 10, 8),
            ("phone", "bob", 20, 9),
        ]
    ]
    names = ("device", "user", "login_date", "first_at")
    known = table(spark, "identities", [dict(zip(names, login, strict=True)) for login in logins])
    done = [("tablet", day) for day in (1, 3, 4, 10, 11)] + [("phone", 5), ("phone", 13), ("ann", 3)]
    frame = spark.createDataFrame(
        [(who, date(2017, 11, day)) for who, day in done], "subject string, day date"
    )
    found = identities.owners(frame, known, day="day", within_days=7)
    assert [
        (row["subject"], row["day"].day, row["owned_date"].day) for row in rows(found, "day", "subject")
    ] == [
        ("ann", 1, 3),
        ("ann", 3, 3),
        ("ann", 4, 10),  # both logged in that day: ann was first
        ("ann", 10, 10),
        ("bob", 13, 20),
    ]
