"""Specs of models, conf/models: what is predicted after a closing, from what, how, and what may go live."""

import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Target = Literal["churn", "purchase", "reward", "segment"]
Algorithm = Literal["catboost", "xgboost", "logistic", "last_period"]

LEARNERS: tuple[Algorithm, ...] = ("catboost", "xgboost", "logistic", "last_period")
TASKS: dict[Target, Literal["labels", "classes", "rewards"]] = {
    "churn": "labels",
    "purchase": "labels",
    "reward": "rewards",
    "segment": "classes",
}


class Section(BaseModel):
    """A section of a spec: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Learning(Section):
    """Parameters of the boosted trees, the same for CatBoost and XGBoost."""

    trees: int = Field(default=600, gt=0)
    depth: int = Field(default=4, gt=0, le=12)
    learning_rate: float = Field(default=0.05, gt=0, le=1)
    l2: float = Field(default=3.0, ge=0)
    patience: int = Field(default=50, gt=0)  # trees without a better validation closing


class Bounds(Section):
    """When a challenger becomes champion. Losses are shares of the champion's."""

    margin: float = Field(default=0.01, ge=0)  # not worse by more than this
    stale_closings: int = Field(default=3, ge=1)  # is enough, when the champion is older than so many
    calibration: float = Field(default=0.05, ge=0, le=1)  # expected calibration error at most
    slice_fall: float = Field(default=0.10, ge=0)  # loss of a role, region or segment may rise by this
    slice_rows: int = Field(default=100, gt=0)  # smaller slices are not judged
    drift: float = Field(default=0.5, gt=0)  # PSI of a feature since the champion
    grows: tuple[str, ...] = ()  # features that move by nature, as days since the first visit: no drift
    single_feature: float = Field(default=0.97, gt=0.5, le=1)  # AUC that one feature alone must not reach


class ModelSpec(Section):
    """A model's spec. `features` and `ignored` are names or patterns, as share/*."""

    name: str
    meaning: str
    target: Target
    page: str | None = None  # of rewards: the page whose actions are predicted
    features: tuple[str, ...] = Field(min_length=1)
    categories: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    monotone: dict[str, Literal[-1, 1]] = {}
    small: tuple[str, ...] = Field(min_length=1)  # features of the logistic regression beside it, or patterns
    last_period: str | None = (
        None  # column of the plain table; {class} stands for each, {slug} for its name as in widgets
    )
    algorithm: Algorithm = "catboost"
    learning: Learning = Learning()
    class_weights: dict[str, float] | Literal["balanced"] | None = None
    most_weight: float = Field(default=100.0, ge=1)  # of rewards: where summed inverse propensities are cut
    train_closings: int | None = Field(default=None, gt=0)  # only the last so many; all by default
    fewest: int = Field(default=20, gt=1)  # a class with fewer examples is left out
    bounds: Bounds = Bounds()

    @model_validator(mode="after")
    def _fits(self) -> "ModelSpec":
        if (self.page is None) == (self.target == "reward"):
            raise ValueError(
                "page names whose actions' rewards are predicted: reward needs it, no other has it"
            )
        if self.monotone and self.target != "churn":
            raise ValueError("monotone features are for churn: of several outputs no tree can keep them all")
        if self.class_weights and self.target not in ("churn", "segment"):
            raise ValueError(f"class_weights mean nothing to {self.target}; remove them")
        return self

    @property
    def task(self) -> Literal["labels", "classes", "rewards"]:
        """What kind of answer it gives."""
        return TASKS[self.target]

    @property
    def metric(self) -> str:
        """The primary metric, a loss: what is decided by."""
        return "squared_error" if self.task == "rewards" else "log_loss"

    @property
    def digest(self) -> str:
        """Hash of all that a trained model follows from: not what it means, nor the bounds of its release."""
        told = self.model_dump(mode="json", exclude={"meaning", "bounds"})
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=8).hexdigest()
