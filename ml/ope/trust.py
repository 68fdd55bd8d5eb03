"""Whether a log can be trusted to compare two policies; each doubt is a sentence.

Estimators contradict each other only where both have enough to say. One that weighs whole layouts, or long
prefixes of them, has weights w of mean 1 as any other; but n rows show that mean only from about
n = exp(KL(target ‖ log)) on (Chatterjee, Diaconis 2018: The sample size required in importance sampling),
and the divergence grows with each position. Below, nearly all w are about 0, and the few rows that would
carry the value were never drawn: they are missing in the mean and in the variance as well, so that the
estimator's interval is narrow and beside the truth. So its gap counts only where, of candidate and live
policy,

    (Σ w)² / Σ w²  is at least `effective_rows`, of rows at least `effective_share`, and of clusters' sums
                   at least `effective_clusters`,
    |mean w - 1|  is at most `weight_gap`, or 4 standard errors:

what the estimator that decides must have itself. Else it is not asked.
"""

from dataclasses import dataclass

from ml.ope.diagnostics import Weights
from ml.ope.evidence import Facts

BIASED = ("DM", "clipped IPS", "switch-DR", "DRos")
"""Estimators that trade bias for variance: a difference to them is no sign of a bad log."""


@dataclass(frozen=True)
class Limits:
    """What a log must have.

    Attributes
    ----------
    effective_rows, effective_share
        least effective sample size of either policy, in rows, and as a share of rows.
    effective_clusters
        the same of clusters' sums: many rows of three subjects are three subjects.
    largest_weight
        largest weight that a row may have.
    weight_gap
        how far a mean weight may be from 1 where that is no chance (4 standard errors).
    unsupported
        most of the candidate's probability that may lie on actions that were never logged.
    calibration
        p-value below which propensities are not believed.
    disagreement
        as a share of the live policy's value: estimators that differ by more, for sure (99.9 %), disagree.

    """

    effective_rows: float = 300.0
    effective_share: float = 0.01
    effective_clusters: float = 50.0
    largest_weight: float = 200.0
    weight_gap: float = 0.03
    unsupported: float = 0.01
    calibration: float = 1e-3
    disagreement: float = 0.05


def doubts(evidence: Facts, limits: Limits) -> list[str]:
    """Return why the log cannot be trusted; nothing if it can."""
    return [
        *_thin(evidence, limits),
        *_of_weights(evidence, limits),
        *_of_support(evidence, limits),
        *_of_calibration(evidence, limits),
        *_of_estimators(evidence, limits),
    ]


def longer(evidence: Facts, limits: Limits) -> float | None:
    """Return how many times as long a log would be thick enough; None where no length ends the doubts.

    A longer log is worth more rows, as long as weights stay as they are; it mends no propensity.
    """
    if doubts(evidence, limits) != _thin(evidence, limits):
        return None
    times = 1.0
    for weights in evidence.weights.values():
        worth = (weights.effective_rows, weights.effective_clusters)
        if weights.effective_share < limits.effective_share or min(worth) <= 0:
            return None
        times = max(times, limits.effective_rows / worth[0], limits.effective_clusters / worth[1])
    return times


def not_asked(evidence: Facts, limits: Limits) -> dict[str, float]:
    """Return the estimators whose own weights say too little to contradict, with the rows they are worth."""
    found = {}
    for name, by_policy in evidence.others.items():
        if any(_is_thin(each, limits) or _is_off(each, limits) for each in by_policy.values()):
            found[name] = min(each.effective_rows for each in by_policy.values())
    return found


def _is_thin(weights: Weights, limits: Limits) -> bool:
    return (
        weights.effective_rows < limits.effective_rows
        or weights.effective_share < limits.effective_share
        or weights.effective_clusters < limits.effective_clusters
    )


def _thin(evidence: Facts, limits: Limits) -> list[str]:
    found = []
    for policy, weights in evidence.weights.items():
        if weights.effective_rows < limits.effective_rows or weights.effective_share < limits.effective_share:
            found.append(
                f"the {weights.rows:,} rows are worth {weights.effective_rows:,.0f} {_of(policy)}'s own: "
                f"at least {limits.effective_rows:,.0f} and {limits.effective_share:.0%} are needed"
            )
        if weights.effective_clusters < limits.effective_clusters:
            found.append(
                f"their subjects are worth {weights.effective_clusters:,.0f} {_of(policy)}'s own: at least "
                f"{limits.effective_clusters:,.0f} are needed"
            )
    return found


def _of(policy: str) -> str:
    return f"of the {policy}" + (" policy" if policy == "live" else "")


def _of_weights(evidence: Facts, limits: Limits) -> list[str]:
    found = []
    for policy, weights in evidence.weights.items():
        of = _of(policy)
        if weights.largest > limits.largest_weight:
            found.append(
                f"one row counts {weights.largest:,.0f} times in the value {of}: "
                f"at most {limits.largest_weight:,.0f} times is allowed"
            )
        if _is_off(weights, limits):
            found.append(
                f"the mean weight {of} is {weights.mean:.3g}, not about 1: "
                "propensities are wrong, or it does what the log never does"
            )
    return found


def _of_support(evidence: Facts, limits: Limits) -> list[str]:
    share = sum(evidence.unsupported.values())
    if share <= limits.unsupported:
        return []
    actions = ", ".join(evidence.unsupported)
    return [f"{share:.1%} of what the candidate does was never logged ({actions}): nothing is known of it"]


def _of_calibration(evidence: Facts, limits: Limits) -> list[str]:
    worst = min(evidence.calibrations, key=lambda each: each.p_value, default=None)
    if worst is None or worst.p_value >= limits.calibration:
        return []
    times = f"{worst.ratio:.3g} times as often as they say (p {worst.p_value:.1g})"
    of = f"the propensities of logging policy {worst.policy} are not those it drew with"
    return [f"{of}: action {worst.action!r} was shown {times}"]


def _of_estimators(evidence: Facts, limits: Limits) -> list[str]:
    decides = evidence.intervals()
    main = next(iter(decides))
    silent = {*BIASED, *not_asked(evidence, limits)}
    allowed = limits.disagreement * abs(next(iter(evidence.live.values())))
    return [
        f"estimators disagree: {main} says {decides[main].value:+.4g} and"
        f" {name} says {decides[name].value:+.4g}"
        for name, gap in evidence.gaps(0.999).items()
        if name not in silent and (gap.lower > allowed or gap.upper < -allowed)
    ]


def _is_off(weights: Weights, limits: Limits) -> bool:
    return abs(weights.mean - 1) > max(limits.weight_gap, 4 * weights.mean_error)
