"""What all policies share: scores and bonuses end in the final draw, with exact conditional propensities."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ml.draw import DrawRule, Slates, draw, first_position_probabilities, slate_propensities
from ml.marginals import Marginals, marginals
from ml.normals import Normals

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

GREEDY = DrawRule(temperature=0.0)


class Policy(ABC):
    """A stochastic policy over k arms; x of arm a is (context, its row of the action context).

    In all methods: contexts (n, c), what all arms share; action_contexts (n, k, d - c), features of each arm,
    None when d = c; eligible (n, k), which arms may stand in the row's slate, None for all; normals, the
    numbers from `normals`, for policies that sample their parameters.
    """

    rule: DrawRule = GREEDY

    @abstractmethod
    def scores(self, contexts: Floats, action_contexts: Floats | None = None) -> NDArray[np.float32]:
        """Return (n, k) expected rewards."""

    def bonuses(
        self,
        contexts: Floats,
        action_contexts: Floats | None = None,
        normals: Normals | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Return (n, k) what is added to the scores for exploration, in units of reward."""
        scores = self.scores(contexts, action_contexts)
        return np.zeros(scores.shape, dtype=np.float32)

    def normals(
        self,
        seed: int,  # noqa: ARG002
        keys: NDArray[np.uint64],  # noqa: ARG002
        *,
        page: str,  # noqa: ARG002
        epoch: int | NDArray[np.integer],  # noqa: ARG002
        arms: Sequence[str],  # noqa: ARG002
    ) -> Normals | None:
        """Return the normal numbers that the policy samples with, None if it samples nothing."""
        return None

    def values(
        self, contexts: Floats, action_contexts: Floats | None = None, normals: Normals | None = None
    ) -> NDArray[np.float64]:
        """Return (n, k) what the draw looks at: scores and bonuses."""
        scores = self.scores(contexts, action_contexts).astype(np.float64)
        return scores + self.bonuses(contexts, action_contexts, normals)

    def propensities(
        self,
        contexts: Floats,
        action_contexts: Floats | None = None,
        *,
        eligible: Flags | None = None,
        normals: Normals | None = None,
    ) -> NDArray[np.float64]:
        """Return the exact (n, k) probabilities of the first position, given what was sampled."""
        values = self.values(contexts, action_contexts, normals)
        return first_position_probabilities(values, _all(eligible, values), **asdict(self.rule))

    def slate_propensities(
        self,
        contexts: Floats,
        slates: NDArray[np.integer],
        action_contexts: Floats | None = None,
        *,
        eligible: Flags | None = None,
        normals: Normals | None = None,
    ) -> NDArray[np.float32]:
        """Return (n, length) probabilities of slates or prefixes, each given the positions before it."""
        values = self.values(contexts, action_contexts, normals)
        return slate_propensities(values, _all(eligible, values), slates, **asdict(self.rule))

    def marginals(
        self,
        contexts: Floats,
        action_contexts: Floats | None = None,
        *,
        positions: int,
        draws: int,
        seed: int,
        keys: NDArray[np.uint64],
        eligible: Flags | None = None,
        normals: Normals | None = None,
    ) -> Marginals:
        """Return (n, positions, k) propensities by position, simulated, and their standard errors."""
        values = self.values(contexts, action_contexts, normals)
        return marginals(
            values,
            _all(eligible, values),
            positions=positions,
            rule=self.rule,
            draws=draws,
            seed=seed,
            keys=keys,
        )

    def draw(
        self,
        contexts: Floats,
        action_contexts: Floats | None = None,
        *,
        uniforms: NDArray[np.float64],
        eligible: Flags | None = None,
        normals: Normals | None = None,
    ) -> Slates:
        """Draw one slate a row, as long as the (n, positions) uniform numbers."""
        return self.draw_from(self.values(contexts, action_contexts, normals), uniforms, eligible)

    def draw_from(
        self, values: Floats, uniforms: NDArray[np.float64], eligible: Flags | None = None
    ) -> Slates:
        """Draw one slate a row by (n, k) values that are known already."""
        return draw(
            values,
            _all(eligible, values),
            positions=uniforms.shape[1],
            uniforms=uniforms,
            **asdict(self.rule),
        )


def _all(eligible: Flags | None, values: Floats) -> Flags:
    return np.ones(values.shape, dtype=np.bool_) if eligible is None else eligible
