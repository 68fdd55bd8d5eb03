"""The rule by which a challenger becomes champion: evidence in, a verdict and its reasons in words out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Verdict = Literal["yes", "no", "cannot tell"]


@dataclass(frozen=True)
class Rules:
    """Bounds. margin and slice_fall are shares of the loss that is compared with."""

    margin: float
    stale_closings: int
    calibration: float
    slice_fall: float
    drift: float


@dataclass(frozen=True)
class Evidence:
    """What was measured on closings that neither model has seen.

    closing : last day of the closing it was trained after.
    against : the champion's version, or the plain baseline's name when there is none.
    has_champion : which of the two.
    champion_closing : last day of the champion's closing, of the newest champion there is.
    closings_since : closings since the champion's own.
    change : (value, low, high) of challenger's loss minus the other's, as a share of the other's; paired by
        subject; None when they could not be compared.
    calibration_error : the challenger's; None for what is no probability.
    slices : by role, region or segment, (value, low, high) of the same change.
    drift : by feature, PSI since the champion was trained.
    problem : a sentence, when the two could not be compared.
    """

    closing: date
    against: str
    has_champion: bool
    champion_closing: date | None = None
    closings_since: int = 0
    change: tuple[float, float, float] | None = None
    calibration_error: float | None = None
    slices: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    drift: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Decision:
    """A verdict, and why."""

    verdict: Verdict
    reasons: tuple[str, ...]

    @property
    def why(self) -> str:
        """The reasons as one text."""
        return " ".join(self.reasons)


def decide(evidence: Evidence, rules: Rules) -> Decision:
    """Return whether the challenger becomes champion.

    It does when it is better (the whole interval of the change lies below 0), or when it is not worse by more
    than the margin and the champion is older than so many closings; and then only when it is calibrated, no
    slice falls by more than the bound, and no feature has drifted by more than its bound.
    """
    if evidence.champion_closing and evidence.champion_closing > evidence.closing:
        told = (
            f"Its closing ended on {evidence.closing}, before the champion's ({evidence.champion_closing}):"
            " it is reported, and promotes nothing."
        )
        return Decision("no", (told,))
    if evidence.change is None:
        told = evidence.problem or "There is no closing that both models can be compared on."
        return Decision("cannot tell", (told,))
    verdict, told = _compared(evidence, rules)
    if verdict != "yes":
        return Decision(verdict, (told,))
    broken = _broken(evidence, rules)
    if broken:
        return Decision("no", (told, *broken))
    return Decision("yes", (told, _holds(evidence)))


def _compared(evidence: Evidence, rules: Rules) -> tuple[Verdict, str]:
    assert evidence.change is not None
    value, low, high = evidence.change
    told = f"loss {value:+.1%} against {evidence.against} (95 % interval {low:+.1%} to {high:+.1%})"
    if high < 0:
        return "yes", f"Better: {told}."
    if not evidence.has_champion:
        return ("no" if low > 0 else "cannot tell"), f"Not surely better than the plain baseline: {told}."
    if low > 0:
        return "no", f"Worse: {told}; the champion stays."
    if high > rules.margin:
        return "cannot tell", (
            f"Neither better nor surely as good: {told}, and up to {rules.margin:.1%} worse is allowed; the"
            " champion stays."
        )
    if evidence.closings_since > rules.stale_closings:
        return "yes", (
            f"As good: {told}; and the champion is {_old(evidence)}, more than {rules.stale_closings}."
        )
    return "no", (
        f"As good, not better: {told}; the champion is {_old(evidence)}, which is no"
        " reason to replace it, and stays."
    )


def _old(evidence: Evidence) -> str:
    return f"{evidence.closings_since} closing{'' if evidence.closings_since == 1 else 's'} old"


def _broken(evidence: Evidence, rules: Rules) -> list[str]:
    found = []
    if evidence.calibration_error is not None and evidence.calibration_error > rules.calibration:
        found.append(
            f"But it is not calibrated: predictions are off by {evidence.calibration_error:.3f} on average,"
            f" above {rules.calibration:g}."
        )
    fallen = {name: change for name, change in evidence.slices.items() if change[0] > rules.slice_fall}
    for name, (value, low, high) in sorted(fallen.items(), key=lambda item: -item[1][0]):
        found.append(
            f"But {name} falls: loss {value:+.1%} ({low:+.1%} to {high:+.1%}), above {rules.slice_fall:+.0%}."
        )
    moved = sorted((-value, name) for name, value in evidence.drift.items() if value > rules.drift)
    if moved:
        told = ", ".join(f"{name} (PSI {-value:.2f})" for value, name in moved[:3])
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        found.append(f"But features have drifted beyond {rules.drift:g}: {told}{more}.")
    return found


def _holds(evidence: Evidence) -> str:
    parts = []
    if evidence.calibration_error is not None:
        parts.append(f"calibrated to {evidence.calibration_error:.3f}")
    if evidence.slices:
        worst, change = max(evidence.slices.items(), key=lambda item: item[1][0])
        parts.append(f"of {len(evidence.slices)} slices {worst} gains least ({change[0]:+.1%})")
    if evidence.drift:
        name, value = max(evidence.drift.items(), key=lambda item: item[1])
        parts.append(f"largest drift is {name}'s (PSI {value:.2f})")
    return f"Bounds hold: {'; '.join(parts)}." if parts else "No bound applies."
