"""What a preview of goals reads: a page's logged servings with their contexts, and the policy that is live.

Reads   feedback, contexts, policies, widgets, subject_features (role and region), releases; without Spark
Writes  nothing
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs import algorithms, runs
from jobs.config import Config, Page
from jobs.contracts import contract
from jobs.credit import DIRECT
from jobs.epochs import widgets_as_of
from jobs.judging import Judged, Labels, Seen
from jobs.labels import LABELS
from jobs.live import LivePolicies
from jobs.maps import lists_where
from jobs.nights import known_on
from jobs.tables import Tables

EARNED = ("click", "basket", "revenue")
FEEDBACK = (
    "decision_id", "position", "decision_date", "served_at", "subject", "subject_bucket", "role", "draw_id",
    "page", "widget", "propensity", "policy_version", "is_seen", "reward", "rewards",
)  # fmt: skip
OF_SERVING = (
    "decision_id", "decision_date", "served_at", "subject", "subject_bucket", "role", "draw_id", "page",
)  # fmt: skip
CONTEXT = (
    "draw_id", "decision_date", "feature_set", "candidates", "context", "action_context", "rules", "variant",
)  # fmt: skip

AUDIENCE = ("role", "region", "lately")
"""What a page's rules ask of a subject."""


class NoLog(ValueError):
    """Nothing to preview from; the sentence says what is missing."""


@dataclass(frozen=True)
class GoalsLog:
    """Servings of a page, one a row, as `jobs.judging` takes them, and what judges them.

    live : the policy that is live, with its row of `policies` by day.
    others : policies of the page whose scores are rewards: the first that learns predicts.
    """

    page: Page
    spec: str
    first: date
    last: date
    rows: pa.RecordBatch
    live: Judged
    others: Sequence[Judged]
    seen: Seen
    labels: Labels
    seed: int


def read(config: Config, page: Page, days: int, most: int) -> GoalsLog:
    """Read the servings of a page's last days; of more than `most`, those of some subjects, by hash.

    Raises
    ------
    NoLog
        When there are none, or the live policy knows no rewards, or not yet what comes with them.

    """
    tables = Tables(config.tables)
    last = runs.newest_day(tables, "feedback")
    first = last - timedelta(days - 1)
    spec = LivePolicies.of(page, tables.read("releases").to_pylist()).spec(last, config.policies)
    if not algorithms.expects_reward(config.policies[spec]):
        raise NoLog(
            f"Page {page.page} shows {spec}, which orders widgets without expecting a reward of them: goals"
            " have nothing to weigh until the gate lets a policy go live that does."
        )
    rows, seen = _servings(tables, page.page, first, last, most)
    known = known_on(
        np.asarray(rows["served_at"].cast(pa.timestamp("us"))).astype("datetime64[us]"),
        config.business_time_zone,
        config.reward_hours,
    )
    rows = rows.filter(pa.array(known <= np.datetime64(last)))
    specs = [
        name
        for name, of in sorted(config.policies.items())
        if of.page == page.page
        and of.feature_set == config.policies[spec].feature_set
        and algorithms.expects_reward(of)
    ]
    served = sorted(set(rows["decision_date"].to_pylist()))
    fitted = _fitted(tables, config, specs, served)
    rows = rows.filter(pc.is_in(rows["decision_date"], pa.array(sorted(fitted[spec]), pa.date32())))
    rows = _with_contexts(tables, rows, config.policies[spec].feature_set, first, last)
    if not rows.num_rows:
        raise NoLog(
            f"Page {page.page} has no servings from {first} to {last} on which {spec} knew what comes with a"
            " reward: run policies for these days first."
        )
    rows = _with_audience(tables, rows, page)
    judged = {
        name: Judged(
            config.policies[name],
            config.feature_sets[config.policies[name].feature_set],
            config.pages[page.page],
            of_days,
        )
        for name, of_days in fitted.items()
    }
    changes = tables.read("widgets", None, ["widget", "changed_date", "kind", *LABELS]).to_pylist()
    labels = {day: widgets_as_of(changes, day) for day in served}
    others = [judged[spec], *(judged[name] for name in specs if name != spec)]
    batch = rows.combine_chunks().to_batches()[0]
    return GoalsLog(page, spec, first, last, batch, judged[spec], others, seen, labels, config.seed)


def _servings(tables: Tables, page: str, first: date, last: date, most: int) -> tuple[pa.Table, Seen]:
    """Return a page's servings, and the share of sights by position of the day before each day.

    All of them are only counted: of those that are judged alone everything is read.
    """
    day = ds.field("decision_date")
    within = (day >= first - timedelta(1)) & (day <= last) & (ds.field("page") == page)
    counted = tables.read("feedback", within, ["decision_date", "subject", "position", "is_seen"])
    some = _some(counted.filter(pc.field("decision_date") >= first), most)
    if not len(some):
        raise NoLog(f"Page {page} was not served from {first} to {last}: there is no log to preview from.")
    shares = counted.append_column("share", counted["is_seen"].cast(pa.float64())).group_by(
        ["decision_date", "position"]
    )
    seen: dict[tuple[str, date], list[float]] = {}
    for row in shares.aggregate([("share", "mean")]).sort_by("position").to_pylist():
        seen.setdefault((page, row["decision_date"] + timedelta(1)), []).append(row["share_mean"])
    asked = within & (day >= first) & ds.field("subject").isin(some)
    table = tables.read("feedback", asked, list(FEEDBACK)).sort_by(
        [("decision_id", "ascending"), ("position", "ascending")]
    )
    ids = table["decision_id"].combine_chunks().dictionary_encode().indices
    owner, position = np.asarray(ids), np.asarray(table["position"])
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    there = np.zeros((len(starts), int(position.max()) + 1), dtype=np.bool_)
    there[np.cumsum(np.diff(owner, prepend=-1) != 0) - 1, position] = True
    of_rows = [dict(row) for row in table["rewards"].to_pylist()]
    earned = {
        goal: pa.array([float(row.get(goal) or 0.0) for row in of_rows])
        for goal in dict.fromkeys((*EARNED, *DIRECT))
    }
    columns: dict[str, Any] = {name: table[name].take(pa.array(starts)) for name in OF_SERVING}
    columns |= {
        name: lists_where(table[of].combine_chunks(), there)
        for name, of in (
            ("widgets", "widget"),
            ("propensities", "propensity"),
            ("is_seen", "is_seen"),
            ("rewards", "reward"),
        )
    }
    columns |= {goal: lists_where(values, there) for goal, values in earned.items()}
    return pa.table(columns), seen


