"""champions: the newest yes as of a day is live; a model whose bytes changed is not used."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from jobs.champions import champion, model_of
from jobs.publish import Stopped
from ml.classify import digest_of
from ml.classify.last_period import Table
from tests.ml.classify.given import planted


def verdict(version: str, day: int, answer: str = "yes", hour: int = 1, **more: Any) -> dict[str, Any]:
    """Return a row of releases."""
    return {
        "kind": "model",
        "name": "churn",
        "version": version,
        "as_of_date": date(2017, 5, day),
        "verdict": answer,
        "decided_at": datetime(2017, 5, day, hour, tzinfo=UTC),
        **more,
    }


def test_the_newest_yes_as_of_a_day_is_live() -> None:
    rows = [
        verdict("a", 1),
        verdict("b", 8),
        verdict("c", 15, "no"),
        verdict("x", 16, name="other"),
        verdict("y", 16, kind="policy"),
        verdict("a", 8, hour=9, decided_by="ann"),
    ]
    assert champion(rows, "churn", date(2017, 4, 30)) is None
    assert champion(rows, "churn", date(2017, 5, 7)) == "a"
    # Rolled back by a person on the day b went live.
    assert champion(rows, "churn", date(2017, 5, 20)) == "a"
    assert champion(rows[:2], "churn", date(2017, 5, 20)) == "b"


def model_row(**more: Any) -> dict[str, Any]:
    """Return a row of models."""
    train = planted()
    data = Table.fit(train, columns=["kind"]).dump()
    return {
        "model_version": "churn@2017-05-01-abc",
        "name": "churn",
        "task": "labels",
        "algorithm": "last_period",
        "features": list(train.shape.features),
        "categories": ["kind"],
        "category_values": [("kind", ["cold", "hot", "mild"])],
        "classes": ["churn"],
        "calibration": ["platt"],
        "calibration_values": [[1.0, 1.0]],
        "model": data,
        "model_digest": digest_of(data),
        **more,
    }


def test_a_model_comes_back_from_its_row_calibrated() -> None:
    train = planted()
    plain = Table.fit(train, columns=["kind"]).predict(train.features, train.codes)
    found = model_of(model_row()).predict(train.features, train.codes)
    odds = plain / (1 - plain) * 2.718281828459045
    assert found == pytest.approx(odds / (1 + odds))


def test_a_tampered_model_is_refused() -> None:
    row = model_row()
    with pytest.raises(Stopped) as error:
        model_of({**row, "model": row["model"] + b" "})
    assert str(error.value) == (
        "churn@2017-05-01-abc cannot be used: the bytes of the model are not those that were kept: their"
        " digest differs. Roll back with `vitrine model rollback churn`, or train its closing again."
    )
