"""Who the households are in the demo's company: simulated by hash, and said to be.

Roles, sponsors, regions, devices, clocks and consent are invented here; baskets and demographics are not.
Reads   the package's tables
Writes  nothing: data frames in the forms of the lake's users, products, widgets, closings, consents
"""

import hashlib
from collections.abc import Hashable
from datetime import timedelta
from functools import lru_cache

import numpy as np
import pandas as pd

from jobs.demo.replay import START_ACTIONS, home_categories, slug
from jobs.demo.source import FIRST_DATE, Baskets, Source

ROLES = (("customer", 0.70), ("direct", 0.15), ("consultant", 0.12), ("recruiter", 0.03))
REGIONS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
CONSENT = 0.95
TWO_DEVICES = 0.4
LOGGED_OUT = 0.10
MAX_SKEW_SECONDS = 3.0
PURPOSE = "personalisation"
USER_AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 10_3 like Mac OS X) AppleWebKit/603.1 Mobile Safari/602.1",
    "Mozilla/5.0 (Linux; Android 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0 Mobile Safari/537",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/60.0 Safari/537",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_12) AppleWebKit/603.3 Version/10.1 Safari/603.3",
    "Mozilla/5.0 (Windows NT 6.1; rv:55.0) Gecko/20100101 Firefox/55.0",
)


