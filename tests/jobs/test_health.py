"""`vitrine health`: rows, freshness by contract, the last run's words, and quarantine by reason."""

from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

from rich.console import Console

from jobs import health, runs
from jobs.runs import Run
from jobs.tables import Tables

NIGHT = date(2017, 9, 10)


def ran(tables: Tables, job: str, status: str, message: str, hour: int) -> None:
    at = datetime(2017, 9, 11, hour, tzinfo=UTC)
    run = Run(
        f"{job}-{hour}", job, None, NIGHT, NIGHT + timedelta(1), "c", at, status=status, message=message
    )
    runs.record(tables, run)


def test_what_is_stale_or_stopped_is_not_well(home: Path) -> None:
    tables = Tables(str(home / "tables"))
    assert health.last_night(tables) is None
    tables.append("orders", [{"order_id": f"{n}", "order_date": NIGHT - timedelta(n)} for n in (1, 2)])
    tables.append(
        "sessions", [{"session_id": "s", "session_date": NIGHT - timedelta(2), "subject_bucket": 0}]
    )
    tables.append("users", [{"subject": "u", "changed_date": date(2017, 1, 1)}])
    tables.append("outcomes", [{"outcome_id": "o", "outcome_date": NIGHT, "subject_bucket": 0}])
    away = [
        ("orders", "no time", 0),
        ("orders", "no time", 6),
        ("events", "not JSON", 1),
        ("events", "old", 7),
    ]
    tables.append(
        "quarantine",
        [
            {"table": table, "reason": why, "quarantine_date": NIGHT - timedelta(ago), "run_id": "r"}
            for table, why, ago in away
        ],
    )
    ran(tables, "outcomes", "published", "", 3)
    ran(tables, "outcomes", "stopped", "'the key is unique' measured 1", 4)
    ran(tables, "orders", "published", "warning: few", 3)

    night = health.last_night(tables)
    assert night == NIGHT
    found = {one.table: one for one in health.health(tables, night)}
    assert {name: (one.rows, one.behind, one.is_well) for name, one in found.items() if name != "runs"} == {
        "orders": (2, 1, True),
        "outcomes": (1, 0, False),
        "quarantine": (4, 0, True),
        "sessions": (1, 2, False),
        "users": (1, (NIGHT - date(2017, 1, 1)).days, True),
    }
    assert (found["orders"].status, found["orders"].message) == ("published", "warning: few")
    assert health.turned_away(tables, night) == [("orders", "no time", 2), ("events", "not JSON", 1)]
    text = StringIO()
    assert not health.show(tables, night, Console(file=text, width=160))
    assert "sessions !" in text.getvalue()
    assert "'the key is unique' measured 1" in text.getvalue()
