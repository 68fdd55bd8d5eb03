"""Learners compared on the demo: what each is truly worth on the last two weeks, fitted on the log before.

Ridge regressions (LinTS and LinUCB, whose means are the same), the page's live spec as the pipeline had it,
XGBoost, CatBoost, and their ensemble with the regressions, each greedy. It asks for a data home that
`make demo` has filled (VITRINE_HOME), takes contexts and seen rewards from its tables, and the value of every
widget at every visit from the demo's truth. Intervals are bootstraps clustered by household.
"""

from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.config import Config, Page, home, load
from jobs.demo import truth, value, values
from jobs.demo.source import date_of
from jobs.tables import Tables
from ml.bandits.boosted import Boosted
from ml.bandits.ensemble import Ensemble
from ml.bandits.lints import LinTS
from ml.bandits.policy import Policy
from ml.bandits.statistics import of_rows
from tests.bench.measure import Row

RIDGE = 1.0


def run(trees: int = 200) -> list[Row]:
    """Value every learner on both pages."""
    config = load()
    tables = Tables(config.tables)
    return [row for _, page in sorted(config.pages.items()) for row in of_page(config, tables, page, trees)]


def of_page(config: Config, tables: Tables, page: Page, trees: int) -> list[Row]:
    """Fit on the days before the test weeks, and value on the test weeks."""
    first, last = (date_of(values.TEST_DAYS[place]) for place in (0, -1))
    spec = values.learned_spec(config, tables, page, last)
    inputs = values.read_inputs(tables, page, spec, config.feature_sets[spec.feature_set], first, last)
    known = truth.read(home(), page.page, first, last)
    decisions = inputs.decisions.set_index("decision_id")
    known = truth.take(known, np.flatnonzero(pd.Index(known.decision_id).isin(decisions.index)))
    decisions = decisions.loc[list(known.decision_id)].reset_index()
    own, _ = values.policy_scores(inputs, decisions, known.actions, spec, config.seed)
    found = {f"{spec.name} as the pipeline fitted it": own}
    for name, learner in fitted(tables, page, spec.feature_set, first, trees).items():
        arrays = contexts_of(inputs.contexts, decisions)
        order = [arrays[2].index(action) for action in known.actions]
        found[name] = learner.scores(arrays[0], arrays[1])[:, order].astype(float)
    worth = {
        name: value.of_layouts(known.rewards, value.top(scores, page.positions))
        for name, scores in found.items()
    }
    baseline = next(iter(worth))
    told = value.intervals(worth, known.household, baseline, config.seed)
    return [
        Row(
            f"{page.page}: {each.policy}, greedy",
            len(decisions),
            f"a visit ({each.low:.3f} to {each.high:.3f}; {each.gain:+.1f} %, {each.gain_low:+.1f} to"
            f" {each.gain_high:+.1f} %)",
            each.mean,
        )
        for each in told
    ]


def fitted(tables: Tables, page: Page, feature_set: str, before: date, trees: int) -> dict[str, Policy]:
    """Fit every learner on what was seen before a day."""
    x, arms, rewards, propensities, count = logged(tables, page, feature_set, before)
    ridge = LinTS(RIDGE, 0.0).fit(of_rows(x, arms, rewards, arms=count))
    found: dict[str, Policy] = {"LinTS, a regression a widget": ridge}
    for library in ("xgboost", "catboost"):
        model = Boosted(library, trees=trees)
        found[library] = model.fit(x, arms, rewards, propensities, arms=count)
    found["ensemble of the three"] = Ensemble([(1.0, each) for each in found.values()])
    return found


def logged(
    tables: Tables, page: Page, feature_set: str, before: date
) -> tuple[NDArray, NDArray, NDArray, NDArray, int]:
    """Return (m, d) x of every seen widget before a day, (m,) which it was, reward, propensity, and arms."""
    earlier = (ds.field("decision_date") < before) & (ds.field("page") == page.page)
    columns = ["draw_id", "decision_date", "widget", "reward", "propensity"]
    rows = tables.read("feedback", earlier & ds.field("is_seen"), columns).to_pandas()
    of_set = earlier & (ds.field("feature_set") == feature_set)
    asked = ["draw_id", "decision_date", "candidates", "context", "action_context"]
    known = tables.read("contexts", of_set, asked)
    keys = pd.MultiIndex.from_frame(known.select(["draw_id", "decision_date"]).to_pandas())
    rows = rows[pd.MultiIndex.from_frame(rows[["draw_id", "decision_date"]]).isin(keys)].reset_index()
    shared, own, widgets = contexts_of(known, rows)
    arms = rows["widget"].map({name: arm for arm, name in enumerate(widgets)}).to_numpy()
    x = np.concatenate([shared, own[np.arange(len(rows)), arms]], axis=1).astype(float)
    numbers = [rows[name].to_numpy(float) for name in ("reward", "propensity")]
    return x, arms, *numbers, len(widgets)


def contexts_of(known: pa.Table, rows: pd.DataFrame) -> tuple[NDArray, NDArray, list[str]]:
    """Return (n, d) and (n, k, e) contexts of rows' draws, and the k widgets (a demo page has one list)."""
    keys = pd.MultiIndex.from_frame(known.select(["draw_id", "decision_date"]).to_pandas())
    places = keys.get_indexer(pd.MultiIndex.from_frame(rows[["draw_id", "decision_date"]]))
    chosen = known.take(pa.array(places))
    (widgets,) = set(map(tuple, chosen["candidates"].to_pylist()))
    shared, own = (
        np.array(chosen[name].combine_chunks().flatten(), dtype=np.float32).reshape(len(rows), -1)
        for name in ("context", "action_context")
    )
    return shared, own.reshape(len(rows), len(widgets), -1), list(widgets)
