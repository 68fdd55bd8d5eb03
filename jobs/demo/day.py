"""Closing the loop: the store's reader serves a day of the replay, and what came of it lands in the lake.

Reads   the store (by its reader only), the wheel under {home}/source
Writes  the day's folders of {home}/lake, its truth under {home}/truth
Only the day that the live generation was made for is served; doing it twice changes nothing.
"""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from jobs.config import Config
from jobs.demo import files, replay, served, source, truth, world
from jobs.demo.lake import REPLAY_NUMBER, recipe
from jobs.demo.replay import HOME_POSITIONS, SEED, SEEN_BASE, START_ACTIONS, Replay
from jobs.demo.source import Baskets, DemoError, date_of, day_of
from jobs.demo.telemetry import Serving
from jobs.demo.writer import DayWriter, stamp_path
from jobs.ids import pseudonym
from jobs.store import Layout, Store, live

LAST_DATE = date_of(source.DAYS - 1)
SEEN_DRAWS = 1


@dataclass(frozen=True)
class DayReport:
    """What came of a day."""

    day: date
    generation: int
    visits: int
    own_layouts: int
    mean_rewards: dict[str, float]
    is_new: bool

    @property
    def sentence(self) -> str:
        """The report in words."""
        if not self.is_new:
            return f"{self.day} was served by generation {self.generation} already: nothing changed."
        means = ", ".join(f"{page} {mean:.3f}" for page, mean in self.mean_rewards.items())
        return (
            f"{self.day} served by generation {self.generation}: {self.visits:,} visits, {self.own_layouts:,}"
            f" of {2 * self.visits:,} pages with a layout of the subject's own;"
            f" mean true reward a visit: {means}."
        )


def demo_day(config: Config, home: Path, when: date) -> DayReport:
    """Serve the visits of a day and write what came of them.

    Raises
    ------
    DemoError
        When it is not the live generation's day, or no longer in the data.

    """
    pointer = live(config.store_url)
    if pointer is None:
        raise DemoError("The store is empty, so nothing can be served: run `vitrine demo` first.")
    if when > LAST_DATE:
        raise DemoError(f"{when} cannot be served: the demo's baskets end on {LAST_DATE}.")
    if when != pointer.serves_date:
        raise DemoError(
            f"{when} cannot be served: the live generation {pointer.generation} was made for"
            f" {pointer.serves_date}."
        )
    day, stamp = day_of(when), recipe()
    path = stamp_path(home, day)
    if path.is_file():
        found = json.loads(path.read_bytes())
        if found["generation"] == pointer.generation and found["recipe"] == stamp:
            return DayReport(when, pointer.generation, 0, 0, {}, is_new=False)
    data = source.load(home / "source" / source.WHEEL)
    baskets = source.clean(data)
    shown = replay.replay(baskets, range(day, day + 1), REPLAY_NUMBER)
    pages = serve(config, shown, baskets, Store.open(config.store_url, clock="generation"))
    writer = DayWriter(home, data, baskets, stamp)
    writer.orders(day)
    made = writer.sessions(day, pages)
    for page in truth.PAGES:
        truth.write(home, truth.of_replay(shown, page))
    writer.stamp(day, made, pointer.generation)
    files.deliver_late(home, [day])
    truth.write_planted(home)
    return _report(when, pointer.generation, pages)


def serve(config: Config, shown: Replay, baskets: Baskets, store: Store) -> dict[int, list[Serving]]:
    """Read each visit's layouts from the store, and take what comes of them from the replay."""
    rewards = shown.rewards
    rng = np.random.default_rng((SEED, int(rewards.day[0]), SEEN_DRAWS))
    seen = (rng.random((len(rewards.visit), 1)) < SEEN_BASE ** np.arange(HOME_POSITIONS)).sum(axis=1)
    ids = np.append(baskets.products, -1)
    result = {}
    for row, (household, day) in enumerate(
        zip(rewards.household.tolist(), rewards.day.tolist(), strict=True)
    ):
        subject = subject_of(config, household, day)
        servings = []
        for page, actions, earned, products, views in (
            ("start", START_ACTIONS, rewards.start[row], rewards.start_product[row], 1),
            ("home", shown.home_actions, rewards.home[row], rewards.home_product[row], int(seen[row])),
        ):
            layout = store.get(subject, page)
            places = [actions.index(widget) for widget in layout.widgets]
            servings.append(
                Serving(
                    decision_id=served.decision_id(shown.number, household, day, page),
                    draw_id=_draw_id(layout, shown.number, household, day),
                    page=page,
                    widgets=layout.widgets,
                    candidates=sorted(actions),
                    propensities=[float(p) for p in layout.propensities],
                    policy_version=layout.policy_version,
                    seen=min(views, len(places)),
                    rewards=earned[places].tolist(),
                    products=ids[products[places]].tolist(),
                    is_own=layout.freshness != "fallback",
                )
            )
        result[household] = servings
    return result


def subject_of(config: Config, household: int, day: int) -> str:
    """The pseudonym that the front end asks for: of the user, or of the device when logged out."""
    device, logged_out = world.comes_as(household, day)
    kind, raw = ("device", device) if logged_out else ("user", f"h{household}")
    return pseudonym(kind, raw, key=config.ids.key, key_id=config.ids.key_id)


def _draw_id(layout: Layout, number: int, household: int, day: int) -> str:
    """The layout's draw; a built-in page was drawn by nobody and gets a name of its own."""
    return layout.draw_id or served.decision_id(number, household, day, f"{layout.page} built-in")


def _report(when: date, generation: int, pages: dict[int, list[Serving]]) -> DayReport:
    """Count, and average each page's true value: Σₖ 0.8^k · reward of position k."""
    servings = [serving for of_visit in pages.values() for serving in of_visit]
    means = {}
    for page in truth.PAGES:
        rewards = [serving.rewards for serving in servings if serving.page == page]
        values = [sum(reward * SEEN_BASE**k for k, reward in enumerate(of_page)) for of_page in rewards]
        means[page] = float(np.mean(values)) if values else 0.0
    own = sum(serving.is_own for serving in servings)
    return DayReport(when, generation, len(pages), own, means, is_new=True)
