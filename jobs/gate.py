"""gate: each night a verdict on every policy of a page, whether it may go live.

A candidate is compared with the live policy on the servings since it entered, or since the live one changed,
whichever came last: that log only grows, and its bounds hold over all nights of looking (ml.ope.gate). Of
several that may go live, the one with the highest lower bound does. The live spec's own refit of the night
inherits its release while its scores move by less than conf's `gate.refit_change`; else readers keep the last
one that did.

Reads   judgements and policies up to the last day, releases
Writes  releases: of kind policy, the rows of the days; those of nights that readers have seen stay
On failure, mend the cause and clear the task: a rerun gives the same verdicts. Until then the
live policy stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import inputs, runs, shell, store
from jobs.config import Config, Gate, Page, Policy
from jobs.contracts import contract
from jobs.live import IS_LIVE, POLICY, YES, Live, LivePolicies
from jobs.policy_values import end_of
from jobs.refits import score_change
from jobs.releases import APPROVED, REFUSED, UNDECIDED, Release
from jobs.runs import Run
from jobs.servings import GOALS, Servings, between, summarised
from jobs.shell import Ask, Until
from jobs.spark import session
from jobs.tables import Tables
from ml.ope.gate import Rules, Verdict, judge
from ml.ope.summary import Summary, of_pair
from ml.ope.trust import Limits

READS = ("judgements", "policies")
DECIDER = "gate"


@dataclass(frozen=True)
class Pair:
    """A candidate and the live policy, compared from a day on."""

    page: str
    candidate: str
    live: str
    first: date


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
        guardrails={str(goal): share for goal, share in gate.guardrails.items()},
        worthwhile=gate.worthwhile,
        power=gate.power,
        limits=Limits(**gate.limits.model_dump()),
    )


def decide(
    judgements: DataFrame,
    page: Page,
    specs: Mapping[str, Policy],
    known: Known,
    before: LivePolicies,
    days: Sequence[date],
    gate: Gate,
    *,
    zone: str,
) -> list[Release]:
    """Judge a page's specs night after night; a policy that goes live is what the next ones must beat."""
    rules, live, found = rules_of(gate), before.as_of(days[0] - timedelta(1)), []
    left = list(days)
    while left:
        incumbent = live.spec if live else page.policy
        since = live.since if live else None
        pairs = list(_pairs(page, specs, known, incumbent, since, left))
        facts = _facts(judgements, pairs, left, zone, gate.open_hours)
        for place, day in enumerate(left):
            verdicts = _judged({name: of[day] for name, of in facts.items() if day in of}, rules)
            winner = _winner(verdicts)
            served = _serves(known, incumbent, live, day, gate.refit_change)
            night = partial(_release, page, specs, day=day, known=known, zone=zone)
            firsts = {pair.candidate: pair.first for pair in pairs}
            for name, verdict in verdicts.items():
                version = known.newest(name, day)
                if name == winner:
                    live = Live(name, specs[name].digest, day, version)
                found.append(night(name, verdict, firsts[name], live if name == winner else None))
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


@dataclass(frozen=True)
class Served:
    """What the live spec's refit of a night comes to."""

    live: Live
    version: str | None
    verdict: str
    why: str
    change: float


def _serves(known: Known, spec: str, live: Live | None, day: date, most: float) -> Served:
    version = known.newest(spec, day)
    held = live.version if live else None
    rows = {row["policy_version"]: row for row in known.fitted.get(spec, {}).values()}
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


def _pairs(
    page: Page,
    specs: Mapping[str, Policy],
    known: Known,
    incumbent: str,
    since: date | None,
    days: Sequence[date],
) -> Iterator[Pair]:
    for name, spec in sorted(specs.items()):
        if spec.page != page.page or name == incumbent or not {name, incumbent} <= known.entered.keys():
            continue
        first = max(known.entered[name], known.entered[incumbent], *([since + timedelta(1)] if since else []))
        if first <= days[-1]:
            yield Pair(page.page, name, incumbent, first)


def _facts(
    judgements: DataFrame, pairs: Sequence[Pair], days: Sequence[date], zone: str, hours: int
) -> dict[str, dict[date, Summary]]:
    if not pairs:
        return {}
    names = sorted({name for pair in pairs for name in (pair.candidate, pair.live)})
    rows = _of_page(judgements, pairs, days[-1], names)
    work = partial(_summaries, pairs=list(pairs), days=list(days), zone=zone, hours=hours)
    found: dict[str, dict[date, Summary]] = {}
    for (_, (name, day)), summary in summarised(rows, work).items():
        found.setdefault(name, {})[day] = summary
    return found


