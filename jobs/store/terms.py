"""By which terms a remote store is written to."""

from dataclasses import dataclass
from pathlib import Path

DAY_SECONDS = 86_400
SPARE_DAYS = 7


@dataclass(frozen=True)
class Terms:
    """How a remote store is written to.

    work : folder for what must be known here of what the server holds; lost, it is made anew
    renewal_nights : k; a k-th of a colour's keys get their time to live anew whenever it is written
    grace_seconds : for how long after a flip the colour that was left stays as it was
    lock_seconds : for how long a killed export keeps others out
    """

    work: Path
    renewal_nights: int = 7
    grace_seconds: float = 60.0
    lock_seconds: float = 30.0

    @property
    def life_seconds(self) -> int:
        """Time to live of a key: above two rounds of renewal, since a colour is written every other night."""
        return (2 * self.renewal_nights + SPARE_DAYS) * DAY_SECONDS
