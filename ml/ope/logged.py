"""What a log of servings says of itself: what was shown first, by which policy, with which probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.ope.calibration import Tallies, codes_of_draws, tallied_by_night
from ml.ope.log import Floats, Integers


@dataclass(frozen=True, eq=False)
class Logged:
    """What was shown first at n servings.

    Attributes
    ----------
    widgets, propensities, policies
        (n,) what stood first, drawn with which probability, by which policy.
    could
        by widget (n,) whether it could stand there.
    clusters, days
        (n,) codes from 0 of the subject, and numbers of the day.

    """

    widgets: NDArray[np.str_]
    propensities: Floats
    policies: NDArray[np.str_]
    could: Mapping[str, NDArray[np.bool_]]
    clusters: Integers
    days: Integers

    @classmethod
    def joined(cls, parts: Sequence["Logged"]) -> "Logged":
        """Put servings of several days one after the other."""
        names = sorted({widget for part in parts for widget in part.could})
        could = {
            name: np.concatenate(
                [part.could.get(name, np.zeros(len(part.widgets), np.bool_)) for part in parts]
            )
            for name in names
        }
        return cls(
            np.concatenate([part.widgets for part in parts]),
            np.concatenate([part.propensities for part in parts]),
            np.concatenate([part.policies for part in parts]),
            could,
            np.concatenate([part.clusters for part in parts]),
            np.concatenate([part.days for part in parts]),
        )

    def rows(self, wanted: NDArray[Any]) -> "Logged":
        """Return some of the servings."""
        return Logged(
            self.widgets[wanted],
            self.propensities[wanted],
            self.policies[wanted],
            {name: could[wanted] for name, could in self.could.items()},
            self.clusters[wanted],
            self.days[wanted],
        )

    def tallies(self) -> Tallies:
        """Return by logging policy and widget what tells whether its propensities are right."""
        keys, sums = self.tallies_by_night(np.zeros(len(self.widgets), np.int64), 1)
        return Tallies(keys, sums[0])

    def tallies_by_night(self, nights: Integers, count: int) -> tuple[tuple[tuple[str, str], ...], Floats]:
        """Return keys and (count, k, …) sums of the tallies, by (n,) codes of nights."""
        names, codes = np.unique(self.widgets, return_inverse=True)
        places = {str(name): place for place, name in enumerate(names)}
        weights = 1.0 / self.propensities
        shown = {name: np.where(codes == places.get(name, -1), weights, 0.0) for name in self.could}
        draws = codes_of_draws(self.clusters, self.days)
        return tallied_by_night(self.policies, shown, self.could, draws, nights, count)

    def shown(self) -> dict[str, float]:
        """Return by widget how often it stood first."""
        widgets, counts = np.unique(self.widgets, return_counts=True)
        return {str(widget): float(count) for widget, count in zip(widgets, counts, strict=True)}
