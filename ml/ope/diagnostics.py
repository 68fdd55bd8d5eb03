"""Whether a log can bear an estimate: weights, support, drift, open rewards (`calibration` is beside it)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.drift import psi_of
from ml.ope.intervals import student_t
from ml.ope.log import Floats, Integers, Log
from ml.ope.target import Target
from ml.ope.terms import Terms, by_cluster


@dataclass(frozen=True)
class Weights:
    """Importance weights of a target over a log.

    Attributes
    ----------
    rows
        n.
    effective_rows
        (Σw)² / Σw²: so many rows drawn by the target itself would tell as much (Kish 1965).
    effective_clusters
        the same of the clusters' sums.
    mean, mean_error
        mean weight and its standard error by cluster. It is about 1 if the propensities are right; less where
        the target does what the log never does.
    largest
        the largest weight.

    """

    rows: int
    effective_rows: float
    effective_clusters: float
    mean: float
    mean_error: float
    largest: float

    @property
    def effective_share(self) -> float:
        """Effective rows as a share of rows."""
        return self.effective_rows / self.rows


def weights(log: Log, target: Target) -> Weights:
    """Describe the weights π(aᵢ|xᵢ) / pᵢ."""
    return describe(Terms.mean_of(target.probabilities / log.propensities), log.clusters)


def describe(terms: Terms, clusters: Integers | None) -> Weights:
    """Describe (n,) weights of any kind; their mean, or ratio to what normalises them, is about 1."""
    (part,) = terms.parts
    values = part.numerator
    (sums,) = by_cluster([values], len(values), clusters)
    mean = student_t(terms, clusters)
    norm = 1.0 if part.normaliser is None else float(part.normaliser.mean())
    return Weights(
        rows=len(values),
        effective_rows=_effective(values),
        effective_clusters=_effective(sums),
        mean=mean.value,
        mean_error=mean.error,
        largest=float(values.max()) / norm,
    )


def unsupported(log: Log, target: Target) -> dict[str, float]:
    """Return the target's mean probability of each action that was never logged: nothing is known of it.

    An action that was logged, but never in some context, is not seen here; the mean weight falls short of 1
    by the target's share of it.
    """
    if target.shares is None:
        raise ValueError("support needs the target's probabilities of all actions: use target_of")
    logged = np.bincount(log.actions, minlength=len(log.action_set)) > 0
    never = np.flatnonzero(~logged & (target.shares > 0))
    return {log.action_set[action]: float(target.shares[action]) for action in never}


def population_stability(
    reference: NDArray[np.floating], current: NDArray[np.floating], *, bins: int = 10
) -> Floats:
    """Return (d,) the population stability index of each feature: Σ (c - r) ln(c / r) over bins.

    Bins are the reference's quantiles, with a bin of its own for a number that fills more than one; r and c
    are the shares of the two populations. Below 0.1 is stable, above 0.25 has drifted, by custom (Siddiqi
    2006: Credit risk scorecards).

    Parameters
    ----------
    reference, current
        (m, d) and (n, d) contexts of the log and of tonight.
    bins
        how many.

    """
    if reference.ndim != 2 or current.ndim != 2 or reference.shape[1] != current.shape[1]:
        raise ValueError(
            f"contexts must have shapes (m, d) and (n, d), not {reference.shape}, {current.shape}"
        )
    for name, contexts in (("reference contexts", reference), ("current contexts", current)):
        refuse_missing(contexts, name)
        if not len(contexts):
            raise ValueError(f"{name} have no rows")
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    found = np.empty(reference.shape[1])
    for feature in range(reference.shape[1]):
        edges = np.unique(np.quantile(reference[:, feature], shares))
        # A number on an edge has the bin up to the next float to itself: so have a discrete feature's.
        edges = np.unique(np.concatenate([edges, np.nextafter(edges, np.inf)]))
        r, c = (_shares(edges, part[:, feature]) for part in (reference, current))
        found[feature] = psi_of(r, c)
    return found


def open_share(ages: ArrayLike, window: float) -> float:
    """Return the share of rows whose outcome may still come: younger than the window that outcomes have."""
    values = np.asarray(ages, dtype=np.float64)
    wrong = ~(values >= 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"ages, row {row}: {values[row]:.6g}, but an age is 0 or more")
    return float(np.mean(values < window)) if len(values) else 0.0


def refuse_missing(contexts: NDArray[np.floating], name: str = "contexts") -> None:
    """Refuse contexts with NaN or infinity; name the first row and feature."""
    wrong = ~np.isfinite(contexts)
    if wrong.any():
        row, feature = (int(place) for place in np.argwhere(wrong)[0])
        value = contexts[row, feature]
        raise ValueError(f"{name}, row {row}, feature {feature}: {value}, but it is a finite number")


def _shares(edges: Floats, values: NDArray[np.floating]) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return np.asarray(counts / len(values))


def _effective(values: Floats) -> float:
    squares = float(np.sum(values**2))
    return float(np.sum(values)) ** 2 / squares if squares else 0.0
