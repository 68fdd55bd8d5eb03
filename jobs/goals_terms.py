"""Goals of a page at its logged servings: by any weights, what each serving adds to each goal's value.

What comes of a page (reward, click, quality, revenue) is estimated off-policy: the position-based estimator
for several positions, doubly robust for one, with what the policy expects of each goal as its model. What a
page is like (freshness, diversity) needs no log: each serving's page is drawn `DRAWS` times, from the same
random numbers whatever the weights.

Arrays in, arrays out; nothing is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs import page_goals, steering
from jobs.epochs import EPOCH_ZERO
from jobs.goals_log import EARNED, GoalsLog, NoLog
from jobs.judging import Judged, Servings, alike, predictions_of, servings_of, under
from jobs.page_specs import DIVERSITY, REWARD, Page
from ml.draw import NOBODY
from ml.ope import exposure, judged
from ml.ope.covered import counts
from ml.ope.slates import Exposures
from ml.ope.terms import Terms
from ml.randomness import uniform
from ml.rank import ruled
from ml.rank.measures import intra_list_distance
from ml.rank.relevance import typical_differences

DRAWS = 8
OF_LOG = (REWARD, *page_goals.OF_REWARD)
COLUMN = {REWARD: "rewards", "click": "click", "quality": "basket", "revenue": "revenue"}
assert set(COLUMN.values()) == {"rewards", *EARNED}

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Group:
    """Servings that are judged at once, with what does not depend on weights."""

    servings: Servings
    rows: Any
    values: Floats
    of_widgets: Floats
    predictions: Floats | None
    earned: Mapping[str, Floats]
    numbers: NDArray[np.int64]
    likeness: Floats
    uniforms: Floats  # (DRAWS, n, positions)


def measured(groups: Sequence[Group]) -> dict[str, float]:
    """Return by goal how much it typically differs between the widgets of a page."""
    squares: dict[str, float] = {}
    rows = sum(len(group.values) for group in groups)
    for group in groups:
        own = typical_differences(page_goals.by_goal(group.values, group.of_widgets))
        k = len(group.likeness)
        alike_others = typical_differences({DIVERSITY: group.likeness}, ~np.eye(k, dtype=np.bool_))
        for name, value in (own | alike_others).items():
            squares[name] = squares.get(name, 0.0) + len(group.values) / rows * value**2
    return {name: float(f"{np.sqrt(square):.3g}") for name, square in squares.items() if square > 0}


def terms(log: GoalsLog, groups: Sequence[Group], page: Page) -> dict[str, Floats]:
    """Return by goal what each serving adds to the mean by a page's goals and rules; NaN outside `groups`."""
    found: dict[str, Floats] = {}
    target = replace(log.live, page=page)
    for part in groups:
        values = page_goals.combined(part.values, page.goals, part.of_widgets)
        text, eligible = under(part.rows, part.servings, page, log.labels)
        rules = None if text is None else steering.read(text)
        for goal, estimate in _of_log(log, part, target, values, rules, eligible):
            _put(found, goal, part, log, estimate.contributions)
        for goal, drawn in _of_pages(part, target, values, rules, eligible):
            _put(found, goal, part, log, drawn)
    return found


def _put(found: dict[str, Floats], goal: str, group: Group, log: GoalsLog, values: Floats) -> None:
    found.setdefault(goal, np.full(log.rows.num_rows, np.nan))[group.numbers] = values


def grouped(log: GoalsLog) -> Iterator[Group]:
    rows = log.rows.append_column("number", np.arange(log.rows.num_rows))
    for part in alike(rows):
        about = servings_of(part, log.seen)
        row = log.live.fitted[about.day]
        of_widgets = page_goals.worths_of(row, about.candidates)
        if of_widgets is None:
            raise NoLog(f"The policies of {log.page.page} know nothing of goals yet.")
        model = log.live.model(about.day, about.candidates)
        epoch = (about.day - EPOCH_ZERO).days
        normals = model.normals(log.seed, about.keys, page=about.page, epoch=epoch, arms=about.candidates)
        here = [one for one in log.others if about.day in one.fitted]
        predictions = predictions_of(about, here)
        yield Group(
            about,
            part,
            model.values(about.contexts, about.own, normals),
            of_widgets,
            None if predictions is None else predictions.astype(np.float64),
            {goal: np.asarray(part[name].flatten(), dtype=np.float64).reshape(about.slates.shape)
             for goal, name in COLUMN.items()},
            np.asarray(part["number"]),
            steering.likeness_of(about.candidates, log.labels[about.day]),
            _uniforms(log.seed, about),
        )  # fmt: skip


