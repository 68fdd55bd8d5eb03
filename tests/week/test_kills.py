"""Who is killed, and when: a task is known by its command, rounds divide its life, and nobody is spared."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from jobs.house import HouseError
from tests.week import backfill, kills
from tests.week.backfill import Loaded
from tests.week.faults import task_of
from tests.week.kills import Round, moments

LIVES = {"pin": 2.0, "events": 12.0, "policies": 5.0}


@pytest.mark.parametrize(
    ("command", "task"),
    [
        ("/v/bin/python /v/bin/vitrine run users --from 2017-08-18 --dag-run run", "users"),
        ("/v/bin/vitrine run events --from 2017-08-18", "events"),
        ("/v/bin/python /v/bin/vitrine pin --dag-run lake_etl/1", "pin"),
        ("/v/bin/python /v/bin/vitrine closing ended --from 2017-08-18", "closing"),
        ("/v/bin/python /v/bin/vitrine run", None),
        ("/bin/bash -c vitrine run users", None),
        ("/v/bin/python -m airflow scheduler", None),
    ],
)
def test_a_task_is_known_by_its_command(command, task):
    assert task_of(command.split(" ")) == task


def test_rounds_divide_a_life_among_them():
    rounds = [moments(LIVES, number, 4) for number in range(4)]
    for task, life in LIVES.items():
        assert [int(4 * moment[task] / life) for moment in rounds] == [0, 1, 2, 3]
    assert rounds[0] == moments(LIVES, 0, 4)


def test_tables_that_only_one_has_are_unlike_too():
    wanted, found = Loaded(1, 1, {"users": "a", "events": "b"}), Loaded(1, 1, {"users": "a", "orders": "c"})
    told = (["events", "orders"], "other rows in events, orders")
    assert wanted.compared(found) == found.compared(wanted) == told
    assert wanted.compared(wanted) == ([], "equal rows in 2 tables")


@pytest.mark.parametrize(
    ("struck", "digest", "is_well", "told"),
    [
        (
            {"pin": 0.25, "events": 8.5, "policies": 1},
            "a",
            True,
            "3 of 3 tasks killed and cleared, 0.2 to 8.5 s",
        ),
        ({"pin": 0.25, "events": 8.5}, "a", False, "Never killed: policies"),
        ({}, "a", False, "Never killed: events, pin, policies"),
        ({"pin": 1, "events": 1, "policies": 1}, "b", False, "other rows in users"),
        (None, "a", False, "0 of 3 tasks killed and cleared; lake_etl ended as failed."),
    ],
)
def test_all_is_well_if_every_task_was_killed_and_rows_are_equal(monkeypatch, struck, digest, is_well, told):
    def load(_fetched, _days, how):
        this: Round = how.__self__
        this.tasks = frozenset(LIVES)
        if not this.at:
            this.lived = LIVES
            return Loaded(1, 1, {"users": "a"})
        if struck is None:
            raise HouseError("lake_etl ended as failed.")
        this.killed, this.cleared = struck, set(struck)
        return Loaded(1, 1, {"users": digest})

    monkeypatch.setattr(backfill, "load", load)
    said = Console(file=StringIO(), width=200)
    assert kills.run(said, Path(), 2) is is_well
    assert told in said.file.getvalue()
