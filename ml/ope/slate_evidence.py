"""What the gate looks at for a page of several positions, row by row: as `ml.ope.summary`, which sums it.

Both take their estimators, in their order, and their weights from `ml.ope.judged`; so the position-based
estimator decides wherever exposures are known, then cascade-DR, then reward-interaction IPS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ml.ope.diagnostics import Weights, describe
from ml.ope.evidence import Evidence, paired, rewarded_so_far
from ml.ope.judged import Judged, weighing_of
from ml.ope.logged import Logged
from ml.ope.summarise import variances
from ml.ope.summary import ratios
from ml.ope.terms import Terms


@dataclass(frozen=True, eq=False)
class SlateDay:
    """A day's servings, as the candidate and as the live policy would have drawn them.

    Attributes
    ----------
    candidate, live
        the same servings along each policy; predictions are made without the day's rewards.
    logged
        what they showed first. Its clusters mean the same on all days.
    first
        by widget the candidate's probability at the first position, summed over servings.

    """

    candidate: Judged
    live: Judged
    logged: Logged
    first: Mapping[str, float] = field(default_factory=dict)


def of_slates(days: Mapping[str, SlateDay]) -> Evidence:
    """Gather evidence from logs of slates, days by name in their order.

    Raises
    ------
    ValueError
        Without days.

    """
    if not days:
        raise ValueError("there is no log to evaluate")
    every = list(days.values())
    candidate, live = (
        Judged.joined([day.candidate for day in every]),
        Judged.joined([day.live for day in every]),
    )
    logged = Logged.joined([day.logged for day in every])
    bounds = np.cumsum([len(day.candidate) for day in every])[:-1]
    clusters = tuple(np.split(candidate.clusters, bounds))
    differences, values, rewarded, estimates = {}, {}, {}, dict[str, Terms]()
    for goal in candidate.rewards:
        mine, theirs = candidate.terms(goal), live.terms(goal)
        both = {name: mine[name] - theirs[name] for name in mine if name in theirs}
        estimates = estimates or both
        decides = next(iter(both))
        differences[goal] = tuple(np.split(paired(mine[decides], theirs[decides]), bounds))
        values[goal] = theirs[decides].value
        earned = [np.split(judged.earned(goal), bounds) for judged in (candidate, live)]
        rewarded[goal] = rewarded_so_far(earned, clusters)
    named = {name: _weights(candidate, live, name) for name in estimates}
    decides = next(iter(named))
    return Evidence(
        clusters=clusters,
        differences=differences,
        rewarded=rewarded,
        live=values,
        estimates=estimates,
        weights=named[decides],
        others={name: each for name, each in named.items() if weighing_of(name) != weighing_of(decides)},
        unsupported=_unsupported(every, logged),
        calibrations=tuple(logged.tallies().calibrations()),
        variances=ratios(variances(candidate, live).sum(axis=0), len(candidate)),
    )


def _weights(candidate: Judged, live: Judged, estimator: str) -> dict[str, Weights]:
    by_role = {"candidate": candidate, "live": live}
    return {
        role: describe(judged.weighing()[weighing_of(estimator)], judged.clusters)
        for role, judged in by_role.items()
    }


def _unsupported(days: list[SlateDay], logged: Logged) -> dict[str, float]:
    shown, rows = logged.shown(), len(logged.widgets)
    widgets = sorted({widget for day in days for widget in day.first})
    mass = {widget: sum(day.first.get(widget, 0.0) for day in days) / rows for widget in widgets}
    return {widget: share for widget, share in mass.items() if share > 0 and widget not in shown}
