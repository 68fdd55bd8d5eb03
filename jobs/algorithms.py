"""The algorithms that are fitted from daily statistics: one entry each, for all jobs that fit or draw.

A fitted policy is a row of `policies`: coefficients and covariances by arm. An entry says how a spec becomes
a policy of ml/bandits; the rest is the same for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.config import FeatureSet, Page
from jobs.specs import Policy
from ml.bandits import statistics
from ml.bandits.constant import Constant
from ml.bandits.epsilon_greedy import EpsilonGreedy
from ml.bandits.household_mean import HouseholdMean
from ml.bandits.linear import COLD, Linear
from ml.bandits.lints import LinTS
from ml.bandits.linucb import LinUCB
from ml.bandits.ridge import Ridge
from ml.bandits.softmax import Softmax
from ml.bandits.statistics import Statistics
from ml.bandits.uniform import Uniform
from ml.draw import DrawRule

Labels = Mapping[str, Mapping[str, str]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Learner:
    """An algorithm that learns: a spec becomes a ridge regression of its kind."""

    make: Callable[[Policy, DrawRule], Ridge]


@dataclass(frozen=True)
class Given:
    """An algorithm that learns nothing: a spec, its features and widgets become a policy."""

    make: Callable[[Policy, FeatureSet, Sequence[str], DrawRule], Linear]


def _linucb(spec: Policy, rule: DrawRule) -> Ridge:
    return LinUCB(spec.ridge, spec.alpha, shared_ridge=spec.shared_ridge, rule=rule)


def _lints(spec: Policy, rule: DrawRule) -> Ridge:
    return LinTS(spec.ridge, spec.alpha, shared_ridge=spec.shared_ridge, rule=rule)


def _epsilon_greedy(spec: Policy, rule: DrawRule) -> Ridge:
    return EpsilonGreedy(spec.ridge, epsilon=rule.epsilon, shared_ridge=spec.shared_ridge)


def _softmax(spec: Policy, rule: DrawRule) -> Ridge:
    return Softmax(spec.ridge, temperature=rule.temperature, floor=rule.floor, shared_ridge=spec.shared_ridge)


def _uniform(_: Policy, features: FeatureSet, widgets: Sequence[str], __: DrawRule) -> Linear:
    return Uniform(len(widgets), features.width)


def _constant(spec: Policy, features: FeatureSet, widgets: Sequence[str], rule: DrawRule) -> Linear:
    order = [widgets.index(widget) for widget in spec.widgets if widget in widgets]
    return Constant(order, len(widgets), features.width, rule)


def _household_mean(spec: Policy, features: FeatureSet, widgets: Sequence[str], rule: DrawRule) -> Linear:
    names = [feature.name for feature in (*features.context, *features.action)]
    means = (f"reward_mean/{spec.page}/{{widget}}", f"reward_mean/{spec.page}/")
    columns = []
    for widget in widgets:
        place = next((names.index(name) for name in (means[0], means[1] + widget) if name in names), None)
        if place is None:
            raise ValueError(
                f"policy {spec.name}: feature set {features.name} has no {means[1]}{widget}, the mean reward"
                " that household_mean goes by"
            )
        columns.append(place)
    every = [*features.context, *features.action]
    return HouseholdMean(
        np.array(columns, dtype=np.int64),
        np.array([every[column].center for column in columns]),
        np.array([every[column].scale for column in columns]),
        features.width,
        rule,
    )


ALGORITHMS: dict[str, Learner | Given] = {
    "linucb": Learner(_linucb),
    "lints": Learner(_lints),
    "epsilon_greedy": Learner(_epsilon_greedy),
    "softmax": Learner(_softmax),
    "uniform": Given(_uniform),
    "constant": Given(_constant),
    "household_mean": Given(_household_mean),
}


def knows_all_widgets(spec: Policy) -> bool:
    """Tell whether a policy also has parameters of widgets that nobody has seen yet."""
    return bool(spec.labels) or isinstance(ALGORITHMS[spec.algorithm], Given)


def expects_reward(spec: Policy) -> bool:
    """Tell whether a policy's scores are rewards that it expects, and not just an order."""
    return spec.algorithm not in ("constant", "uniform")