def _of_log(
    log: GoalsLog, group: Group, target: Judged, values: Floats, rules: Any, eligible: NDArray[np.bool_]
) -> Iterator[tuple[str, Terms]]:
    """Estimate what would have come of the pages: by goal a number a serving."""
    about, model = group.servings, target.model(group.servings.day, group.servings.candidates)
    rule, slates = model.rule, about.slates
    probabilities = ruled.slate_propensities(values, eligible, slates, rule=rule, rules=rules).astype(
        np.float64
    )
    expected_of = (
        None if group.predictions is None else page_goals.by_goal(group.predictions, group.of_widgets)
    )
    several = slates.shape[1] > 1
    if several:
        looks = exposure.of_widgets(
            values, rule, about.seen, seed=log.seed, keys=about.keys, rules=rules, eligible=eligible
        )
    else:
        looks = ruled.first_position_probabilities(values, eligible, rule=rule, rules=rules)
    counted = None
    if several and about.rules is not None:
        logged, own = np.take_along_axis(looks, np.maximum(slates, 0), axis=1), steering.read(about.rules)
        counted = counts(slates, about.looked, about.propensities, probabilities, logged, own, about.seen)
    at = np.maximum(slates, 0)
    for goal in OF_LOG:
        expected = None if expected_of is None else expected_of[goal]
        drawn = exposure.of_logged(looks, slates, about.seen, expected) if several else None
        earned = np.where(about.looked | (group.earned[goal] != 0), group.earned[goal], 0.0)
        one = judged.Judged(
            about.propensities,
            probabilities,
            {judged.MAIN: earned},
            np.zeros(len(slates), dtype=np.int64),
            None if expected is None or several else np.take_along_axis(expected, at, axis=1),
            None if expected is None or several else (looks * expected).sum(axis=1, keepdims=True),
            about.looked | (earned != 0),
            None if drawn is None else Exposures(drawn.logged, drawn.rated, drawn.modelled, counted),
        )  # fmt: skip
        yield goal, next(iter(one.terms(judged.MAIN).values()))


def _of_pages(
    group: Group, target: Judged, values: Floats, rules: Any, eligible: NDArray[np.bool_]
) -> Iterator[tuple[str, Floats]]:
    """Return what drawn pages are like: the mean freshness of their widgets, and how much these differ."""
    model, positions = (
        target.model(group.servings.day, group.servings.candidates),
        group.servings.slates.shape[1],
    )
    fresh, varied = np.zeros(len(values)), np.zeros(len(values))
    for number in range(DRAWS):
        slates = ruled.draw(
            values, eligible, rule=model.rule, uniforms=group.uniforms[number], rules=rules
        ).slates
        there = slates != NOBODY
        of_widget = np.where(there, group.of_widgets[-1][np.maximum(slates, 0)], 0.0)
        fresh += of_widget.sum(axis=1) / np.maximum(there.sum(axis=1), 1) / DRAWS
        if positions > 1:
            varied += np.nan_to_num(intra_list_distance(slates, group.likeness)) / DRAWS
    yield page_goals.FRESHNESS, fresh
    if positions > 1:
        yield DIVERSITY, varied


def _uniforms(seed: int, about: Servings) -> Floats:
    """Return the numbers that pages are drawn from, the same whatever the weights."""
    epoch, positions = (about.day - EPOCH_ZERO).days, min(about.slates.shape[1], len(about.candidates))
    draws, places = np.divmod(np.arange(DRAWS * positions), positions)
    keys = np.repeat(about.keys, DRAWS * positions)
    at = np.tile(places + positions * draws, len(about.keys))
    flat = uniform(seed, keys, page=about.page, purpose="preview", position=at, epoch=epoch)
    return flat.reshape(len(about.keys), DRAWS, positions).transpose(1, 0, 2).copy()


def part_of(group: Group, wanted: NDArray[np.bool_]) -> Group:
    about = group.servings
    cut = replace(
        about,
        **{name: getattr(about, name)[wanted]
           for name in ("contexts", "own", "slates", "keys", "looked", "propensities")},
    )  # fmt: skip
    return replace(
        group,
        servings=cut,
        rows=group.rows.take(np.flatnonzero(wanted)),
        values=group.values[wanted],
        predictions=None if group.predictions is None else group.predictions[wanted],
        earned={goal: values[wanted] for goal, values in group.earned.items()},
        numbers=group.numbers[wanted],
        uniforms=group.uniforms[:, wanted],
    )