@lru_cache(maxsize=200_000)
def chance(purpose: str, name: Hashable) -> float:
    """A number in [0, 1) fixed by a purpose and a name."""
    digest = hashlib.sha256(f"{purpose}:{name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def role(household: int) -> str:
    """The household's simulated role."""
    left = chance("role", household)
    for name, share in ROLES:
        if left < share:
            return name
        left -= share
    return ROLES[-1][0]


def devices(household: int) -> list[str]:
    """The household's one or two devices."""
    return [f"d{household}-{i}" for i in range(2 if chance("devices", household) < TWO_DEVICES else 1)]


def comes_as(household: int, day: int) -> tuple[str, bool]:
    """The device that a visit comes from, and whether it stays logged out."""
    pool = devices(household)
    device = pool[int(chance("device", f"{household}:{day}") * len(pool))]
    return device, chance("logged out", f"{household}:{day}") < LOGGED_OUT


def user_agent(device: str) -> str:
    """The device's browser."""
    return USER_AGENTS[int(chance("agent", device) * len(USER_AGENTS))]


def skew_seconds(device: str) -> float:
    """How far the device's clock is off: one in ten by up to 3 s, the others by up to 0.3 s."""
    widest = MAX_SKEW_SECONDS if chance("skewed", device) < 0.1 else MAX_SKEW_SECONDS / 10
    return (2 * chance("skew", device) - 1) * widest


def has_consent(household: int) -> bool:
    """Whether the household agreed to personalisation."""
    return chance("consent", household) < CONSENT


def sponsors(households: list[int]) -> dict[int, int]:
    """A tree: customers under consultants, consultants under recruiters, recruiters under earlier ones."""
    roles = {h: role(h) for h in households}
    consultants = [h for h in households if roles[h] == "consultant"]
    recruiters = sorted((h for h in households if roles[h] == "recruiter"), key=lambda h: chance("rank", h))
    above = {"customer": consultants, "consultant": recruiters}
    tree = {}
    for household in households:
        pool = above.get(roles[household], [])
        if roles[household] == "recruiter":
            pool = recruiters[: recruiters.index(household)]
        if pool:
            tree[household] = pool[int(chance("sponsor", household) * len(pool))]
    return tree


def users(source: Source) -> pd.DataFrame:
    """The lake's users: one row per household."""
    households = sorted(source.lines["household_id"].unique().tolist())
    stores = source.lines.groupby("household_id")["store_id"].agg(
        lambda s: s.value_counts(sort=True).index[0]
    )
    tree = sponsors(households)
    known = source.demographics.set_index("household_id").reindex(households)
    frame = pd.DataFrame(
        {
            "user_id": [f"h{h}" for h in households],
            "role": [role(h) for h in households],
            "sponsor_id": [f"h{tree[h]}" if h in tree else None for h in households],
            "region": [REGIONS[int(chance("region", stores[h]) * len(REGIONS))] for h in households],
            "has_demographics": [
                "true" if h else "false" for h in known.index.isin(source.demographics["household_id"])
            ],
        }
    )
    columns = {"kids": "kids_count"}
    for name in ("age", "income", "household_size", "home_ownership", "marital_status", "kids"):
        frame[name] = known[columns.get(name, name)].to_numpy()
    return frame


def products(source: Source) -> pd.DataFrame:
    """The lake's products: the whole catalogue, merchandise or not."""
    raw = source.products.sort_values("product_id")
    named = raw["product_type"].fillna(raw["product_category"]).fillna(raw["department"])
    size = raw["package_size"].fillna("")
    return pd.DataFrame(
        {
            "product_id": raw["product_id"].astype(str),
            "name": (named.str.capitalize() + " " + size).str.strip(),
            "department": raw["department"],
            "category": raw["product_category"],
            "type": raw["product_category"] + "|" + raw["product_type"],
            "brand": raw["brand"],
            "size": raw["package_size"],
            "manufacturer": raw["manufacturer_id"].astype(str),
        }
    ).reset_index(drop=True)


def widgets(source: Source, baskets: Baskets) -> list[dict[str, object]]:
    """The lake's widgets with their labels: product carousels of the pages start and home."""
    department = source.products.groupby("product_category")["department"].agg(
        lambda s: s.value_counts().index[0]
    )
    rows = [_widget(name, ["start"], None, "own taste") for name in START_ACTIONS[:2]]
    rows += [_widget(name, ["start", "home"], None, "what others buy") for name in START_ACTIONS[2:]]
    for code in home_categories(baskets):
        category = baskets.categories[code]
        rows.append(
            _widget(f"category:{slug(category)}", ["home"], category, str(department[category]).lower())
        )
    return rows


def _widget(name: str, pages: list[str], category: str | None, theme: str) -> dict[str, object]:
    core = {"own taste": "personal", "what others buy": "popular"}.get(theme, "assortment")
    return {
        "widget_id": name,
        "kind": "carousel",
        "pages": pages,
        "category": category,
        "theme": theme,
        "core_theme": core,
        "intent": "discover" if name == "trending" else "replenish",
        "size": ("small", "medium", "large")[int(chance("size", name) * 3)],
        "page_context": "any",
        "created_date": str(FIRST_DATE - timedelta(days=int(chance("created", name) * 365) + 1)),
    }


def closings() -> pd.DataFrame:
    """13 periods of 4 weeks from the first Monday of 2017."""
    firsts = [FIRST_DATE + timedelta(days=1 + 28 * i) for i in range(13)]
    return pd.DataFrame(
        {
            "closing_id": [f"2017-{i + 1:02d}" for i in range(13)],
            "first_date": [str(first) for first in firsts],
            "last_date": [str(first + timedelta(days=27)) for first in firsts],
        }
    )


def consents(source: Source) -> pd.DataFrame:
    """Every user's answer on the first day, and the same from each of its devices: a banner asked there."""
    households = np.sort(source.lines["household_id"].unique()).tolist()
    asked: list[tuple[str | None, str | None, int]] = [(f"h{h}", None, h) for h in households]
    asked += [(None, device, h) for h in households for device in devices(h)]
    return pd.DataFrame(
        {
            "user_id": [user for user, _, _ in asked],
            "device_id": [device for _, device, _ in asked],
            "purpose": PURPOSE,
            "granted": ["true" if has_consent(h) else "false" for _, _, h in asked],
            "changed_at": f"{FIRST_DATE}T05:00:00Z",
        }
    )
