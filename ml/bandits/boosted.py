"""Boosted trees as a policy: a reward model of XGBoost or CatBoost, learned from what was shown.

Rows are the log's: x of the shown arm, then which arm it was, its reward, and a weight by inverse propensity,

    w = min(1 / p, most_weight)        over their mean,

so that the model is right where the policy may go and not where the log mostly went (Horvitz, Thompson 1952;
clipped as by Bottou et al. 2013). It cannot be summed from day to day: it is there to be compared with.
Chen, Guestrin 2016: XGBoost; Prokhorenkova et al. 2018: CatBoost. Deterministic: a seed and two threads.
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ml.bandits.policy import GREEDY, Floats, Policy
from ml.draw import DrawRule

THREADS = 2
CELLS_AT_ONCE = 4_000_000
"""Numbers of x that are predicted from together."""


class Boosted(Policy):
    """A reward model over k arms of d features as a policy.

    Parameters
    ----------
    library
        xgboost or catboost.
    trees, depth, learning_rate
        of the boosting.
    most_weight
        where 1 / p is clipped, 1 or more; 1 weighs all rows alike.
    seed
        of the rows and features that a tree looks at.
    rule
        how scores become propensities.

    Attributes
    ----------
    arms_
        k.
    model_
        the library's regression model.

    """

    arms_: int
    model_: Any

    def __init__(
        self,
        library: Literal["xgboost", "catboost"] = "xgboost",
        *,
        trees: int = 200,
        depth: int = 4,
        learning_rate: float = 0.05,
        most_weight: float = 20.0,
        seed: int = 0,
        rule: DrawRule = GREEDY,
    ) -> None:
        self.library = library
        self.trees = trees
        self.depth = depth
        self.learning_rate = learning_rate
        self.most_weight = most_weight
        self.seed = seed
        self.rule = rule

    def fit(
        self,
        contexts: Floats,
        actions: NDArray[np.integer],
        rewards: Floats,
        propensities: Floats,
        *,
        arms: int,
    ) -> Self:
        """Learn from (m, d) x of the arms that were shown, (m,) which, what came of it, how likely it was.

        Raises
        ------
        ValueError
            On shapes that do not fit, a number that is not finite, an action outside the set, a propensity
            outside 0 to 1 or no row at all; each names the first such row.

        """
        rows = len(contexts)
        if contexts.ndim != 2 or not rows:
            raise ValueError(f"contexts must have shape (m, d) with m above 0, not {contexts.shape}")
        for values, name in ((actions, "actions"), (rewards, "rewards"), (propensities, "propensities")):
            if values.shape != (rows,):
                raise ValueError(f"{name} must have shape ({rows},), not {values.shape}")
        _refuse(~np.isfinite(contexts).all(axis=1), "the context of row {} holds NaN or infinity")
        _refuse(~np.isfinite(rewards), "the reward of row {} is not a number")
        _refuse((actions < 0) | (actions >= arms), f"the action of row {{}} is none of the {arms} arms")
        _refuse(
            ~((propensities > 0) & (propensities <= 1)), "the propensity of row {} does not lie in 0 to 1"
        )
        weights = np.minimum(1.0 / propensities, self.most_weight)
        self.arms_ = arms
        self.model_ = self._regressor()
        x = _with_arm(np.asarray(contexts, dtype=np.float32), actions, arms)
        self.model_.fit(x, rewards, sample_weight=weights / weights.mean())
        return self

    def scores(self, contexts: Floats, action_contexts: Floats | None = None) -> NDArray[np.float32]:
        """Return (n, k) expected rewards."""
        if not hasattr(self, "model_"):
            raise ValueError("this policy is not fitted yet: call fit first")
        rows, shared = contexts.shape
        if action_contexts is None:
            action_contexts = np.empty((rows, self.arms_, 0), dtype=np.float32)
        if action_contexts.shape[:2] != (rows, self.arms_):
            raise ValueError(
                f"action contexts must have shape ({rows}, {self.arms_}, …), not {action_contexts.shape}"
            )
        for values, name in ((contexts, "context"), (action_contexts, "action context")):
            _refuse(
                ~np.isfinite(values).reshape(rows, -1).all(axis=1),
                f"the {name} of row {{}} holds NaN or infinity",
            )
        width = shared + action_contexts.shape[2] + self.arms_
        at_once = max(CELLS_AT_ONCE // (self.arms_ * width), 1)
        scores = np.empty((rows, self.arms_), dtype=np.float32)
        for start in range(0, rows, at_once):
            some = slice(start, start + at_once)
            own = action_contexts[some]
            wide = np.broadcast_to(contexts[some, None, :], (*own.shape[:2], shared))
            x = np.concatenate([wide, own], axis=2, dtype=np.float32).reshape(len(own) * self.arms_, -1)
            arms = np.tile(np.arange(self.arms_), len(own))
            scores[some] = self.model_.predict(_with_arm(x, arms, self.arms_)).reshape(len(own), -1)
        return scores

    def _regressor(self) -> Any:
        if self.library == "xgboost":
            from xgboost import XGBRegressor

            return XGBRegressor(
                n_estimators=self.trees,
                max_depth=self.depth,
                learning_rate=self.learning_rate,
                subsample=0.8,
                colsample_bytree=0.8,
                min_child_weight=20,
                tree_method="hist",
                random_state=self.seed,
                n_jobs=THREADS,
            )
        if self.library == "catboost":
            from catboost import CatBoostRegressor

            return CatBoostRegressor(
                iterations=self.trees,
                depth=self.depth,
                learning_rate=self.learning_rate,
                random_seed=self.seed,
                thread_count=THREADS,
                allow_writing_files=False,
                verbose=False,
            )
        raise ValueError(f"library must be xgboost or catboost, not {self.library!r}")


def _with_arm(x: NDArray[np.float32], arms: NDArray[np.integer], count: int) -> NDArray[np.float32]:
    """Put a column for each arm beside x: 1 in that of the row's arm."""
    which = np.zeros((len(x), count), dtype=np.float32)
    which[np.arange(len(x)), arms] = 1.0
    return np.concatenate([x, which], axis=1)


def _refuse(wrong: Any, sentence: str) -> None:
    if wrong.any():
        raise ValueError(sentence.format(int(np.argmax(wrong))))