def rule_of(spec: Policy, page: Page | None) -> DrawRule:
    """Return how the spec's scores are drawn from: by its own settings, else by the page's."""
    if spec.algorithm == "epsilon_greedy":
        return DrawRule(0.0, 0.0, spec.epsilon)
    if spec.temperature is not None:
        return DrawRule(spec.temperature, spec.floor)
    return DrawRule(page.temperature, page.floor) if page else DrawRule(0.0)


def fit(
    spec: Policy,
    features: FeatureSet,
    widgets: Sequence[str],
    sums: Statistics,
    labels: Labels | None = None,
    page: Page | None = None,
) -> Linear:
    """Fit a spec on the statistics of these widgets; labels are theirs, by name, where the spec shares."""
    algorithm, rule = ALGORITHMS[spec.algorithm], rule_of(spec, page)
    if isinstance(algorithm, Given):
        return algorithm.make(spec, features, widgets, rule)
    columns = label_columns(spec.labels, widgets, labels or {}) if spec.labels else None
    return algorithm.make(spec, rule).fit(sums, columns)


def restore(spec: Policy, features: FeatureSet, row: Mapping[str, Any], page: Page | None = None) -> Linear:
    """Return the policy of a row of `policies`, over the row's widgets.

    Raises
    ------
    ValueError
        When the row was fitted on another number of features than the set now has.

    """
    algorithm, rule, widgets = ALGORITHMS[spec.algorithm], rule_of(spec, page), list(row["widgets"])
    if isinstance(algorithm, Given):
        return algorithm.make(spec, features, widgets, rule)
    arms, width = len(widgets), features.width
    theta, packed, common = (
        np.asarray(() if row.get(name) is None else row[name], dtype=np.float64) for name in PARAMETERS
    )
    if theta.size != arms * width:
        raise ValueError(
            f"policy {row['policy_version']} has {theta.size} coefficients for {arms} arms, but its feature"
            f" set now has {width} features: give a changed feature set a new name"
        )
    covariance = statistics.unpack(packed.reshape(arms, -1), width)
    loadings = common.reshape(arms, width, -1) if common.size else None
    return algorithm.make(spec, rule).restore(theta.reshape(arms, width), covariance, loadings)


def before_anything_was_seen(
    spec: Policy, features: FeatureSet, widgets: Sequence[str], page: Page | None = None
) -> Linear:
    """Return the policy of a spec that has no row yet: a learner knows no arm, others are what they are."""
    algorithm, rule = ALGORITHMS[spec.algorithm], rule_of(spec, page)
    if isinstance(algorithm, Given):
        return algorithm.make(spec, features, widgets, rule)
    nothing = np.zeros((0, features.width))
    known = algorithm.make(spec, rule).restore(nothing, np.zeros((0, features.width, features.width)))
    return known.select(np.full(len(widgets), COLD))


PARAMETERS = ("theta", "covariance", "common")


def parameters(model: Linear) -> dict[str, Floats]:
    """Return a policy's parameters as they stand in a row of `policies`."""
    none = np.empty(0)
    if not isinstance(model, Ridge):
        return {"theta": model.theta_.ravel(), "covariance": none, "common": none}
    return {
        "theta": model.theta_.ravel(),
        "covariance": statistics.pack(model.covariance_).ravel(),
        "common": none if model.common_ is None else model.common_.ravel(),
    }


def label_columns(names: Sequence[str], widgets: Sequence[str], labels: Labels) -> Floats:
    """Return w of each widget, (k, m): 1, and for each value of each label 1 where the widget has it."""
    values = [[labels.get(widget, {}).get(name) for widget in widgets] for name in names]
    columns = [np.ones(len(widgets))]
    for of_label in values:
        for value in sorted({value for value in of_label if value is not None}):
            has_it = [float(one == value) for one in of_label]
            columns.append(np.array(has_it))
    return np.stack(columns, axis=1)
