"""Old files of the data home: reports, logs of tasks, and what alerts were told.

A report is written anew by its job; the newest of each kind stays, however old it is: a kind is a folder, and
what a name says beside its day, as the page of a goals' preview or the segmentation. Logs go by their own
age, and empty folders with them.

Reads and writes    reports/, airflow/logs/ and alerts/ in the data home
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

LOGS = ("airflow/logs", "alerts")
LOCK = "lock"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def old_reports(home: Path, before: datetime) -> list[Path]:
    """Return the reports of before an instant, but for the newest of each kind."""
    folder = home / "reports"
    by_kind: dict[tuple[Path, str], list[Path]] = {}
    for file in sorted(folder.rglob("*.html")):
        by_kind.setdefault((file.parent, DAY.split(file.stem)[0]), []).append(file)
    return [
        file
        for files in by_kind.values()
        for file in sorted(files, key=_written)[:-1]
        if _written(file) < before.timestamp()
    ]


def old_logs(home: Path, before: datetime) -> list[Path]:
    """Return the logs that nobody has written to since an instant."""
    found = (file for name in LOGS for file in sorted((home / name).rglob("*")))
    return [file for file in found if _is_log(file) and _written(file) < before.timestamp()]


def bytes_of(files: Iterable[Path]) -> int:
    """Sum the sizes of files that are there."""
    return sum(file.stat().st_size for file in files if file.exists())


def remove(files: Sequence[Path], home: Path) -> None:
    """Delete files, and the folders that are empty without them; the data home's own stay."""
    tops = {home, home / "reports", *(home / name for name in LOGS), home / "airflow"}
    for file in files:
        file.unlink(missing_ok=True)
    parents = {parent for file in files for parent in file.parents}
    for folder in sorted(parents, key=lambda one: -len(one.parts)):
        if folder.is_relative_to(home) and folder not in tops:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def _is_log(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and file.name != LOCK


def _written(file: Path) -> float:
    return file.stat().st_mtime
