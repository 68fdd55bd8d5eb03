"""The gate: may a candidate go live? Yes, no, or cannot tell, each with its reasons in words.

Yes, if the log can be trusted, the lower bound of (candidate - live) is above the margin however often one
has looked, corrected over the candidates (Holm), and no guardrail goal may have fallen. No, if it is sure
that the margin is not reached, or that a guardrail goal falls. Else it cannot tell, and says what would.

What is sure with probability 1 - α: no candidate passes on any night whose mean difference up to that night,
of both policies as they were refitted, is at most the margin. That is for one live policy and the candidates
beside it; each new live policy and each edited spec is a new comparison with an α of its own. Holm's steps
suppose that the candidates that are no better are the same ones each night; where they change places, the
level lies between α and its sum over them. Bounds are tonight's: who was better once must still be.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ml.ope.evidence import Facts
from ml.ope.intervals import Interval
from ml.ope.power import HORIZON_DAYS, Advice, days_needed
from ml.ope.sequence import Look, Sequence, holm
from ml.ope.trust import Limits, doubts, longer, not_asked

Answer = Literal["yes", "no", "cannot tell"]


@dataclass(frozen=True)
class Rules:
    """When a candidate may go live.

    Attributes
    ----------
    margin
        reward a row by which it must beat the live policy.
    alpha
        probability that one passes that does not beat it by the margin, over all candidates and looks.
    planned_rows
        about when the gate should decide best.
    fewest_clusters, fewest_rewarded
        a log with fewer clusters, or fewer whose rewards tell of either policy (`Sequence`), says nothing.
    guardrails
        by goal, the share of the live policy's value by which it may fall at most; that value is taken as
        known (its error is small beside the difference's).
    worthwhile
        improvement, as a share of the live policy's value, that advice on longer logs is for.
    power
        probability to see it, in that advice.
    limits
        when a log can be trusted.

    """

    margin: float = 0.0
    alpha: float = 0.05
    planned_rows: int = 10_000
    fewest_clusters: int = 100
    fewest_rewarded: float = 30.0
    guardrails: Mapping[str, float] = field(default_factory=dict)
    worthwhile: float = 0.05
    power: float = 0.8
    limits: Limits = field(default_factory=Limits)

    def sequence(self, alpha: float, margin: float) -> Sequence:
        """Return how to look for this α and margin; p-values do not depend on that α."""
        return Sequence(
            alpha, margin, self.planned_rows, self.fewest_clusters, self.alpha, self.fewest_rewarded
        )


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Attributes
    ----------
    answer, reasons
        the answer, and why, a sentence each.
    looks
        of each day, at the candidate's own level of Holm's correction; the last one is what counts.
    p_value
        corrected over the candidates, valid at any time.
    estimates
        the difference by each estimator, with Student's t by cluster at 95 %.
    not_asked
        estimators that say too little to contradict the one that decides, with the rows they are worth.
    guardrails
        by goal, the last look at its difference.
    advice
        what would tell, where the log cannot.

    """

    answer: Answer
    reasons: tuple[str, ...]
    looks: tuple[Look, ...]
    p_value: float
    estimates: Mapping[str, Interval]
    not_asked: Mapping[str, float]
    guardrails: Mapping[str, Look]
    advice: tuple[Advice, ...]


def judge(candidates: Mapping[str, Facts], rules: Rules) -> dict[str, Verdict]:
    """Judge all candidates for one page at once, since each of them is another chance to be wrong."""
    goals = {name: next(iter(evidence.live)) for name, evidence in candidates.items()}
    raw = {
        name: evidence.looks(goals[name], rules.sequence(rules.alpha, rules.margin))[-1].p_value
        for name, evidence in candidates.items()
    }
    corrected = holm(raw)
    verdicts = {}
    for place, name in enumerate(corrected):
        level = rules.alpha / (len(candidates) - place)
        verdicts[name] = _verdict(candidates[name], goals[name], level, corrected[name], rules)
    return {name: verdicts[name] for name in candidates}


def _verdict(evidence: Facts, goal: str, level: float, p_value: float, rules: Rules) -> Verdict:
    sequence = rules.sequence(level, rules.margin)
    looks = evidence.looks(goal, sequence)
    last = looks[-1]
    guardrails = {
        name: evidence.looks(name, rules.sequence(rules.alpha, 0.0))[-1] for name in rules.guardrails
    }
    least = {name: -share * abs(evidence.live[name]) for name, share in rules.guardrails.items()}
    fallen, unsure, unseen = _guarded(guardrails, least, rules)
    doubted = doubts(evidence, rules.limits)
    said = _said(last, len(looks), p_value, rules.margin)
    answer: Answer = "cannot tell"
    if doubted:
        reasons = doubted
    elif fallen:
        answer, reasons = "no", fallen
    elif last.variance == 0:
        answer, reasons = "no", ["nothing in this log tells it from the live policy"]
    elif last.upper <= rules.margin:
        answer, reasons = "no", [f"it does not beat the live policy by the margin: {said}"]
    elif last.clusters < rules.fewest_clusters:
        reasons = [
            f"{last.clusters} subjects are too few to tell: at least {rules.fewest_clusters} are needed"
        ]
    elif last.rewarded < rules.fewest_rewarded:
        reasons = [f"rewards are too few to tell: those of {_as_many(last, rules)}"]
    elif p_value > rules.alpha or last.lower <= rules.margin:
        reasons = [f"the log is too short to tell: {said}", *unsure.values()]
    elif unsure:
        reasons = [*unsure.values()]
    else:
        answer, reasons = "yes", [f"it beats the live policy: {said}", *unseen]
    advice: tuple[Advice, ...] = ()
    if answer == "cannot tell":
        asked = [(goal, last, sequence)]
        asked += [(name, guardrails[name], rules.sequence(rules.alpha, least[name])) for name in unsure]
        advice = _advice(evidence, asked, len(looks), rules)
    return Verdict(
        answer=answer,
        reasons=(*reasons, *(_spoken(advice) if advice else ())),
        looks=looks,
        p_value=p_value,
        estimates=evidence.intervals(),
        not_asked=not_asked(evidence, rules.limits),
        guardrails=guardrails,
        advice=advice,
    )


def _said(last: Look, days: int, p_value: float, margin: float) -> str:
    return (
        f"the difference is {last.value:+.4g} a row, between {last.lower:+.4g} and {last.upper:+.4g} "
        f"after {days} days of looking, and the margin is {margin:+.4g} (p {p_value:.2g}, corrected)"
    )


def _as_many(look: Look, rules: Rules) -> str:
    return (
        f"{look.rewarded:.0f} subjects tell of one of the two policies, "
        f"and at least {rules.fewest_rewarded:.0f} are needed"
    )


def _guarded(
    guardrails: Mapping[str, Look], least: Mapping[str, float], rules: Rules
) -> tuple[list[str], dict[str, str], list[str]]:
    """Return what is sure to fall, by goal what may fall by too much, and what this log never saw."""
    fallen, unsure, unseen = [], {}, []
    for goal, look in guardrails.items():
        between = (
            f"between {look.lower:+.4g} and {look.upper:+.4g}, and at most {least[goal]:+.4g} is allowed"
        )
        if look.upper < least[goal]:
            fallen.append(f"guardrail {goal!r} falls: its difference is {between}")
        elif look.rewarded == 0 and look.variance == 0 and look.clusters >= rules.fewest_clusters:
            unseen.append(f"guardrail {goal!r} was not seen in this log")
        elif look.variance > 0 and look.rewarded < rules.fewest_rewarded:
            unsure[goal] = f"guardrail {goal!r} may fall, and is seen too seldom: {_as_many(look, rules)}"
        elif look.lower < least[goal]:
            unsure[goal] = f"guardrail {goal!r} may fall: its difference is {between}"
    return fallen, unsure, unseen


def _advice(
    evidence: Facts, asked: Collection[tuple[str, Look, Sequence]], days: int, rules: Rules
) -> tuple[Advice, ...]:
    """Return in how many days in all every goal that was asked for would tell; nothing where none would help.

    How much exploration helps is known of the first goal, and taken for the others'.
    """
    times = longer(evidence, rules.limits)
    if times is None:
        return ()
    found = dict.fromkeys(evidence.variances, 0) if times == 1 else {0.0: math.ceil(times * days)}
    never = set()
    for goal, look, sequence in asked:
        enough = max(
            rules.fewest_clusters / max(look.clusters, 1), rules.fewest_rewarded / max(look.rewarded, 1e-9)
        )
        # No log is asked for to find what is ruled out already.
        worthwhile = sequence.margin + rules.worthwhile * abs(evidence.live[goal])
        effect, per_day = min(look.upper, max(look.value, worthwhile)), look.rows / days
        for share in found:
            variance = look.variance * evidence.variances.get(share, 1.0)
            needed = days_needed(effect, variance, per_day, sequence, power=rules.power)
            if needed is None or enough * days > HORIZON_DAYS:
                never.add(share)
            else:
                found[share] = max(found[share], needed, math.ceil(enough * days) if share == 0 else 0)
    return tuple(Advice(share, None if share in never else needed) for share, needed in found.items())


def _spoken(advice: tuple[Advice, ...]) -> tuple[str, ...]:
    """Say what the log as it is drawn needs, and what the quickest exploration needs."""
    known = [(each.days, each.share) for each in advice if each.days is not None]
    if not known:
        return ("no log of ten years would tell",)
    days, share = min(known)
    as_it_is = next((each.days for each in advice if each.share == 0), None)
    said = [] if as_it_is is None else [f"about {as_it_is} days in all, drawn as they are now, would tell"]
    if share > 0 and days != as_it_is:
        said.append(f"about {days} days would, with {share:.0%} of visits drawn from the candidate")
    return tuple(said)
