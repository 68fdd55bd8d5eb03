"""subject_vectors: daily sums over what a subject dealt with; a device's are its user's from the login on."""

from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs import subject_vectors
from jobs.config import ConfigError, Consent
from tests.jobs.given import rows, table

WEIGHTS = {"purchase": 4.0, "basket": 3.0, "detail": 1.0}


def day(number: int) -> date:
    return date(2017, 11, number)


def outcome(subject: str, on: int, kind: str, product: str | None) -> dict[str, Any]:
    return {"subject": subject, "outcome_date": day(on), "kind": kind, "product_id": product}


def build(
    spark: SparkSession, days: list[date], weights: dict[str, float] = WEIGHTS, within: int = 7
) -> DataFrame:
    told = [
        ("a0000", 3, "detail", "x"),
        ("a0000", 3, "detail", "x"),
        ("a0000", 3, "basket", "y"),
        ("a0000", 3, "order", "x"),
        ("a0000", 3, "detail", "nobody's"),
        ("a0000", 3, "detail", None),
        ("d0001", 3, "detail", "y"),
        ("d0001", 4, "basket", "x"),
        ("a0000", 5, "detail", "x"),
    ]
    outcomes = [outcome(*row) for row in told]
    lines = [{"subject": who, "order_date": day(3), "product_id": "y"} for who in ("b0001", "c0001")]
    refusals = [
        {"subject": "c0001", "purpose": "personalisation", "is_granted": False, "changed_date": day(1)}
    ]
    logins = [{"device": "d0001", "user": "a0000", "login_date": day(5)}]
    vectors = [
        {"product_id": "x", "changed_date": day(1), "version": "v1", "vector": [1.0, 0.0]},
        {"product_id": "x", "changed_date": day(4), "version": "v1", "vector": [0.5, 0.25]},
        {"product_id": "y", "changed_date": day(1), "version": "v1", "vector": [0.0, 1.0]},
    ]
    return subject_vectors.build(
        table(spark, "outcomes", outcomes),
        table(spark, "identities", logins),
        table(spark, "order_lines", lines),
        table(spark, "product_vectors", vectors),
        table(spark, "consents", refusals),
        days=days,
        weights=weights,
        owned_within_days=within,
        subject_buckets=2,
        consent=Consent(purpose="personalisation", by_default=True),
    )


def test_products_add_up_by_weight_as_of_their_day_and_a_device_s_at_login(spark: SparkSession) -> None:
    found = rows(build(spark, [day(3), day(4), day(5)]), "vector_date", "subject")
    told = [(row["subject"], row["vector_date"].day, row["weight"], row["sums"]) for row in found]
    assert told == [
        ("a0000", 3, 5.0, [2.0, 3.0]),
        ("b0001", 3, 4.0, [0.0, 4.0]),
        ("d0001", 3, 1.0, [0.0, 1.0]),
        ("d0001", 4, 3.0, [1.5, 0.75]),
        ("a0000", 5, 5.0, [0.5 + 1.5, 0.25 + 1.0 + 0.75]),
    ]
    assert [row["subject_bucket"] for row in found] == [0, 1, 1, 1, 0]


def test_weights_that_would_make_sums_inexact_are_refused(spark: SparkSession) -> None:
    for weights in ({"detail": 0.1}, {"glance": 1.0}, {"detail": -1.0}):
        with pytest.raises(ConfigError, match="a multiple of 1/4"):
            build(spark, [day(3)], weights)
    with pytest.raises(ConfigError, match="28 days are read"):
        build(spark, [day(3)], within=29)
