"""What the demo's policies are truly worth on its test weeks, from the pipeline's tables and the truth.

Reads   decisions, contexts, subject_features and policies (the pipeline's), {home}/truth (the demo's)
Writes  nothing
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from jobs import algorithms
from jobs.config import Config, FeatureSet, Page, Policy
from jobs.demo import truth, value
from jobs.demo.history import Floats
from jobs.demo.source import DemoError, date_of
from jobs.demo.truth import Truth
from jobs.demo.value import Value, Weigh
from jobs.live import POLICY, LivePolicies
from jobs.tables import Tables
from ml.bandits.linear import COLD
from ml.draw import DrawRule, first_position_probabilities
from ml.randomness import subject_keys

TEST_DAYS = range(271, 285)
UNIFORM, LOGGING, RULE = "uniform", "logging policy", "household-mean rule, from log"
GREEDY, SERVED = "learned policy, greedy", "learned policy, as served"


@dataclass(frozen=True)
class Inputs:
    """Rows of the pipeline's tables, for the decisions of one page on some days."""

    decisions: pd.DataFrame  # decision_id, draw_id, subject, decision_date; one row a serving
    contexts: pa.Table  # of one feature set
    policy: dict[str, Any]  # a row of policies
    feature_set: FeatureSet  # of the contexts and the policy


@dataclass(frozen=True)
class PageValues:
    """The values of a page's policies, and what they were taken on."""

    page: str
    policy_version: str
    first: date
    last: date
    visits: int
    households: int
    best_constant: str
    policies: list[Value]


def page_values(config: Config, tables: Tables, home: Path, page: Page) -> PageValues:
    """The true values on the test weeks, of a policy that was fitted on the days before them."""
    first, last = date_of(TEST_DAYS[0]), date_of(TEST_DAYS[-1])
    spec = learned_spec(config, tables, page, last)
    inputs = read_inputs(tables, page, spec, config.feature_sets[spec.feature_set], first, last)
    known, features = truth.read(home, page.page, first, last), read_features(tables, first, last)
    return evaluate(known, inputs, features, page, spec, config.seed)


def learned_spec(config: Config, tables: Tables, page: Page, night: date) -> Policy:
    """The page's live spec of a night, if it learns; else the first of its specs, by name, that does."""
    releases = tables.read("releases", ds.field("kind") == POLICY).to_pylist()
    live = LivePolicies.of(page, releases).spec(night, config.policies)
    ours = [spec for _, spec in sorted(config.policies.items()) if spec.page == page.page]
    learning = [
        spec for spec in ours if isinstance(algorithms.ALGORITHMS.get(spec.algorithm), algorithms.Learner)
    ]
    return next((spec for spec in learning if spec.name == live), learning[0])


def read_inputs(
    tables: Tables, page: Page, spec: Policy, feature_set: FeatureSet, first: date, last: date
) -> Inputs:
    """Read what the values need, and the newest policy of before `first`."""
    newest = newest_of(read_policies(tables, spec, first), spec, first)
    return Inputs(*read_served(tables, page, spec.feature_set, first, last), newest, feature_set)


def read_served(
    tables: Tables, page: Page, feature_set: str, first: date, last: date
) -> tuple[pd.DataFrame, pa.Table]:
    """Read a page's decisions, one row a serving, and their contexts of a feature set."""
    served = (ds.field("decision_date") >= first) & (ds.field("decision_date") <= last)
    on_page = ds.field("page") == page.page
    decisions = tables.read(
        "decisions",
        served & on_page & (ds.field("position") == 0),
        ["decision_id", "draw_id", "subject", "decision_date"],
    )
    contexts = tables.read(
        "contexts",
        served & on_page & (ds.field("feature_set") == feature_set),
        ["draw_id", "decision_date", "candidates", "context", "action_context"],
    )
    return decisions.to_pandas(), contexts


def read_features(tables: Tables, first: date, last: date) -> pa.Table:
    """Read the mean rewards that were known of subjects on the evenings before some days."""
    evening = timedelta(days=1)
    return tables.read(
        "subject_features",
        (ds.field("feature_date") >= first - evening) & (ds.field("feature_date") <= last - evening),
        ["subject", "feature_date", "widget_reward_means"],
    )


def read_policies(tables: Tables, spec: Policy, before: date) -> list[dict[str, Any]]:
    """Read a spec's policies that were fitted before a day."""
    fitted = (ds.field("spec") == spec.name) & (ds.field("fitted_date") < before)
    rows: list[dict[str, Any]] = tables.read("policies", fitted).to_pylist()
    return rows


def newest_of(policies: Sequence[dict[str, Any]], spec: Policy, before: date) -> dict[str, Any]:
    """Return the newest policy that was fitted before a day."""
    earlier = [row for row in policies if row["fitted_date"] < before]
    if not earlier:
        raise DemoError(
            f"There is no policy of {spec.name} fitted before {before}: run lake_etl for those days."
        )
    return max(earlier, key=lambda row: row["fitted_date"])


