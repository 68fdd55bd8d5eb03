"""The inspector: what moved since the night before, what the subject did, and why, as one page."""

from datetime import date, timedelta
from typing import Any

import pytest

from jobs import inspector
from jobs.config import load
from jobs.explaining import Told
from jobs.ids import pseudonym
from jobs.inspecting import Before, Day, inspect
from jobs.page_beside import because, history, moved, sentence, yesterday
from tests.jobs.inspected import known_subject
from tests.jobs.test_page import parsed
from tests.store import given as nights

SERVES = nights.DAY + timedelta(1)


@pytest.fixture
def config(home: Any) -> Any:
    return known_subject(load())


def test_tables_tell_who_what_and_the_night_before(config: Any) -> None:
    who = pseudonym("user", "h7", key=config.ids.key, key_id=config.ids.key_id)
    found = inspect(config, who, [], SERVES)
    day = f"{nights.DAY.day} {nights.DAY:%B}"
    assert found.who == ["consultant", "region north", f"last active {day}"]
    assert found.history == [
        Day(nights.DAY, 200, 4, ["CHEESE", "SOFT DRINKS"], 1, 3, 1),
        Day(nights.DAY - timedelta(9), 199, 1, ["EGGS"]),
    ]
    home = nights.layout(who, "home")
    assert found.before["home"] == Before(nights.DAY - timedelta(1), "older", home["widgets"][::-1])


def test_one_file_shows_it_all_and_needs_no_other(config: Any, tmp_path: Any, capsys: Any) -> None:
    inspector.write(config, "h7", tmp_path / "page.html")
    assert "start, home of h7" in capsys.readouterr().out
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = parsed(html)
    text = " ".join(page.text)
    assert "<h1>Household 7</h1>" in html
    assert html.index('id="page-start"') < html.index('id="page-home"')
    assert "consultant, region north" in text
    assert "2.00" in text
    assert "Soft drinks" in text
    assert "Yesterday" in text
    assert text.count("Kept out of the whole page: Soft drinks (bought 3 days before).") == 2
    assert all(source.startswith("#") for source in page.sources)
    for name in ("why-home-1", "why-start-1"):
        assert html.count(f'aria-describedby="{name}"') == html.count(f'id="{name}"') == 1


def test_a_newcomer_gets_a_default_and_has_no_history(config: Any, tmp_path: Any) -> None:
    inspector.write(config, "h99", tmp_path / "page.html")
    text = " ".join(parsed((tmp_path / "page.html").read_text(encoding="utf-8")).text)
    assert "they get one of the page's defaults" in text
    assert "Nothing was done in the last eight weeks." in text
    assert text.count("No layout of their own.") == 2


def test_what_moved_entered_and_left_is_marked() -> None:
    before = Before(date(2017, 10, 11), "old", ["trending", "bestsellers", "category:soup"])
    assert moved(before, "category:soup", 0).count("2 places up since the night before") == 1
    assert moved(before, "trending", 1).count("1 place down since") == 1
    assert "new today" in moved(before, "category:eggs", 2)
    assert moved(before, "trending", 0) == moved(None, "trending", 0) == ""
    html = yesterday(before, "home", "new", ["category:soup", "bestsellers"], date(2017, 10, 13))
    text = " ".join(parsed(html).text)
    assert text == "Yesterday Drawn anew since. Trending this week left Best sellers Soup now 1"
    assert "nothing changed" in yesterday(before, "home", "old", before.widgets, date(2017, 10, 13))
    assert "Before, 11 Oct" in yesterday(before, "home", "new", [], date(2017, 10, 16))


def test_days_are_told_in_words() -> None:
    bought = ["PNT BTR/JELLY/JAMS", *(f"C{number}" for number in range(6))]
    html = history([Day(date(2017, 10, 11), 123456, 8, bought, 2, 1, 0)], date(2017, 10, 12))
    text = " ".join(parsed(html).text)
    for words in ("Wed 11 Oct", "2 sessions, 1 detail page", "1,234.56", "8 products", "and 2 more"):
        assert words in text


def test_why_is_told_part_by_part() -> None:
    of = Told(
        "w", "explored", 0.5, 0.25, 0.125, 0.5, "mmr", {"quality": 0.1}, [("visits <7>", 0.2)], ["trending"]
    )
    text = " ".join(parsed(f"<dl>{because(of)}</dl>").text)
    for words in (
        "click quality +0.100",
        "Exploration +0.250",
        "Like those above -0.125",
        "visits <7> +0.200",
    ):
        assert words in text
    assert "Rules kept out Trending this week" in text
    assert sentence(of) == "Tried, to learn from it."
    assert sentence(Told("w", "pinned", 0.5, 0, 0, 1.0)) == "Pinned here, whatever else."
