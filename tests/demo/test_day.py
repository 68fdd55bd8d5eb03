"""A day is served by the store's own reader, and what came of it lands in the lake."""

from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from jobs import config
from jobs.demo import day, files, replay, source, truth, world
from jobs.demo.replay import START_ACTIONS
from jobs.demo.source import Baskets, DemoError
from jobs.ids import pseudonym
from jobs.store import Store
from jobs.store.export import Night, export
from tests.demo.reading import read_spans
from tests.store import given as nights

from .conftest import WHEEL
from .test_lake import digests

NIGHT, SERVED = date(2017, 10, 12), date(2017, 10, 13)
DAY = source.day_of(SERVED)
LAYOUTS = {"start": ["category2"], "home": ["trending", "bestsellers", "category:cheese"]}
PROPENSITIES = {"start": [0.25], "home": [0.5, 0.25, 0.125]}


def row(who: str, page: str, kind: str) -> dict[str, Any]:
    places = len(LAYOUTS[page])
    return {
        **nights.layout(who, page, day=NIGHT, positions=places),
        "policy_version": f"linucb-{page}@{NIGHT}",
        "draw_id": nights.hex_id(kind, who, page),
        "widgets": LAYOUTS[page] if kind == "own" else LAYOUTS[page][::-1],
        "propensities": PROPENSITIES[page],
    }


@cache
def ids() -> config.Ids:
    return config.load().ids


def subject(kind: str, raw: str) -> str:
    return pseudonym(kind, raw, key=ids().key, key_id=ids().key_id)


def fill_store(households: list[int]) -> None:
    """Export layouts for users with an even number, and defaults."""
    own = [subject("user", f"h{household}") for household in households if household % 2 == 0]
    rows = [row(who, page, "own") for who in own for page in LAYOUTS]
    rows += [row(f"default:{page}:{n:02d}", page, "default") for page in LAYOUTS for n in range(64)]
    terms = Night(NIGHT, "America/New_York", 3, datetime(2017, 10, 13, 8, tzinfo=UTC), "run-1")
    export(config.load().store_url, terms, nights.inputs(rows))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, baskets: Baskets) -> tuple[Path, day.DayReport]:
    """Return a data home of which a day was served, and the report."""
    home = tmp_path_factory.mktemp("served")
    (home / "source").mkdir()
    (home / "source" / source.WHEEL).symlink_to(WHEEL)
    files.put_lines(files.late_path(home, "tags", DAY), ["late"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_HOME", str(home))
        fill_store(baskets.households.tolist())
        return home, day.demo_day(config.load(), home, SERVED)


@pytest.fixture
def there(served: tuple[Path, day.DayReport], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data home of which a day was served; VITRINE_HOME names it."""
    monkeypatch.setenv("VITRINE_HOME", str(served[0]))
    return served[0]


def again(home: Path, when: date = SERVED) -> day.DayReport:
    return day.demo_day(config.load(), home, when)


def test_each_visit_gets_what_the_store_holds_for_it(there: Path, served: tuple[Path, day.DayReport]) -> None:
    report = served[1]
    known = truth.read(there, "start", SERVED, SERVED)
    households = dict(zip(known.decision_id, known.household.tolist(), strict=True))
    assert report.visits == len(households) > 250
    own = 0
    for span in read_spans(there, "layout"):
        if span["vitrine.page"] != "start":
            continue
        household = households[span["vitrine.decision_id"]]
        device, logged_out = world.comes_as(household, DAY)
        assert span["device.id"] == device
        assert span.get("user.id") == (None if logged_out else f"h{household}")
        assert span["vitrine.widgets"] == ["category2"]
        assert span["vitrine.propensities"] == [0.25]
        assert span["vitrine.candidates"] == sorted(START_ACTIONS)
        assert span["vitrine.policy_version"] == "linucb-start@2017-10-12"
        expected = nights.hex_id("own", subject("user", f"h{household}"), "start")
        has_own = household % 2 == 0 and not logged_out
        assert (span["vitrine.draw_id"] == expected) == has_own
        own += has_own
    assert report.own_layouts == pytest.approx(2 * own, abs=0.04 * report.visits)


def test_rewards_are_taken_from_the_truth(there: Path, served: tuple[Path, day.DayReport]) -> None:
    report = served[1]
    known = truth.read(there, "home", SERVED, SERVED)
    rows = {decision: row for row, decision in enumerate(known.decision_id)}
    spans = [span for span in read_spans(there, "web") if span.get("vitrine.page") == "home"]
    baskets = {(s["vitrine.decision_id"], s["vitrine.position"]) for s in spans if s["name"] == "basket.add"}
    seen = {(s["vitrine.decision_id"], s["vitrine.position"]): s for s in spans if s["name"] == "widget.seen"}
    # An event in a hundred of the day arrives on the next one.
    late = 0.04 * len(seen)
    differ = sum(
        (key in baskets) != (known.rewards[rows[key[0]], known.actions.index(span["vitrine.widget"])] == 3)
        for key, span in seen.items()
    )
    assert differ < late
    assert {position for _, position in seen} == {0, 1, 2}
    assert report.mean_rewards["start"] == pytest.approx(
        truth.read(there, "start", SERVED, SERVED).rewards[:, START_ACTIONS.index("category2")].mean()
    )


def test_a_second_time_changes_nothing_and_says_so(there: Path) -> None:
    before = digests(there)
    assert again(there).sentence == "2017-10-13 was served by generation 1 already: nothing changed."
    assert digests(there) == before


def test_the_same_bytes_when_a_killed_run_is_run_again(there: Path) -> None:
    before = digests(there)
    (there / f"truth/days/{SERVED}.json").unlink()
    (there / f"lake/tags/date={SERVED}/tags-0.jsonl.gz").unlink()
    assert again(there).is_new
    assert digests(there) == before


def test_yesterday_s_late_events_arrive_with_the_day(there: Path) -> None:
    waiting = files.late_path(there, "tags", DAY).read_bytes()
    assert (files.folder(there, "tags", DAY) / "late-0.jsonl.gz").read_bytes() == waiting


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (date(2017, 10, 12), "2017-10-12 cannot be served: the live generation 1 was made for 2017-10-13."),
        (date(2017, 10, 14), "2017-10-14 cannot be served: the live generation 1 was made for 2017-10-13."),
        (date(2018, 1, 1), "2018-01-01 cannot be served: the demo's baskets end on 2017-12-31."),
    ],
)
def test_any_other_day_is_refused(there: Path, when: date, sentence: str) -> None:
    before = digests(there)
    with pytest.raises(DemoError) as refused:
        again(there, when)
    assert str(refused.value) == sentence
    assert digests(there) == before


def test_an_empty_store_serves_nothing(home: Path) -> None:
    with pytest.raises(
        DemoError, match=r"^The store is empty, so nothing can be served: run `vitrine demo` first\.$"
    ):
        again(home)


def test_the_draw_of_what_is_seen_is_seeded(there: Path, baskets: Baskets) -> None:
    shown = replay.replay(baskets, range(DAY, DAY + 1))
    store = Store.open(config.load().store_url, clock="generation")
    once, twice = (day.serve(config.load(), shown, baskets, store) for _ in range(2))
    assert once == twice
    seen = [home.seen for _, home in once.values()]
    assert sum(n == 3 for n in seen) / len(seen) == pytest.approx(0.64, abs=0.08)
