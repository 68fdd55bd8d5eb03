"""What other weights of a page's goals would gain and lose, from its log.

Every goal's change is paired: the same servings, judged by the weights of now and by others
(`jobs.goals_terms`), with an interval at 95 % by subject. Nothing is read here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from jobs import page_goals, steering
from jobs.goals_log import GoalsLog
from jobs.goals_terms import Floats, Group, grouped, measured, part_of, terms
from jobs.judging import under
from jobs.page_specs import DIVERSITY, GOALS, REWARD, Goals, Page, check_weights
from ml.draw import NOBODY
from ml.ope.intervals import Interval, student_t
from ml.ope.terms import Terms
from ml.rank import ruled

EXAMPLES = 10


@dataclass(frozen=True)
class Change:
    """A goal by the weights of now and by others: values a serving, and their paired difference."""

    goal: str
    now: float
    then: float
    difference: Interval


@dataclass(frozen=True)
class Point:
    """Weights of the grid: the change of each goal, and whether no other weights are better in all."""

    weights: Mapping[str, float]
    changes: Mapping[str, Interval]
    is_best: bool


@dataclass(frozen=True)
class Example:
    """A subject's page before and after."""

    subject: str
    role: str
    before: Sequence[str]
    after: Sequence[str]


@dataclass(frozen=True)
class Preview:
    """All that a preview says."""

    log: GoalsLog
    goals: Goals
    now: Goals
    servings: int
    subjects: int
    changes: Sequence[Change]
    points: Sequence[Point]
    of_grid: int
    examples: Sequence[Example]


def preview(log: GoalsLog, weights: Mapping[str, float], grid_rows: int = 1000) -> Preview:
    """Compare weights with those of now at every serving, and a grid of weights at some of them.

    Raises
    ------
    ValueError
        On weights that cannot be, or of a goal in which this page's widgets do not differ.

    """
    check_weights(weights)
    groups = list(grouped(log))
    differences = measured(groups) | (log.page.goals.differences if log.page.goals else {})
    goals = _goals(log.page, weights, differences)
    now = log.page.goals or _goals(log.page, {REWARD: 1.0}, differences)
    subjects = np.unique(log.rows["subject"].to_pylist(), return_inverse=True)[1]
    before, after = (terms(log, groups, page) for page in (log.page, _with(log.page, goals)))
    changes = [
        Change(
            name,
            float(before[name].mean()),
            float(after[name].mean()),
            _paired(before[name], after[name], subjects),
        )
        for name in GOALS
        if name in before
    ]
    some = subjects < np.searchsorted(np.cumsum(np.bincount(subjects)), grid_rows) + 1
    points = _points(log, groups, goals, differences, before, some, subjects)
    return Preview(
        log, goals, now, len(subjects), int(subjects.max()) + 1, changes, points, int(some.sum()),
        list(_examples(log, groups, _with(log.page, goals))),
    )  # fmt: skip


def _points(
    log: GoalsLog,
    groups: Sequence[Group],
    goals: Goals,
    differences: Mapping[str, float],
    before: Mapping[str, Floats],
    some: NDArray[np.bool_],
    subjects: NDArray[np.int64],
) -> list[Point]:
    """Compare a grid of weights at some servings; the best are those that lose to no others in all goals."""
    of = {*goals.weights, *(log.page.goals.weights if log.page.goals else ()), REWARD}
    names = [name for name in GOALS if name in of and name in before]
    parts = [part_of(group, some[group.numbers]) for group in groups if some[group.numbers].any()]
    found = []
    for weights in grid([name for name in names if name in differences], goals.weights):
        after = terms(log, parts, _with(log.page, _goals(log.page, weights, differences)))
        changes = {name: _paired(before[name][some], after[name][some], subjects[some]) for name in names}
        found.append((weights, changes))
    best = pareto(np.array([[each.value for each in changes.values()] for _, changes in found]))
    return [
        Point(weights, changes, bool(is_best))
        for (weights, changes), is_best in zip(found, best, strict=True)
    ]


def grid(names: Sequence[str], asked: Mapping[str, float]) -> list[dict[str, float]]:
    """Return weights to try: each goal alone, any two alike, reward with a little of each, and those asked.

    Diversity stands beside reward only: alone it says nothing of what to show.
    """
    own = [name for name in names if name != DIVERSITY]
    tried = [{name: 1.0} for name in own]
    tried += [dict.fromkeys(pair, 1.0) for pair in combinations(own, 2)]
    tried += [{REWARD: 1.0, name: 0.25} for name in names if name != REWARD]
    tried += [{REWARD: 1.0, DIVERSITY: 1.0}] if DIVERSITY in names else []
    wanted = {name: weight for name, weight in asked.items() if weight}
    return [*(weights for weights in tried if weights != wanted), wanted]


def pareto(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell of (n, goals) values which rows no other row beats: as good in all goals, better in one."""
    at_least = (values[:, None, :] >= values[None, :, :]).all(axis=2)
    better = (values[:, None, :] > values[None, :, :]).any(axis=2)
    return np.asarray(~(at_least & better).any(axis=0))


def _examples(log: GoalsLog, groups: Sequence[Group], page: Page) -> Iterator[Example]:
    """Draw the last page of ten subjects by both weights, from the same numbers."""
    newest = sorted(groups, key=lambda group: group.servings.day, reverse=True)
    told: set[str] = set()
    for group in newest:
        names = group.rows["subject"].to_pylist()
        for at, name in enumerate(names):
            if len(told) == EXAMPLES:
                return
            if name in told:
                continue
            told.add(name)
            one = part_of(group, np.arange(len(names)) == at)
            slates = [_drawn(log, one, each) for each in (log.page, page)]
            yield Example(name, group.rows["role"][at].as_py() or "", *slates)


def _drawn(log: GoalsLog, group: Group, page: Page) -> list[str]:
    about = group.servings
    values = page_goals.combined(group.values, page.goals, group.of_widgets)
    text, eligible = under(group.rows, about, page, log.labels)
    rule = log.live.model(about.day, about.candidates).rule
    rules = None if text is None else steering.read(text)
    (slate,) = ruled.draw(values, eligible, rule=rule, uniforms=group.uniforms[0], rules=rules).slates
    return [about.candidates[column] for column in slate if column != NOBODY]


def _paired(before: Floats, after: Floats, subjects: NDArray[np.int64]) -> Interval:
    return student_t(Terms.mean_of(after) - Terms.mean_of(before), subjects)


def _goals(page: Page, weights: Mapping[str, float], differences: Mapping[str, float]) -> Goals:
    kept = {name: float(weight) for name, weight in weights.items() if weight}
    if DIVERSITY in kept and page.positions == 1:
        raise ValueError(f"page {page.page} has one position: there is no diversity to weigh")
    for name in kept:
        if name not in differences:
            raise ValueError(
                f"the widgets of page {page.page} do not differ in {name}: it has nothing to weigh"
            )
    return Goals(weights=kept, differences={name: differences[name] for name in (REWARD, *kept)})


def _with(page: Page, goals: Goals) -> Page:
    """Return the page with other goals; their diversity takes the place of its rules'."""
    rules = page.rules
    if rules is not None and goals.price_of_likeness:
        rules = rules.model_copy(update={"diversity": type(rules)().diversity})
    return page.model_copy(update={"goals": goals, "rules": rules})
