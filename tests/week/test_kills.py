"""Who is killed, and when: a task is known by its command, and rounds divide its life among them."""

import pytest

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


def test_a_round_says_who_was_killed():
    this = Round(LIVES, killed={"pin": 0.25, "events": 8.5})
    assert this.sentence() == "2 of 3 tasks killed and cleared, 0.2 to 8.5 s after their start"
