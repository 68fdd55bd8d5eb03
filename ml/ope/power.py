"""What would tell: how long a log, and with how much exploration, would show a difference of two policies."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ml.ope.log import Floats
from ml.ope.sequence import Sequence, boundary

HORIZON_DAYS = 3650


@dataclass(frozen=True)
class Advice:
    """With a share of visits drawn from the candidate, so many days in all would tell; None if none would."""

    share: float
    days: int | None


def days_needed(
    effect: float, variance: float, rows_per_day: float, sequence: Sequence, *, power: float = 0.8
) -> int | None:
    """Return the days after which the lower bound exceeds the margin with this probability.

    n days' rows must satisfy n (effect - margin) ≥ boundary(n·variance) + z·√(n·variance); None when the
    effect does not exceed the margin, or not within ten years.

    Parameters
    ----------
    effect
        true difference in reward a row.
    variance
        of a row's difference, by cluster (`Look.variance`).
    rows_per_day
        how fast the log grows.
    sequence
        how it will be looked at.
    power
        probability to see it.

    """
    if effect <= sequence.margin or variance <= 0 or rows_per_day <= 0:
        return None
    scale, z = sequence.scale(variance), float(stats.norm.ppf(power))

    def is_enough(days: int) -> bool:
        rows = days * rows_per_day
        spread = rows * variance
        return bool(
            rows * (effect - sequence.margin) >= boundary(spread, scale, sequence.alpha) + z * np.sqrt(spread)
        )

    if not is_enough(HORIZON_DAYS):
        return None
    low, high = 0, HORIZON_DAYS  # not enough, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def variance_with(
    share: float, moved: Floats, errors: Floats, propensities: Floats, candidate: Floats
) -> float:
    """Return the variance of a row's corrected difference, had the candidate drawn a share of the rows.

    With mᵢ = (1 - share) pᵢ + share πᵢ the propensity of the mixture, E_m[(Δ e / m)²] = E_p[(Δ e)² / (m p)].

    Parameters
    ----------
    share
        of rows drawn from the candidate, 0 to 1.
    moved
        (n,) Δᵢ, candidate's less live policy's probability of the logged action.
    errors
        (n,) rᵢ - q̂(xᵢ, aᵢ); rᵢ without a model.
    propensities, candidate
        (n,) pᵢ of the logging policy and πᵢ of the candidate.

    """
    mixture = (1 - share) * propensities + share * candidate
    square = float(np.mean((moved * errors) ** 2 / (mixture * propensities)))
    mean = float(np.mean(moved * errors / propensities))
    return max(square - mean**2, 0.0)
