"""The data dictionary tells of every table and column, who writes and who reads it, in one page."""

from html.parser import HTMLParser
from pathlib import Path

from typer.testing import CliRunner

from jobs import dictionary
from jobs.cli import app
from jobs.contracts import all_tables, contract


class Texts(HTMLParser):
    """Gathers the texts of each table's section, and every address that the page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.section, self.texts, self.fetched = "", dict[str, str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "section":
            self.section = named["id"] or ""
        self.fetched += [
            value for key, value in attrs if key in ("src", "href") and value and value[0] != "#"
        ]

    def handle_data(self, data: str) -> None:
        self.texts[self.section] = self.texts.get(self.section, "") + data + " "


def test_every_table_is_told_whole_and_nothing_is_fetched(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["dictionary", "-o", str(tmp_path / "book.html")])
    assert result.exit_code == 0, result.output
    page = Texts()
    page.feed((tmp_path / "book.html").read_text())
    assert page.fetched == []
    for name in all_tables():
        about, text = contract(name), page.texts[name]
        assert about.grain in text
        for column, said in about.columns.items():
            assert column in text
            assert said.meaning in text
        assert text.count("personal ") >= len(about.personal)
        for rule in (*about.rows.values(), *(check.measure for check in about.checks.values())):
            assert rule in text
    assert "How far do people get with each widget" in page.texts["views"]


def test_who_writes_and_reads_comes_from_the_jobs() -> None:
    readers, writers = dictionary.wiring()
    assert writers["feedback"] == "the job feedback"
    assert "feedback" in readers["decisions"]
    assert {"layouts", "export"} <= set(readers["widgets"])
    assert set(writers) <= set(all_tables())
