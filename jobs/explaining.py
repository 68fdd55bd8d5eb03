"""Why a layout looks as it does, position by position, in words: from its row of `layouts` and its policy's.

Reads   layouts: those of a subject that stand on the newest night; policies: the versions that drew them
Writes  nothing
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from jobs import algorithms, page_goals, standing, steering
from jobs.config import Config
from jobs.page_filters import BETWEEN
from jobs.page_words import named
from jobs.store.variants import BETWEEN as BETWEEN_PARTS
from jobs.tables import Tables
from ml.bandits.linear import COLD
from ml.rank.redundancy import add, nothing_yet
from ml.rank.rules import NONE, Rules, begin, options, place
from ml.reasons import PINNED, leads

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_FEATURES = 3
PLAIN = {
    "always 1": "popularity",
    "1 when the subject has ever bought, 0 for devices and new users": "somebody who has bought before",
}
"""Meanings of conf/features.yaml that are no words for a reason."""
COLUMNS = (
    "layout_date", "page", "draw_id", "drawn_date", "policy_version", "widgets", "scores", "bonuses",
    "propensities", "reasons", "candidates", "rules", "filtered", "variant", "context", "action_context",
)  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What is known of a position.

    reward, bonus, cost : expected reward, exploration bonus, what likeness to those above cost.
    goals : by goal of the page what it adds, in units of reward; empty where the page has none.
    features : what speaks for the widget most, beside the mean candidate: meaning and units of reward.
    kept_out : whom the rules kept out of the position.
    """

    widget: str
    reason: str
    reward: float
    bonus: float
    cost: float
    chance: float
    diversity: str = "none"
    goals: Mapping[str, float] = field(default_factory=dict)
    features: Sequence[tuple[str, float]] = ()
    kept_out: Sequence[str] = ()

    @property
    def is_pinned(self) -> bool:
        """Whether it stands there whatever else."""
        return self.reason == PINNED


def of_subject(config: Config, subject: str, named: str = "") -> Iterator[str]:
    """Explain a subject's pages of the newest night; one line says so when there are none.

    named : what whoever asks calls the subject, as the shop's id.
    """
    tables = Tables(config.tables)
    night = standing.newest_night(tables)
    rows = standing.of_subject(tables, subject, night, COLUMNS) if night else []
    if not rows:
        yield _nothing(tables, subject, night, named or subject)
        return
    own = sorted(rows, key=lambda row: (str(row["page"]), str(row["variant"])))
    policies = policies_of(tables, own)
    epoch_days = config.jobs.get("layouts", {}).get("epoch_days", standing.NIGHTS)
    for row in own:
        of_positions = told(row, config, policies.get(row["policy_version"]))
        yield from explain(row, of_positions, night, epoch_days)


def _nothing(tables: Tables, subject: str, night: date | None, named: str) -> str:
    """Say why a subject has no layout of their own, in one sentence."""
    if night is None:
        return "No layouts were drawn yet: run lake_etl, then nightly_layouts."
    mine = ds.field("subject") == subject
    if tables.pruned("subject_features", ["subject"], mine, first=night, last=night).num_rows:
        return f"{named} has no layout of their own: the rules leave them none, and readers get a default."
    return (
        f"{named} is unknown as of {night} (somebody new, who left, or a slip of the pen): readers give them"
        " one of the page's defaults, and there is nothing to explain."
    )