def _some(table: pa.Table, most: int) -> pa.Array:
    """Choose whole subjects, by the order of their pseudonyms, which are hashes, until there are enough."""
    counts = table.filter(pc.field("position") == 0).group_by("subject").aggregate([("position", "count")])
    ordered = counts.sort_by("subject")
    total = np.cumsum(np.asarray(ordered["position_count"]))
    kept = ordered["subject"].slice(0, max(int(np.searchsorted(total, most, side="right")), 1))
    return pa.concat_arrays(kept.chunks) if kept.num_chunks else pa.array([], pa.string())


def _with_contexts(tables: Tables, rows: pa.Table, feature_set: str, first: date, last: date) -> pa.Table:
    """Give each serving the context of its draw; one drawn before the set was is left out."""
    day = ds.field("decision_date")
    within = (day >= first) & (day <= last) & (ds.field("feature_set") == feature_set)
    own = ds.field("draw_id").isin(pc.unique(rows["draw_id"]))
    drawn = tables.read("contexts", within & own, list(CONTEXT))
    places = {
        key: at
        for at, key in enumerate(
            zip(drawn["draw_id"].to_pylist(), drawn["decision_date"].to_pylist(), strict=True)
        )
    }
    keys = zip(rows["draw_id"].to_pylist(), rows["decision_date"].to_pylist(), strict=True)
    found = np.array([places.get(key, -1) for key in keys], dtype=np.int64)
    rows, at = rows.filter(pa.array(found >= 0)), pa.array(found[found >= 0])
    for name in CONTEXT[2:]:
        rows = rows.append_column(name, drawn[name].take(at))
    return rows


def _with_audience(tables: Tables, rows: pa.Table, page: Page) -> pa.Table:
    """Give each serving what rules ask of its subject, as of the evening before; nothing if none ask."""
    if page.rules is None or not (page.rules.eligible or page.rules.filters.text):
        columns = contract("subject_features").columns
        for name in AUDIENCE[1:]:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, columns[name].arrow))
        return rows
    days = [day - timedelta(1) for day in pc.unique(rows["decision_date"]).to_pylist()]
    within = ds.field("feature_date").isin(pa.array(days, pa.date32()))
    own = ds.field("subject").isin(pc.unique(rows["subject"]))
    known = tables.read("subject_features", within & own, ["subject", "feature_date", *AUDIENCE])
    evenings = zip(known["subject"].to_pylist(), known["feature_date"].to_pylist(), strict=True)
    at = {key: place for place, key in enumerate(evenings)}
    keys = zip(rows["subject"].to_pylist(), rows["decision_date"].to_pylist(), strict=True)
    places = pa.array([at.get((subject, day - timedelta(1))) for subject, day in keys], pa.int64())
    rows = rows.drop_columns(["role"])
    for name in AUDIENCE:
        rows = rows.append_column(name, known[name].take(places))
    return rows


def _fitted(
    tables: Tables, config: Config, specs: Sequence[str], days: Sequence[date]
) -> dict[str, dict[date, Mapping[str, Any]]]:
    """Return by spec and day its newest row of `policies` from before the day, where that has worths."""
    if "worths" not in {field.name for field in tables.open("policies").schema().fields}:
        return {name: {} for name in specs}  # not yet written by a version that knows goals
    digests = {config.policies[name].digest: name for name in specs}
    wanted = ds.field("spec_digest").isin(sorted(digests))
    known: dict[str, set[date]] = {name: set() for name in specs}
    listed = tables.read("policies", wanted, ["spec_digest", "fitted_date"])
    for row in listed.to_pylist():
        known[digests[row["spec_digest"]]].add(row["fitted_date"])
    newest = {
        name: {day: max((then for then in known[name] if then < day), default=None) for day in days}
        for name in specs
    }
    needed = sorted({then for of in newest.values() for then in of.values() if then})
    columns = ["policy_version", "spec_digest", "fitted_date", "widgets", "worths", *algorithms.PARAMETERS]
    found = {}
    if needed:
        rows = tables.read("policies", wanted & ds.field("fitted_date").isin(needed), columns)
        numeric = {name: rows[name] for name in ("worths", *algorithms.PARAMETERS)}
        for at, row in enumerate(rows.select(columns[:4]).to_pylist()):
            arrays = {name: _numbers(column[at]) for name, column in numeric.items()}
            found[digests[row["spec_digest"]], row["fitted_date"]] = {**row, **arrays}
    return {
        name: {
            day: found[name, then]
            for day, then in newest[name].items()
            if then is not None and found[name, then]["worths"] is not None
        }
        for name in specs
    }


def _numbers(value: pa.ListScalar) -> Any:
    return None if not value.is_valid else np.asarray(value.values, dtype=np.float64)
