"""identities: one row per device, user and day on which the user was logged in on the device.

What a device did logged out belongs to the user of its next login, and counts for that user from the day of
that login on: before it, nobody knew. Each thing is so given to one user, once (`owners`), also where a
device is shared. A device's own rows stay its own. Bots log in as nobody.

Reads   events, of the interval
Writes  identities, partition login_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.shell import Days, Job
from jobs.sources import changes


def build(events: DataFrame, *, subject_buckets: int) -> DataFrame:
    """Find who was logged in on which device, from when to when."""
    known = F.col("device").isNotNull() & F.col("user").isNotNull() & ~F.coalesce("is_bot", F.lit(False))
    return (
        events.where(known)
        .groupBy("device", "user", F.col("event_date").alias("login_date"))
        .agg(
            F.min("event_at").alias("first_at"),
            F.max("event_at").alias("last_at"),
            F.count("*").cast("int").alias("events"),
        )
        .withColumn("subject_bucket", changes.bucket(F.col("device"), subject_buckets))
    )


def owners(rows: DataFrame, identities: DataFrame, *, day: str, within_days: int) -> DataFrame:
    """Give what devices did to the user of their next login: as `subject`, on `owned_date`, that login's day.

    rows: with `subject` and a day column; those of subjects that are no device, or log in too late, are left
    out. within_days: a login counts for what was done on its own day and so many days before it. As of the
    end of a day d, use what has `owned_date` up to d.
    """
    # Of two users on one day, the first to log in.
    first = F.min_by("user", F.struct("first_at", "user")).alias("user")
    logins = identities.groupBy(
        F.col("device").alias("subject"), F.col("login_date").alias("owned_date")
    ).agg(first)
    age = F.date_diff("owned_date", day)
    next_login = F.min(F.when((age >= 0) & (age <= within_days), F.struct("owned_date", "user")))
    days = rows.select("subject", day).distinct().join(logins, on="subject", how="inner")
    owned = days.groupBy("subject", day).agg(next_login.alias("owner")).where(F.col("owner").isNotNull())
    given = rows.join(owned, on=["subject", day], how="inner")
    return given.withColumns({"subject": F.col("owner.user"), "owned_date": F.col("owner.owned_date")}).drop(
        "owner"
    )


JOB = Job(build, reads=(Days("events"),), writes="identities")

if __name__ == "__main__":
    JOB.main()
