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
    Arms that only one of the two knows count with all of their score. 0 for policies that learn nothing.
    """
    one, other = (dict(zip(each["widgets"], _arms(each), strict=True)) for each in (before, after))
    counts = dict(zip(after["widgets"], after["n"], strict=True))
    width = len(after["theta"]) // max(len(after["widgets"]), 1)
    if not len(after["covariance"] or ()):
        return 0.0
    packed = np.asarray(after["covariance"], dtype=np.float64).reshape(len(after["widgets"]), -1)
    covariances = statistics.unpack(packed, width)
    total = 0.0
    for widget, covariance in zip(after["widgets"], covariances, strict=True):
        moved = other[widget] - one.get(widget, np.zeros(width))
        total += float(moved @ np.linalg.solve(covariance, moved)) if counts[widget] else 0.0
    return float(np.sqrt(max(total, 0.0) / max(sum(counts.values()), 1)))


def _arms(row: Mapping[str, Any]) -> np.ndarray:
    theta = np.asarray(row["theta"], dtype=np.float64)
    return theta.reshape(len(row["widgets"]), -1)
