"""Rows for pages: runs, quarantine, verdicts, values, segments and models, small and by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

NIGHT = date(2017, 12, 30)
ODD = '<b>"it\'s"</b>'
AT = datetime(2017, 12, 31, 3, tzinfo=UTC)


def run(job: str, ago: int = 0, days: int = 1, **more: Any) -> dict[str, Any]:
    """Return a row of `runs` for the `days` that end so many nights ago."""
    end = NIGHT + timedelta(1 - ago)
    about = {
        "run_id": f"{job}-{end}",
        "job": job,
        "from_date": end - timedelta(days),
        "to_date": end,
        "rows_out": 100,
        "rows_rejected": 0,
        "status": "published",
        "message": "",
        "started_at": AT - timedelta(ago),
        "seconds": 10.0,
        "peak_mib": 512,
        "cpu_seconds": None,
        "engine_cpu_seconds": None,
    }
    return {**about, **more}


def policy(name: str, verdict: str, ago: int = 0, **details: str) -> dict[str, Any]:
    """Return a verdict on a policy of page home."""
    night = NIGHT - timedelta(ago)
    return {
        "kind": "policy",
        "name": name,
        "version": f"{name}@{night}",
        "as_of_date": night,
        "verdict": verdict,
        "why": f"because {ODD}; and more",
        "decided_by": "the gate",
        "decided_at": AT - timedelta(ago),
        "details": list({"page": "home", **details}.items()),
    }


def value(
    spec: str, amount: float, ago: int = 0, *, estimator: str = "IPS", days: int = 28
) -> dict[str, Any]:
    """Return what a policy of page home would earn, or earned, over the days that end so many nights ago."""
    night = NIGHT - timedelta(ago)
    return {
        "as_of_date": night,
        "first_date": night - timedelta(days - 1),
        "page": "home",
        "spec": spec,
        "estimator": estimator,
        "goal": "reward",
        "audience": "everyone",
        "value": amount,
        "lower": amount - 0.1,
        "upper": amount + 0.1,
        "error": 0.05,
        "servings": 1000,
    }