def evaluate(
    known: Truth, inputs: Inputs, features: pa.Table, page: Page, spec: Policy, seed: int
) -> PageValues:
    """Value every policy on the decisions that truth and pipeline both know.

    features: subject, feature_date, widget_reward_means of the evenings before.
    """
    decisions = inputs.decisions.set_index("decision_id")
    known = truth.take(known, np.flatnonzero(pd.Index(known.decision_id).isin(decisions.index)))
    decisions = decisions.loc[list(known.decision_id)].reset_index()
    rewards, positions = known.rewards, page.positions
    scores, bonuses = policy_scores(inputs, decisions, known.actions, spec, seed)
    means = reward_means(features, decisions, page.page, known.actions)
    constants, best = _constants(rewards, known.actions, positions)
    served = by_scores(scores + bonuses, algorithms.rule_of(spec, page))
    values = {
        UNIFORM: np.asarray(rewards.mean(axis=1) * value.DISCOUNT[:positions].sum()),
        **constants,
        LOGGING: value.of_draws(rewards, value.by_weights(known.logging), positions, seed),
        RULE: value.of_layouts(rewards, value.top(means, positions)),
        GREEDY: value.of_layouts(rewards, value.top(scores, positions)),
        SERVED: value.of_draws(rewards, served, positions, seed),
    }
    return PageValues(
        page=page.page,
        policy_version=str(inputs.policy["policy_version"]),
        first=date_of(int(known.day.min())),
        last=date_of(int(known.day.max())),
        visits=len(rewards),
        households=len(np.unique(known.household)),
        best_constant=best,
        policies=value.intervals(values, known.household, best, seed),
    )


def by_scores(scores: Floats, rule: DrawRule) -> Weigh:
    """Draw by a policy's rule from scores (n, k), -inf where there is no candidate."""
    candidate = np.isfinite(scores)

    def weigh(left: npt.NDArray[np.bool_]) -> Floats:
        return first_position_probabilities(scores, left & candidate, **asdict(rule))

    return weigh


def _constants(rewards: Floats, actions: Sequence[str], positions: int) -> tuple[dict[str, Floats], str]:
    """Constant policies' values by name, and the name of the best (in hindsight: the hardest to beat)."""
    best = value.best_layout(rewards, positions)
    if positions > 1:
        name = f"always the best {positions}"
        return {name: value.of_layouts(rewards, np.tile(best, (len(rewards), 1)))}, name
    named = {f"always {action}": rewards[:, place] for place, action in enumerate(actions)}
    return named, f"always {actions[best[0]]}"


def policy_scores(
    inputs: Inputs, decisions: pd.DataFrame, actions: Sequence[str], spec: Policy, seed: int
) -> tuple[Floats, Floats]:
    """(n, k) expected rewards and exploration bonuses, columns as `actions`; -inf and 0 for no candidate."""
    keys = pd.MultiIndex.from_frame(inputs.contexts.select(["draw_id", "decision_date"]).to_pandas())
    wanted = pd.MultiIndex.from_frame(decisions[["draw_id", "decision_date"]])
    places = keys.get_indexer(wanted)
    if (places < 0).any():
        raise DemoError(
            f"{(places < 0).sum()} of {len(places)} draws have no context: run lake_etl for those days."
        )
    contexts = inputs.contexts.take(pa.array(places))
    groups, lists = pd.factorize(pd.Series(contexts["candidates"].to_pylist()).map(tuple))
    model = algorithms.restore(spec, inputs.feature_set, inputs.policy)
    arms = {widget: arm for arm, widget in enumerate(inputs.policy["widgets"])}
    days = pd.to_datetime(decisions["decision_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)
    of_subjects = subject_keys(decisions["subject"].tolist())
    scores = np.full((len(decisions), len(actions)), -np.inf)
    bonuses = np.zeros(scores.shape)
    for group, names in enumerate(lists):
        rows = np.flatnonzero(groups == group)
        chosen = contexts.take(pa.array(rows))
        selected = model.select(np.array([arms.get(name, COLD) for name in names]))
        context, own = _matrix(chosen["context"]), _matrix(chosen["action_context"])
        of_arms = own.reshape(len(rows), len(names), own.shape[1] // len(names))
        at = np.ix_(rows, np.array([list(actions).index(name) for name in names]))
        normals = selected.normals(seed, of_subjects[rows], page=spec.page, epoch=days[rows], arms=names)
        scores[at] = selected.scores(context, of_arms)
        bonuses[at] = selected.bonuses(context, of_arms, normals)
    return scores, bonuses


def reward_means(features: pa.Table, decisions: pd.DataFrame, page: str, actions: Sequence[str]) -> Floats:
    """(n, k) mean rewards of a household's seen actions as of the evening before, shrunk to the population.

    A subject without features, or without one of them, has the mean of those who have it.
    """
    evening = pd.to_datetime(features["feature_date"].to_pandas()) + pd.Timedelta(days=1)
    keys = pd.MultiIndex.from_arrays([features["subject"].to_pandas(), evening])
    days = pd.to_datetime(decisions["decision_date"])
    places = keys.get_indexer(pd.MultiIndex.from_arrays([decisions["subject"], days]))
    found = features.take(pa.array(places[places >= 0]))["widget_reward_means"].to_pylist()
    means = np.full((len(decisions), len(actions)), np.nan)
    names = [f"{page}/{action}" for action in actions]
    for row, entries in zip(np.flatnonzero(places >= 0), found, strict=True):
        of_subject = dict(entries or ())
        means[row] = [of_subject.get(name, np.nan) for name in names]
    known = ~np.isnan(means)
    population = np.where(known, means, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, means, population)


def _matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A list column, all of one length, as rows of a matrix."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(len(column), -1) if len(flat) else np.empty((len(column), 0)), np.float32)
