"""The live policy's refit of a night: may it be served, by how far it moved the policy's scores."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.live import Live
from jobs.releases import APPROVED, REFUSED
from ml.bandits import statistics


@dataclass(frozen=True)
class Served:
    """What the live spec's refit of a night comes to."""

    live: Live
    version: str | None
    verdict: str
    why: str
    change: float


def serves(
    fitted: Iterable[Mapping[str, Any]], spec: str, live: Live | None, version: str | None, most: float
) -> Served:
    """Say which version of the live spec readers see from a night on.

    Parameters
    ----------
    fitted
        the spec's rows of `policies`.
    spec, live
        its name, and what is live so far.
    version
        the newest that is fitted.
    most
        how far scores may move, in units of reward.

    """
    held = live.version if live else None
    rows = {row["policy_version"]: row for row in fitted}
    digest = next((row["spec_digest"] for row in rows.values()), live.digest if live else "")
    since = live.since if live else None
    if version is None or held is None or held not in rows or held == version:
        return Served(
            Live(spec, digest, since, version or held), version, APPROVED, "it is the live policy", 0.0
        )
    change = score_change(rows[held], rows[version])
    if change <= most:
        why = f"a refit of the live policy: its scores moved by {change:.3g}, and {most:.3g} is allowed"
        return Served(Live(spec, digest, since, version), version, APPROVED, why, change)
    why = (
        f"a refit of the live policy whose scores moved by {change:.3g}, more than the {most:.3g} that is"
        f" allowed: readers keep {held}"
    )
    return Served(Live(spec, digest, since, held), version, REFUSED, why, change)


def score_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Return the root mean square change of the arms' scores, over what they were seen in, in reward.

    With Δ the change of an arm's coefficients and C its covariance, C⁻¹ is λI + Σxxᵀ, so Δᵀ C⁻¹ Δ is what the
    scores changed by, squared and summed over all it was fitted on (and λ|Δ|², which only makes it larger).
    Arms that only one of the two knows count with all of their score. 0 for policies that learn nothing. What
    is scored for doubt (LinUCB's bonus, LinTS's spread) is not counted: it only falls as rows come.
    """
    if not len(after["covariance"] or ()):
        return 0.0
    one, other = (_arms(each) for each in (before, after))
    total, rows = 0.0, 0
    for widget in sorted(one.keys() | other.keys()):
        count, theta, covariance = other.get(widget) or one[widget]
        moved = theta - one[widget][1] if widget in one and widget in other else theta
        total += float(moved @ np.linalg.solve(covariance, moved)) if count else 0.0
        rows += count
    return float(np.sqrt(max(total, 0.0) / max(rows, 1)))


def _arms(row: Mapping[str, Any]) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
    """Return by arm its rows, coefficients and their covariance."""
    width = len(row["theta"]) // max(len(row["widgets"]), 1)
    theta = np.asarray(row["theta"], dtype=np.float64).reshape(-1, width)
    packed = np.asarray(row["covariance"], dtype=np.float64).reshape(len(theta), -1)
    parts = zip(map(int, row["n"]), theta, statistics.unpack(packed, width), strict=True)
    return dict(zip(row["widgets"], parts, strict=True))
