"""Consent: of whom something may be kept and learned for the configured purpose, as of a day.

Who did not grant it is only counted: `events` keeps the row without any id, all that is personal leaves it
out.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import Consent
from jobs.sources import changes

FEW = 500_000
"""Answers that each executor may hold, at a hundred bytes each."""


def with_consent(
    rows: DataFrame, consents: DataFrame, consent: Consent, *, subject: str, day: str, are_few: bool = False
) -> DataFrame:
    """Add `is_consented`: the subject's newest answer as of the day, else conf's `consent.by_default`.

    are_few: whether answers may go to every executor, so that rows need not go to them (`are_few`).
    """
    telling = _answers(consents, consent).where(_tells(consent))
    of_the_day = (
        (F.col(subject) == F.col("answered"))
        & (F.col(day) >= F.col("valid_from"))
        & (F.col(day) < F.col("valid_until"))
    )
    answers = F.broadcast(telling) if are_few else telling
    answered = rows.join(answers, of_the_day, how="left")
    is_consented = F.coalesce("is_granted", F.lit(consent.by_default)).alias("is_consented")
    return answered.select(*rows.columns, is_consented)


def are_few(consents: DataFrame, consent: Consent) -> bool:
    """Tell whether those who ever answered otherwise than by default are few: any number may answer so."""
    telling = consents.where((F.col("purpose") == consent.purpose) & _tells(consent))
    return telling.limit(FEW + 1).count() <= FEW


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


def _tells(consent: Consent) -> Column:
    """Whether an answer is another than the default, which needs no row."""
    return F.col("is_granted") != F.lit(consent.by_default)


def _answers(consents: DataFrame, consent: Consent) -> DataFrame:
    asked = consents.where(F.col("purpose") == consent.purpose)
    return changes.valid(asked, "subject").select(
        F.col("subject").alias("answered"), "is_granted", "valid_from", "valid_until"
    )
