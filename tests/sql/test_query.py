"""vitrine query: SQL over the Delta tables without a JVM, and one sentence when it cannot be answered."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from jobs.config import load
from jobs.query import QueryError, query, show
from jobs.tables import Tables

DAY = date(2017, 11, 5)


@pytest.fixture
def closings(home: Path) -> None:
    told = [("2017-11", DAY, date(2017, 10, 9), date(2017, 11, 5)), ("2017-12", DAY, date(2017, 11, 6), None)]
    names = ("closing_id", "changed_date", "first_date", "last_date")
    Tables(load().tables).append("closings", [dict(zip(names, row, strict=True)) for row in told])


@pytest.mark.usefixtures("closings")
def test_a_question_over_a_table_is_answered_from_its_newest_version() -> None:
    answer = query("select closing_id, first_date from closings where last_date is not null", load())
    assert answer.to_pylist() == [{"closing_id": "2017-11", "first_date": date(2017, 10, 9)}]
    assert query("SELECT count(*) AS n FROM Closings", load()).to_pylist() == [{"n": 2}]


@pytest.mark.usefixtures("closings")
def test_a_name_alone_is_the_whole_table_and_an_answer_is_shown_to_a_limit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert query(" closings ", load()).num_rows == 2
    show("select closing_id, last_date, 0.5 as share from closings order by closing_id desc", load(), limit=1)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [lines[0], lines[2], lines[3]] == [
        ["closing_id", "last_date", "share"],
        ["2017-12", "0.5"],
        ["1", "of", "2", "rows"],
    ]


@pytest.mark.usefixtures("home")
def test_a_table_that_is_not_there_yet_and_a_view_over_it_are_empty() -> None:
    assert query("select * from orders", load()).num_rows == 0
    assert query("select page, served from funnel_by_widget_position", load()).to_pylist() == []


@pytest.mark.usefixtures("home")
def test_sums_are_integers_and_instants_are_utc_wherever_the_machine_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    at = datetime(2017, 11, 5, 5, 30, tzinfo=UTC)
    Tables(load().tables).append("orders", [{"order_id": "o", "order_date": DAY, "ordered_at": at}])
    answer = query("select sum(1) as n, sum(null::int) as nothing, max(ordered_at) as at from orders", load())
    assert answer.to_pylist() == [{"n": 1, "nothing": None, "at": at}]
    assert [str(kind) for kind in answer.schema.types] == ["int64", "int64", "timestamp[us, tz=UTC]"]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        (
            "select * from ordrs",
            r"There is no table or view 'ordrs'; the tables are .*, orders, .*; the views are ",
        ),
        ("select nothing_such from orders", r'Referenced column "nothing_such" not found'),
        ("selec 1", r'syntax error at or near "selec"'),
        ("", r"ask one question, with select"),
        ("select 1; select 2", r"ask one question, with select"),
        ("create table a (b int)", r"ask one question, with select"),
        ("select * from read_csv('/etc/passwd')", r"file system operations are disabled"),
        ("copy (select 1) to 'a.csv'", r"ask one question, with select"),
        ("set enable_external_access = true", r"ask one question, with select"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(sql: str, sentence: str) -> None:
    with pytest.raises(QueryError, match=sentence) as caught:
        query(sql, load())
    assert "\n" not in str(caught.value)
