"""What a log of servings says of itself: what was shown first, by which policy, with which probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.ope.calibration import Tally, codes_of_draws
from ml.ope.log import Floats, Integers

Tallies = Mapping[tuple[str, str], Tally]


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

    def tallies(self) -> dict[tuple[str, str], Tally]:
        """Return by logging policy and widget what tells whether its propensities are right."""
        found = {}
        draws = codes_of_draws(self.clusters, self.days)
        for policy in sorted(set(self.policies.tolist())):
            rows = np.flatnonzero(self.policies == policy)
            for widget in sorted(self.could):
                could = self.could[widget][rows]
                if could.any():
                    shown = (self.widgets[rows] == widget) / self.propensities[rows]
                    found[policy, widget] = Tally.of(shown, could, self.clusters[rows], draws[rows])
        return found

    def shown(self) -> dict[str, float]:
        """Return by widget how often it stood first."""
        widgets, counts = np.unique(self.widgets, return_counts=True)
        return {str(widget): float(count) for widget, count in zip(widgets, counts, strict=True)}
