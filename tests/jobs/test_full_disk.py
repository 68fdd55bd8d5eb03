"""A full disk is one sentence, whoever met it, and hides no other trouble."""

from pathlib import Path
from typing import Any

import pytest

from jobs import full_disk, runs, shell
from jobs.config import Config, load
from jobs.publish import Stopped
from jobs.shell import Ask
from jobs.tables import Tables
from tests.jobs.killed import FIRST


def fill(*_: Any) -> Any:
    """Write to a disk that is full."""
    with Path("/dev/full").open("w") as disk:
        disk.write("x")


def test_a_full_disk_is_told_in_a_sentence_and_kept_as_the_runs_reason(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(ask: Ask, config: Config) -> runs.Run:
        with shell.recorded("orders", ask, config, {}) as row:
            fill()
        return row

    with pytest.raises(SystemExit) as ended:
        shell.main(run, "orders", None, ["--from", str(FIRST)])
    assert str(ended.value).startswith(f"orders: A disk is full ({home}, or where Spark keeps")
    (row,) = runs.of_job(Tables(load().tables), "orders")
    assert row["status"] == "stopped"
    assert row["message"].startswith("A disk is full")
    # It may have come after the rows were published, or the store flipped.
    assert "What it had published or exported by then is whole, all else stands as it was." in row["message"]


def test_where_not_even_the_run_can_be_kept_its_own_reason_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "record", fill)
    with pytest.raises(Stopped, match="no rows"), shell.recorded("orders", Ask(*two_days()), load(), {}):
        raise Stopped("no rows")
    with (
        pytest.raises(OSError, match="No space left"),
        shell.recorded("orders", Ask(*two_days()), load(), {}),
    ):
        pass


def two_days() -> tuple[Any, Any]:
    return FIRST, FIRST.replace(day=FIRST.day + 1)


def test_it_is_known_by_what_led_to_an_error_too(tmp_path: Path) -> None:
    def told(first: Exception, then: Exception) -> str | None:
        try:
            try:
                raise first
            except Exception as error:
                raise then from error
        except Exception as error:
            return full_disk.sentence(error, tmp_path)

    spark = RuntimeError("Job aborted: java.io.IOException: No space left on device")
    assert told(spark, ValueError("could not write")) is not None
    assert told(ValueError("a"), spark) is not None
    assert told(ValueError("a"), KeyError("b")) is None
