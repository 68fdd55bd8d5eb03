"""Specs of policies, conf/policies: what is learned, from which features, over which days, and how it draws.

Each algorithm has keys of its own; a key that means nothing to it is refused, and so is one that it lacks.
"""

import hashlib
import json
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Label = Literal["theme", "core_theme", "intent", "kind", "size", "page_context"]
WIDGET_LABELS: tuple[Label, ...] = get_args(Label)

ABOUT = {"name", "page", "algorithm", "feature_set"}
DAYS = {"window_days", "half_life_days", "open_days"}
SHARING = {"labels", "shared_ridge"}

# By algorithm: the keys it needs, and those it may have.
KEYS: dict[str, tuple[set[str], set[str]]] = {
    "linucb": ({"ridge", "alpha"}, DAYS | SHARING),
    "lints": ({"ridge", "alpha"}, DAYS | SHARING),
    "epsilon_greedy": ({"ridge", "epsilon"}, DAYS | SHARING),
    "softmax": ({"ridge", "temperature"}, DAYS | SHARING | {"floor"}),
    "uniform": (set(), set()),
    "constant": ({"widgets"}, set()),
    "household_mean": (set(), set()),
}
# Of ml/bandits, but learned from rows, or made of others that may be: what nightly jobs cannot fit.
FROM_ROWS = ("boosted", "ensemble")


class Policy(BaseModel):
    """A policy's spec. Which keys it has depends on its algorithm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    page: str
    algorithm: Literal[
        "linucb",
        "lints",
        "epsilon_greedy",
        "softmax",
        "uniform",
        "constant",
        "household_mean",
    ]
    feature_set: str
    ridge: float = Field(default=1.0, gt=0)
    alpha: float = Field(default=0.0, ge=0)
    labels: tuple[Label, ...] = ()
    shared_ridge: float | None = Field(default=None, gt=0)
    window_days: int | None = Field(default=None, gt=0)
    half_life_days: float | None = Field(default=None, gt=0)
    open_days: int = Field(default=0, ge=0)
    epsilon: float = Field(default=0.0, ge=0, le=1)
    temperature: float | None = Field(default=None, gt=0)
    floor: float = Field(default=0.0, ge=0, lt=1)
    widgets: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if given.get("algorithm") in FROM_ROWS:
            raise ValueError(
                f"{given['algorithm']} learns from rows, and the nightly jobs fit policies from daily"
                f" statistics; name one of {', '.join(KEYS)}, or compare it on arrays with"
                f" ml.bandits.{given['algorithm']}"
            )
        if given.get("algorithm") not in KEYS:
            return given
        algorithm = given["algorithm"]
        needed, allowed = KEYS[algorithm]
        if missing := sorted(needed - set(given)):
            raise ValueError(f"{algorithm} needs {missing[0]}; add it")
        others = sorted((set(given) & set(cls.model_fields)) - needed - allowed - ABOUT)
        if others:
            raise ValueError(f"{others[0]} means nothing to {algorithm}; remove it")
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> "Policy":
        if bool(self.labels) != (self.shared_ridge is not None):
            raise ValueError("arms share by labels and a shared_ridge: give both or neither")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels names one twice; give each once")
        if self.algorithm == "constant" and (not self.widgets or len(set(self.widgets)) != len(self.widgets)):
            raise ValueError("widgets of a constant are one or more names, best first, each once")
        if self.window_days is not None and self.open_days >= self.window_days:
            raise ValueError("open_days must be fewer than window_days, or nothing is left to learn from")
        return self

    @property
    def digest(self) -> str:
        """Hash of the spec: two digests, two policies. A key that is not given does not count."""
        content = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