def _of_page(judgements: DataFrame, pairs: Sequence[Pair], last: date, names: Sequence[str]) -> DataFrame:
    first = min(pair.first for pair in pairs)
    return between(judgements, first, last, names).where(F.col("page") == pairs[0].page)


def _summaries(
    page: str,
    by_spec: Mapping[str, Servings],
    *,
    pairs: Sequence[Pair],
    days: Sequence[date],
    zone: str,
    hours: int,
) -> Iterator[tuple[tuple[str, date], Summary]]:
    """Summarise each pair as of each night, on the servings that both were judged at."""
    for pair in pairs:
        if pair.page != page or pair.candidate not in by_spec or pair.live not in by_spec:
            continue
        one, other = by_spec[pair.candidate], by_spec[pair.live]
        _, mine, theirs = np.intersect1d(one.decisions, other.decisions, return_indices=True)
        mine, theirs = (part[one.days[mine] >= np.datetime64(pair.first)] for part in (mine, theirs))
        for day in days:
            until = one.days[mine] <= np.datetime64(day)
            if not until.any():
                continue
            candidate, live = one.rows(mine[until]), other.rows(theirs[until])
            yield (
                (pair.candidate, day),
                of_pair(
                    candidate.judged,
                    live.judged,
                    candidate.logged(),
                    days=(candidate.days - np.datetime64(pair.first)).astype(np.int64),
                    count=(day - pair.first).days + 1,
                    first=candidate.first(),
                    open_rows=candidate.open_rows(end_of(day, zone), hours),
                ),
            )


def _judged(summaries: Mapping[str, Summary], rules: Rules) -> dict[str, Verdict]:
    ordered = dict(sorted(summaries.items()))
    return judge({name: summary.facts(GOALS) for name, summary in ordered.items()}, rules) if ordered else {}


def _winner(verdicts: Mapping[str, Verdict]) -> str | None:
    passed = {
        name: verdict.looks[-1].lower for name, verdict in verdicts.items() if verdict.answer == APPROVED
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


def run_gate(ask: Ask, config: Config) -> Run:
    """Decide on the days' policies, and return the run's manifest."""
    tables = Tables(config.tables)
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("gate", ask, config, versions) as manifest:
        spark, days = session(config), ask.days
        frames = {name: inputs.open_read(spark, Until(name), days, config, versions) for name in READS}
        earlier = tables.read("releases", ds.field("kind") == POLICY).to_pylist()
        served = store.live(config.store_url)
        # What readers have seen was decided then: it is not decided anew.
        kept = {row["as_of_date"] for row in earlier if served and row["as_of_date"] <= served.layout_date}
        left = [day for day in days if day not in kept]
        found: list[Release] = []
        known = _known(frames, config) if left else Known({}, {})
        for _, page in sorted(config.pages.items()):
            before = LivePolicies.of(page, [row for row in earlier if left and row["as_of_date"] < left[0]])
            if left:
                found += decide(
                    frames["judgements"], page, config.specs, known, before, left, config.gate,
                    zone=config.business_time_zone,
                )  # fmt: skip
        _write(tables, found, left, ask.dag_run)
        manifest.output, manifest.output_version = "releases", tables.version("releases")
        manifest.rows_in = manifest.rows_out = len(found)
        manifest.status = "published" if left else "unchanged"
    return manifest


def _known(frames: Mapping[str, DataFrame], config: Config) -> Known:
    digests = {spec.digest: name for name, spec in config.specs.items()}
    own = F.col("spec_digest").isin(sorted(digests))
    entered = frames["judgements"].where(own).groupBy("spec").agg(F.min("decision_date").alias("first"))
    fitted: dict[str, dict[date, dict[str, Any]]] = {}
    columns = ("spec", "spec_digest", "fitted_date", "policy_version", "widgets", "n", "theta", "covariance")
    for row in frames["policies"].where(own).select(*columns).collect():
        fitted.setdefault(row["spec"], {})[row["fitted_date"]] = row.asDict()
    return Known({row["spec"]: row["first"] for row in entered.collect()}, fitted)


def _write(tables: Tables, found: Sequence[Release], days: Sequence[date], dag_run: str | None) -> None:
    if not days:
        return
    rows = [{**release.row(), "dag_run": dag_run} for release in found]
    listed = ", ".join(f"'{day}'" for day in days)
    batch = pa.Table.from_pylist(rows, schema=contract("releases").arrow_schema)
    tables.replace("releases", batch, f"kind = '{POLICY}' AND as_of_date IN ({listed})")


JOB = shell.Command(run_gate, "gate", __doc__)

if __name__ == "__main__":
    JOB.main()