def policies_of(tables: Tables, rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return by version the rows of `policies` that drew some layouts."""
    versions = sorted({str(row["policy_version"]) for row in rows})
    # A version ends with the day it was fitted on: other days' files stay closed.
    fitted = {version.rpartition("@")[2] for version in versions}
    days = pa.array([date.fromisoformat(day) for day in fitted if DAY.fullmatch(day)], pa.date32())
    asked = ds.field("policy_version").isin(versions) & ds.field("fitted_date").isin(days)
    return {row["policy_version"]: row for row in tables.read("policies", asked).to_pylist()}


def explain(
    row: Mapping[str, Any],
    of_positions: Sequence[Told],
    night: date | None = None,
    epoch_days: int = standing.NIGHTS,
) -> Iterator[str]:
    """Tell a page's positions, a line each; of an older day than the night, why the draw stands.

    epoch_days : as conf/ has it for layouts: days after which an epoch is over whatever else.
    """
    variant = f" on {row['variant'].replace(BETWEEN_PARTS, ', ')}" if row.get("variant") else ""
    yield f"{row['page']}{variant}, drawn on {row['drawn_date']} by {row['policy_version']}:"
    yield from _stands(row, night, epoch_days)
    for number, of in enumerate(of_positions, 1):
        if of.is_pinned:
            told = f"pinned here, whatever else (its expected reward is {of.reward:.3f})"
        else:
            told = f"{of.reason}; expected reward {of.reward:.3f}"
            told += f", {of.bonus:+.3f} for exploration" if abs(of.bonus) >= 5e-4 else ""
            likeness = f"for being like what stands above ({of.diversity})"
            told += f", {-of.cost:+.3f} {likeness}" if of.cost >= 5e-4 else ""
            told += f"; by goal {_listed(of.goals.items())}" if of.goals else ""
            told += f"; above others by {_listed(of.features)}" if of.features else ""
            told += f"; drawn with a chance of {percent(of.chance)}"
        out = f" Rules kept out {named(of.kept_out)}." if of.kept_out else ""
        yield f"  {number}. {of.widget}: {told}.{out}"
    yield from filtered(row)


def _stands(row: Mapping[str, Any], night: date | None, epoch_days: int) -> Iterator[str]:
    """Say of a draw of an older day since when it stands, and why."""
    if night is None or row["drawn_date"] >= night:
        return
    since = f", since the night of {row['layout_date']}" if row["layout_date"] < night else ""
    over = "a day is over" if epoch_days == 1 else f"{epoch_days} days are over"
    yield (
        f"  It stands on {night}{since}: its epoch began on {row['drawn_date']}, and until the subject is"
        f" active again, the page or its policy, rules or widgets change, or {over},"
        " a page is that of its epoch's first evening."
    )


def filtered(row: Mapping[str, Any], title: Callable[[str], str] = str) -> Iterator[str]:
    """Tell what the page's filters did to a layout: whom they kept out and why, and where they gave way."""
    said = [str(told).split(BETWEEN, 1) for told in row.get("filtered") or ()]
    could = set(row["candidates"])
    if out := [f"{title(widget)} ({why})" for widget, why in said if widget not in could]:
        yield f"  Kept out of the whole page: {', '.join(out)}."
    if all_the_same := [f"{title(widget)} ({why})" for widget, why in said if widget in could]:
        yield f"  Could stand all the same, so that the page is full: {', '.join(all_the_same)}."


def told(
    row: Mapping[str, Any], config: Config | None = None, policy: Mapping[str, Any] | None = None
) -> list[Told]:
    """Gather what is known of a layout's positions; without its policy's row, without goals and features."""
    steps: list[tuple[float, list[str]]] = [(0.0, [])] * len(row["widgets"])
    if row["rules"] is not None:
        steps = list(_under_rules(row, steering.read(row["rules"])))
    kind = json.loads(row["rules"]).get("diversity", ["none"])[0] if row["rules"] else "none"
    known = config is not None and policy is not None
    return [
        Told(
            widget,
            row["reasons"][number],
            row["scores"][number],
            row["bonuses"][number],
            cost,
            row["propensities"][number],
            kind,
            _goals(row, number, config, policy) if known and config and policy else {},
            _features(row, widget, config, policy) if known and config and policy else (),
            kept_out,
        )
        for number, (widget, (cost, kept_out)) in enumerate(zip(row["widgets"], steps, strict=True))
    ]


def percent(share: float) -> str:
    """Return a chance as people read it."""
    return f"{100 * share:.{0 if share >= 0.1 else 1}f} %"


def _listed(parts: Any) -> str:
    return ", ".join(f"{name} {value:+.3f}" for name, value in parts)


def _goals(
    row: Mapping[str, Any], number: int, config: Config, policy: Mapping[str, Any]
) -> dict[str, float]:
    """Return what each of the page's goals, as conf/ has them now, adds to a widget's value."""
    page = config.pages.get(row["page"])
    of_widgets = page_goals.worths_of(policy, [row["widgets"][number]])
    if page is None or page.goals is None or of_widgets is None:
        return {}
    return page_goals.contributions(
        row["scores"][number] + row["bonuses"][number], page.goals, of_widgets[:, 0]
    )


def _features(
    row: Mapping[str, Any], widget: str, config: Config, policy: Mapping[str, Any]
) -> list[tuple[str, float]]:
    """Return the features that lift a widget most above the mean candidate, in words."""
    spec = config.policies.get(str(policy["spec"]))
    if spec is None or spec.digest != policy["spec_digest"] or not row.get("context"):
        return []
    features = config.feature_sets[spec.feature_set]
    places = {name: place for place, name in enumerate(policy["widgets"])}
    arms = np.array([places.get(name, COLD) for name in row["candidates"]])
    model = algorithms.restore(spec, features, policy, config.pages.get(row["page"])).select(arms)
    own = np.asarray(row["action_context"], dtype=np.float64).reshape(len(arms), -1)
    found = leads(model.theta_, np.asarray(row["context"], np.float64), own)[row["candidates"].index(widget)]
    meanings = [each.meaning or each.name for each in (*features.context, *features.action)]
    best = sorted(range(len(found)), key=lambda at: -found[at])[:MOST_FEATURES]
    told = [PLAIN.get(meanings[at], meanings[at].removesuffix(", shrunk")) for at in best]
    return [(words, float(found[at])) for words, at in zip(told, best, strict=True) if found[at] >= 0.005]


def _under_rules(row: Mapping[str, Any], rules: Rules) -> Iterator[tuple[float, list[str]]]:
    """Walk down the page: what likeness cost each widget, and whom the rules kept out."""
    names, k = row["candidates"], len(row["candidates"])
    arrays, everyone = rules.arrays, np.ones(k, dtype=np.bool_)
    left, allowed = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
    counts, cost, residual = np.empty(len(rules.caps), dtype=np.int64), np.empty(k), np.empty(k)
    components = np.empty((len(rules.pins), k))
    slate = np.full(len(rules.pins), -1, dtype=np.int32)
    begin(everyone, arrays, left, counts)
    nothing_yet(cost, residual, components)
    for position, widget in enumerate(row["widgets"]):
        chosen = names.index(widget)
        options(position, slate, everyone, arrays, left, allowed)
        # Pins have a place of their own: they are not missed here.
        missed = ~allowed & ~np.isin(np.arange(k), [*slate, *rules.pins])
        out = (
            []
            if chosen in rules.pins
            else [name for name, is_out in zip(names, missed, strict=True) if is_out]
        )
        yield float(rules.strength * cost[chosen]), out
        slate[position] = chosen
        place(chosen, everyone, arrays, left, counts)
        if rules.kind != NONE:
            add(chosen, position, arrays, cost, residual, components)
