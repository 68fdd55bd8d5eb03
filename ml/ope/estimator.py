"""What an estimator is: a name, whether it needs a model, and the terms it makes of rows."""

from typing import Protocol

from ml.ope.rows import Rows
from ml.ope.terms import Terms


class Estimator(Protocol):
    """An off-policy estimator of one action a row."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def needs_model(self) -> bool:
        """Whether it needs predictions of rewards."""

    def terms(self, rows: Rows) -> Terms:
        """Return the estimate, row by row."""
