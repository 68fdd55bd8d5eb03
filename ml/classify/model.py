"""A trained model: one learner's trees or coefficients, what they take and give, and their calibration."""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.classify.calibration import Calibration, calibrated
from ml.classify.examples import Codes, Floats, Shape


class Tampered(ValueError):
    """The bytes of a model are not those that were kept."""


class Core(Protocol):
    """What a learner leaves: its own form of trees or coefficients."""

    def predict(self, features: NDArray[np.float32], codes: Codes) -> Floats:
        """Return (n, c): probabilities or rewards, not calibrated."""

    def dump(self) -> bytes:
        """Return its bytes, in the library's own form."""

    def digest(self) -> str:
        """Return a hash of trees and parameters: the same for the same model, whenever it was trained."""


class Model:
    """A core with its shape and calibration.

    shape : what it takes and gives.
    calibration : by class.
    """

    def __init__(self, shape: Shape, core: Core, calibration: Sequence[Calibration]) -> None:
        self.shape = shape
        self.core = core
        self.calibration = tuple(calibration)

    def predict(self, features: NDArray[np.float32], categories: Sequence[NDArray[Any]] = ()) -> Floats:
        """Return (n, c): probabilities by class, or expected rewards by action.

        features: (n, f) float32, column-major for speed, NaN for missing.
        categories: by category (n,) codes into its frozen values (-1: missing), or the values themselves.

        Raises
        ------
        ValueError
            When features or categories are not those of the model.

        """
        self.shape.check(features)
        codes = self.shape.codes(categories)
        if not len(features):
            return np.empty((0, len(self.shape.classes)))
        x = np.asarray(features, dtype=np.float32)
        return calibrated(self.core.predict(x, codes), self.calibration, self.shape.task)


def digest_of(data: bytes) -> str:
    """Return the hash of a model's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def load(
    data: bytes, digest: str, *, algorithm: str, shape: Shape, calibration: Sequence[Calibration] = ()
) -> Model:
    """Make a model of its bytes.

    Raises
    ------
    Tampered
        When the bytes are not those whose digest is given.
    ValueError
        When there is no such algorithm.

    """
    if digest_of(data) != digest:
        raise Tampered("the bytes of the model are not those that were kept: their digest differs")
    core: Core
    if algorithm == "catboost":
        from ml.classify.catboosted import CatBoosted

        core = CatBoosted.load(data, shape)
    elif algorithm == "xgboost":
        from ml.classify.xgboosted import XGBoosted

        core = XGBoosted.load(data, shape)
    elif algorithm == "logistic":
        from ml.classify.linear import Linear

        core = Linear.load(data)
    elif algorithm == "last_period":
        from ml.classify.last_period import Table

        core = Table.load(data)
    else:
        raise ValueError(f"{algorithm!r} is no learner; there are catboost, xgboost, logistic, last_period")
    return Model(shape, core, calibration)
