"""Verdicts on a page's policies, night after night: from comparisons (jobs.compared) to rows of `releases`.

Of several that may go live, the one whose 95 % interval begins highest does (the gate's own bounds are at
different levels of Holm's correction); it is what the next ones must beat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import DataFrame

from jobs.compared import pairs_of, summaries
from jobs.config import Gate, Page, Policy
from jobs.live import IS_LIVE, POLICY, YES, Live, LivePolicies
from jobs.nights import end_of
from jobs.refits import Served, serves
from jobs.releases import APPROVED, REFUSED, UNDECIDED, Release
from jobs.servings import GOALS
from ml.ope.gate import Rules, Verdict, judge
from ml.ope.summary import Summary
from ml.ope.trust import Limits

DECIDER = "gate"
NOT_ASKED = "not_asked"


@dataclass(frozen=True)
class Known:
    """What verdicts follow from, beside the servings.

    entered : by spec the first day it was judged on, as the spec is now.
    fitted : by spec its rows of policies, by day.
    """

    entered: Mapping[str, date]
    fitted: Mapping[str, Mapping[date, Mapping[str, Any]]]

    def newest(self, spec: str, day: date) -> str | None:
        """Return the newest version of a spec as of a day."""
        return self.version(
            spec, max((then for then in self.fitted.get(spec, {}) if then <= day), default=None)
        )

    def version(self, spec: str, fitted: date | None) -> str | None:
        """Return the version that was fitted on a day."""
        return None if fitted is None else str(self.fitted[spec][fitted]["policy_version"])


def rules_of(gate: Gate) -> Rules:
    """Return the settings of conf/ as the mathematics takes them."""
    return Rules(
        margin=gate.margin,
        alpha=gate.alpha,
        planned_rows=gate.planned_servings,
        fewest_clusters=gate.fewest_subjects,
        fewest_rewarded=gate.fewest_rewarded,
        guardrails={str(goal): share for goal, share in gate.guardrails.items()},
        worthwhile=gate.worthwhile,
        power=gate.power,
        limits=Limits(**gate.limits.model_dump()),
    )


def decide(
    buckets: DataFrame,
    page: Page,
    specs: Mapping[str, Policy],
    known: Known,
    before: LivePolicies,
    days: Sequence[date],
    gate: Gate,
    *,
    zone: str,
    hours: int,
) -> list[Release]:
    """Judge a page's specs night after night; a policy that goes live is what the next ones must beat.

    A live spec that left conf/, or whose text changed, is live no more: the page's own policy is, compared on
    all the servings that it was judged at, and the changed spec is a candidate like others.

    buckets : files of judgements up to the last day.
    hours : after which nothing counts for a serving any more.
    """
    rules, eve, found = rules_of(gate), days[0] - timedelta(1), list[Release]()
    live, released = before.known(eve, specs), before.as_of(eve)
    gone = released.spec if released and not live and released.since else None
    left = list(days)
    while left:
        incumbent = live.spec if live else page.policy
        since = live.since if live else None
        pairs = list(pairs_of(page, specs, known.entered, incumbent, since, left[-1]))
        facts = summaries(buckets, pairs, left, zone, hours, gate.more)
        for place, day in enumerate(left):
            known_of = {name: of[day] for name, of in facts.items() if day in of}
            verdicts = _judged(known_of, rules, gate.more)
            winner = _winner(verdicts)
            rows = known.fitted.get(incumbent, {}).values()
            served = serves(rows, incumbent, live, known.newest(incumbent, day), gate.refit_change)
            night = partial(_release, page, specs, day=day, known=known, zone=zone)
            firsts = {pair.candidate: pair.first for pair in pairs}
            for name, verdict in verdicts.items():
                version = known.newest(name, day)
                if name == winner:
                    live = Live(name, specs[name].digest, day, version)
                found.append(night(name, verdict, firsts[name], live if name == winner else None))
            if gone and served.version is not None:
                why = f"{gone}, which was live, is not in conf/ as it was released: the page's own policy is"
                served, gone = replace(served, why=f"{why} live"), None
            if served.version is not None:
                told = replace(served, why=f"it was the live policy; now {winner} is") if winner else served
                found.append(night(incumbent, told, None, None if winner else served.live))
            if winner is None and served.live.version is not None:
                live = served.live
            if winner:
                left = left[place + 1 :]
                break
        else:
            left = []
    return found


def _judged(summaries: Mapping[str, Summary], rules: Rules, more: tuple[str, ...]) -> dict[str, Verdict]:
    facts = {name: summary.facts((*GOALS, *more)) for name, summary in sorted(summaries.items())}
    return judge(facts, rules) if facts else {}


def _winner(verdicts: Mapping[str, Verdict]) -> str | None:
    passed = {
        name: next(iter(verdict.estimates.values())).lower
        for name, verdict in verdicts.items()
        if verdict.answer == APPROVED
    }
    return max(passed, key=lambda name: (passed[name], name)) if passed else None


def _release(
    page: Page,
    specs: Mapping[str, Policy],
    name: str,
    verdict: Verdict | Served,
    first: date | None,
    live: Live | None,
    *,
    day: date,
    known: Known,
    zone: str,
) -> Release:
    details = {"page": page.page, "spec_digest": specs[name].digest}
    measures: dict[str, float] = {}
    if isinstance(verdict, Served):
        answer, why, measures = verdict.verdict, verdict.why, {"score_change": verdict.change}
    else:
        answer, why, measures = verdict.answer, "; ".join(verdict.reasons), _measures(verdict)
        if verdict.not_asked:
            details[NOT_ASKED] = ", ".join(
                f"{name} (worth {rows:,.0f})" for name, rows in verdict.not_asked.items()
            )
    if first is not None:
        details["compared_from"] = first.isoformat()
    if live is not None:
        details |= {IS_LIVE: YES, "serves": live.version or ""}
        details |= {"live_since": live.since.isoformat()} if live.since else {}
    return Release(
        kind=POLICY,
        name=name,
        version=known.newest(name, day) or name,
        as_of_date=day,
        verdict=answer if answer in (APPROVED, REFUSED) else UNDECIDED,
        why=why,
        decided_by=DECIDER,
        decided_at=end_of(day, zone),
        details=details,
        measures=measures,
    )


def _measures(verdict: Verdict) -> dict[str, float]:
    last = verdict.looks[-1]
    found = {
        "difference": last.value, "lower": last.lower, "upper": last.upper, "p_value": verdict.p_value,
        "servings": float(last.rows), "subjects": float(last.clusters), "days": float(len(verdict.looks)),
    }  # fmt: skip
    found |= {f"difference by {name}": interval.value for name, interval in verdict.estimates.items()}
    found |= {f"{goal} difference": look.value for goal, look in verdict.guardrails.items()}
    return {name: value for name, value in found.items() if np.isfinite(value)} | {
        f"days at {advice.share:.0%}": float(advice.days)
        for advice in verdict.advice
        if advice.days is not None
    }
