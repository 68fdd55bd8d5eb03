"""Consent: of whom something may be kept and learned for the configured purpose, as of a day.

Who did not grant it is only counted: `events` keeps the row without any id, all that is personal leaves it
out.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Consent
from jobs.sources import changes


def with_consent(
    rows: DataFrame, consents: DataFrame, consent: Consent, *, subject: str, day: str
) -> DataFrame:
    """Add `is_consented`: the subject's newest answer as of the day, else conf's `consent.by_default`."""
    of_the_day = (
        (F.col(subject) == F.col("answered"))
        & (F.col(day) >= F.col("valid_from"))
        & (F.col(day) < F.col("valid_until"))
    )
    answered = rows.join(_answers(consents, consent), of_the_day, how="left")
    is_consented = F.coalesce("is_granted", F.lit(consent.by_default)).alias("is_consented")
    return answered.select(*rows.columns, is_consented)


def without_refusals(
    rows: DataFrame, consents: DataFrame, consent: Consent, *, subject: str, day: str
) -> DataFrame:
    """Leave out whose newest answer as of the day is a no: whoever has rows here said yes before."""
    refused = _answers(consents, consent).where(~F.col("is_granted"))
    of_the_day = (
        (F.col(subject) == F.col("answered"))
        & (F.col(day) >= F.col("valid_from"))
        & (F.col(day) < F.col("valid_until"))
    )
    return rows.join(refused, of_the_day, how="left_anti")


def _answers(consents: DataFrame, consent: Consent) -> DataFrame:
    asked = consents.where(F.col("purpose") == consent.purpose)
    return changes.valid(asked, "subject").select(
        F.col("subject").alias("answered"), "is_granted", "valid_from", "valid_until"
    )
