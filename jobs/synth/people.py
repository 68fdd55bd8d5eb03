"""Who the users of a synthetic lake are: role, sponsor, region, devices, taste, and how often they come.

How often is skewed: a user's rate is a Pareto number of shape 1.3, cut at 200, so that one user in a hundred
makes more than a fifth of all visits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jobs.synth.size import Size, Stream

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ROLES = ("customer", "direct", "consultant", "recruiter")
ROLE_SHARES = (0.70, 0.15, 0.12, 0.03)
REGIONS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
CONSENT = 0.95
TWO_DEVICES = 0.4
SHAPE, HEAVIEST = 1.3, 200.0
CATEGORIES = 40
AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) AppleWebKit/605.1 Mobile Safari/604.1",
    "Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605.1 Version/19.0 Safari/605.1",
)


@dataclass(frozen=True)
class People:
    """The users of a block, one entry each."""

    numbers: Ints
    rates: Floats  # visits of a day, with mean 1 over all users
    roles: Ints
    sponsors: Ints  # user number, -1 for none
    regions: Ints
    ages: Ints  # -1 where unknown
    devices: Ints  # 1 or 2
    agents: Ints
    tastes: Ints  # (n, 2) categories that a user likes best
    consents: npt.NDArray[np.bool_]


def of_block(size: Size, block: int) -> People:
    """Draw the users of a block."""
    numbers = np.asarray(size.users_of(block), dtype=np.int64)
    n, rng = len(numbers), size.numbers(Stream.PEOPLE, block)
    rates = np.minimum((1 - rng.random(n)) ** (-1 / SHAPE), HEAVIEST) / _mean_rate()
    roles = rng.choice(len(ROLES), n, p=ROLE_SHARES)
    # Under someone who came earlier: no cycles, and the early ones gather the largest teams.
    sponsors = np.where(roles == ROLES.index("direct"), -1, (numbers * rng.random(n) ** 2).astype(np.int64))
    tastes = (CATEGORIES ** rng.random((n, 2))).astype(np.int64)  # Zipf: few categories are liked by most
    tastes[:, 1] = np.where(tastes[:, 1] == tastes[:, 0], (tastes[:, 0] + 1) % CATEGORIES, tastes[:, 1])
    return People(
        numbers=numbers,
        rates=rates,
        roles=roles,
        sponsors=np.where(numbers == 0, -1, sponsors),
        regions=rng.integers(len(REGIONS), size=n),
        ages=np.where(rng.random(n) < 0.4, rng.integers(len(AGES), size=n), -1),
        devices=1 + (rng.random(n) < TWO_DEVICES),
        agents=rng.integers(len(AGENTS), size=n),
        tastes=tastes,
        consents=rng.random(n) < CONSENT,
    )


def _mean_rate() -> float:
    """Mean of a Pareto number of that shape that is cut at the heaviest: ∫ min(x, m) dF(x)."""
    return (SHAPE - HEAVIEST ** (1 - SHAPE)) / (SHAPE - 1)
