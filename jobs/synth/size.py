"""How large a synthetic lake is, and the streams of random numbers that every part of it is drawn from."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum

import numpy as np

MICROS = 1_000_000
DAY_MICROS = 86_400 * MICROS


class Stream(IntEnum):
    """What a stream of numbers is for."""

    PEOPLE = 1
    SESSIONS = 2
    TEXT = 5
    ORDERS = 6


@dataclass(frozen=True)
class Size:
    """Users and days of a lake. Users come in blocks of a fixed number: a file holds a block's day."""

    users: int
    days: int
    first: date = date(2026, 1, 1)
    spans_per_user: float = 10.0  # of a day, on average
    products: int = 20_000
    seed: int = 1
    block_users: int = 8192

    def __post_init__(self) -> None:
        if min(self.users, self.days, self.products, self.block_users) < 1 or self.spans_per_user <= 0:
            raise SizeError("A lake needs at least one user, one day and one product, and spans above 0.")

    @property
    def blocks(self) -> int:
        """Number of blocks of users."""
        return -(-self.users // self.block_users)

    def users_of(self, block: int) -> range:
        """Numbers of the users of a block."""
        first = block * self.block_users
        return range(first, min(first + self.block_users, self.users))

    def date(self, day: int) -> date:
        """Date of a day, counted from 0."""
        return self.first + timedelta(days=day)

    def midnight(self, day: int) -> int:
        """Begin of a day in microseconds since the epoch: days of this lake are UTC."""
        at = self.date(day)
        return int(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp()) * MICROS

    def numbers(self, stream: Stream, block: int, day: int = 0) -> np.random.Generator:
        """Return a generator that depends on nothing but the seed and what it is for.

        Its numbers are blocks of Philox under a key of their own (Salmon et al. 2011), so the work may be
        split as one likes.
        """
        place = (int(stream) << 56) | (day << 32) | block
        return np.random.Generator(np.random.Philox(key=np.array([self.seed, place], dtype=np.uint64)))


class SizeError(ValueError):
    """A lake of that size cannot be."""
