"""page: a subject's layouts as HTML, and what `vitrine layout` and `vitrine store` print."""

import re
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest

from jobs.config import load
from jobs.drawings import FINER, WORDS, _shapes, hue_of, picture, shape_of
from jobs.ids import pseudonym
from jobs.page import SIMULATED, View, render
from jobs.page_words import spelled
from jobs.store import Store, StoreGone, show
from jobs.store.export import export
from tests.store import given as nights
from tests.store.given import NOON, subject

VOID = {"meta", "br", "input", "path", "use", "circle", "ellipse"}


@pytest.fixture
def store(tmp_path):
    rows = nights.layouts(range(4))
    rows[0] = {**rows[0], "widgets": ["category1", "trending"], "reasons": ["bought <often>", "explored"]}
    export(str(tmp_path / "store"), nights.night(), nights.inputs(rows, nights.lists(range(4))))
    return Store.open(tmp_path / "store", clock=lambda: NOON)


def view(store, who=0, **more):
    pages = [store.page(subject(who), page) for page in ("start", "home")]
    return View("Household <1>", "a customer", pages, date(2017, 12, 31), "maize", **more)


class Balanced(HTMLParser):
    """Keeps the open elements and all text; every element must be closed by its own end."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_a_page_tells_positions_reasons_probabilities_and_products(store):
    html = render(view(store))
    text = " ".join(parsed(html).text)
    assert html.count('<article class="slot">') == 4
    assert html.count('<li class="tile"') == sum(
        len(slot.tiles) for page in view(store).pages for slot in page.slots
    )
    for words in (
        "Household <1>",
        "Sunday 31 December 2017",
        "bought <often>",
        "Trending this week",
        "Soft drinks",
        "50 %",
        "33 %",
        "Product 50",
    ):
        assert words in text
    own = sum(tile.is_own for page in view(store).pages for slot in page.slots for tile in slot.tiles)
    assert html.count('class="own"') == own > 0


def test_a_page_says_that_it_is_simulated_and_what_its_figures_are_not(store):
    text = " ".join(parsed(render(view(store))).text)
    assert SIMULATED in text
    assert "ranking quality, not sales uplift" in text
    assert "Simulated data." not in " ".join(parsed(render(view(store, note=""))).text)


def test_a_page_needs_nothing_from_elsewhere_and_is_always_the_same(store):
    html = render(view(store))
    assert "http" not in re.sub(r"xmlns\S*", "", html)
    assert all(source.startswith("#") for source in parsed(html).sources)
    symbols = set(re.findall(r'<symbol id="([^"]+)"', html))
    assert {source[1:] for source in parsed(html).sources} <= symbols
    assert render(view(store)) == html


def test_a_fallback_says_why(store):
    html = render(view(store, who=77))
    assert "the subject has no layout of its own" in html
    assert html.count("is <b>fallback</b>") == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PNT BTR/JELLY/JAMS", "Peanut butter, jelly & jams"),
        ("SOFT DRINKS", "Soft drinks"),
        ("REFRGRATD JUICES/DRNKS", "Refrigerated juices & drinks"),
        ("VEGETABLES - SHELF STABLE", "Vegetables & shelf stable"),
        ("SALD DRSNG/SNDWCH SPRD", "Salad dressing & sandwich spread"),
        ("", ""),
    ],
)
def test_names_of_the_catalogue_are_spelled_out(name, words):
    assert spelled(name) == words


@pytest.mark.parametrize(
    ("category", "department", "shape"),
    [
        ("FLUID MILK PRODUCTS", "GROCERY", "carton"),
        ("FROZEN PIZZA", "GROCERY", "pizza"),
        ("EGGS", "GROCERY", "eggs"),
        ("TROPICAL FRUIT", "PRODUCE", "pineapple"),
        ("BEEF", "MEAT", "meat"),
        ("BATH TISSUES", "DRUG GM", "roll"),
        ("WHATEVER", "COSMETICS", "pump"),
        ("WHATEVER", "TOYS", "parcel"),
    ],
)
def test_a_product_is_drawn_by_its_category_then_its_department(category, department, shape):
    assert shape_of(category, department) == shape


def test_fruit_of_one_category_is_told_apart_by_its_name():
    drawn = [
        shape_of("TROPICAL FRUIT", "PRODUCE", name) for name in ("Bananas", "Mango", "Apples wedge/slices")
    ]
    assert drawn == ["banana", "pineapple", "apple"]
    assert shape_of("BREAD", "GROCERY", "Banana bread") == "loaf"


def test_every_shape_is_there_and_colours_stay_near_their_own():
    finer = {shape for of in FINER.values() for shape, _ in of}
    assert {shape for shape, _ in WORDS} | finer | {"parcel"} == set(_shapes())
    for shape, about in _shapes().items():
        hue, turn = int(about["data-hue"]), int(about["data-turn"])
        for number in range(50):
            away = (hue_of(str(number), shape) - hue + 180) % 360 - 180
            assert abs(away) <= turn
            assert picture(str(number), shape) == picture(str(number), shape)


@pytest.fixture
def config(home):
    made = load()
    rows = [
        nights.layout(pseudonym("user", "h7", key=made.ids.key, key_id=made.ids.key_id), page)
        for page in ("home", "start")
    ]
    export(made.store_url, nights.night(), nights.inputs([*nights.layouts(range(2)), *rows], nights.lists()))
    return made


def test_layout_get_prints_what_a_reader_gets(config, capsys):
    show.layout(config, "h7", "home")
    told = capsys.readouterr().out.splitlines()
    row = nights.layout(show.subject_of(config, "h7"), "home")
    assert told[0].startswith(
        f"home of {show.subject_of(config, 'h7')}: fresh, generation 1, drawn 2017-12-30"
    )
    assert told[1] == (
        f"  1  {row['widgets'][0]} {nights.CATEGORIES[int(row['widgets'][0][9:]) % 4]}: explores;"
        f" expected reward {row['scores'][0]:.3f}, probability 0.500"
    )
    assert "and 7 more" in told[2]
    show.layout(config, "h8", "home")
    assert "fallback (the subject has no layout of its own)" in capsys.readouterr().out


def test_a_page_that_is_not_declared_is_named(config):
    with pytest.raises(show.UnknownPage, match="the pages are home, start"):
        show.layout(config, "h7", "hom")


def test_store_status_stands_at_the_demos_day(config, capsys):
    show.status(config)
    told = capsys.readouterr().out
    assert told.startswith("generation 1 on maize, fresh\nmade from the night of 2017-12-30, for 2017-12-31")
    real = config.model_copy(update={"store": config.store.model_copy(update={"clock": "now"})})
    show.status(real)
    assert "past its validity" in capsys.readouterr().out


def test_an_empty_store_is_said_to_be_empty(home, capsys):
    show.status(load())
    assert capsys.readouterr().out == "The store is empty: nothing was exported yet.\n"
    with pytest.raises(StoreGone, match="run the export"):
        show.layout(load(), "h7", "home")


def test_the_day_of_a_page_is_the_day_it_serves(config):
    pointer = Store.open(config.store_url).generation().pointer
    assert pointer.serves_date == nights.DAY + timedelta(1)
    assert pointer.noon == NOON
