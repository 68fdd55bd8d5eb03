"""Maintenance: keeps house. What nobody needs any more goes; what a promise rests on stays, and says why.

Each step finds what may go by its own bound of `maintenance` in conf/, and then removes it; a dry run only
finds. A step that cannot be done holds none of the others up. Run again, it finds nothing.

What stays, whatever its age: the versions of tables that champions and the generations of the store were made
from; both colours of the store; rows of `runs` that did a table's day; the newest report of each kind; models
that were ever promoted; each DAG's last run.

Reads and writes    all tables, as `jobs.sweep` and `jobs.compaction` say; the store, as `vitrine store gc`;
                    reports, logs, MLflow's artifacts and Airflow's database
Writes              a row in `runs`
On failure, mend what the sentence names and run it again: it goes on with the rest.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from jobs import compaction, lineage, old_artifacts, old_files, old_runs, shell, sweep
from jobs.compaction import APPENDED
from jobs.config import Config
from jobs.contracts import all_tables
from jobs.shell import Ask
from jobs.store import care
from jobs.tables import Tables

LOG = logging.getLogger(__name__)
NAME = "maintenance"
MIB = 2**20


class MaintenanceError(RuntimeError):
    """Some steps could not be done; all others were."""


@dataclass(frozen=True)
class Step:
    """How much a step removes of what; notes are in words: what stays and why, or what is lost."""

    name: str
    count: int
    what: str
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.count:,} {self.what}"


@dataclass(frozen=True)
class House:
    """What steps need to know: the day that tables are as of, the instant, and whether they only look."""

    config: Config
    day: date
    at: datetime
    dry_run: bool

    @property
    def tables(self) -> Tables:
        """The tables."""
        return Tables(self.config.tables)

    def before(self, days: int) -> datetime:
        """Return the instant so many days ago."""
        return self.at - timedelta(days)


def run(
    config: Config,
    day: date,
    at: datetime,
    *,
    dry_run: bool = False,
    dag_run: str | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Keep house as of a loaded day and an instant, and tell what was, or would be, done.

    Raises
    ------
    MaintenanceError
        When steps could not be done; the sentence names them.
    Stopped
        While the key of pseudonyms changes.

    """
    house = House(config, day, at, dry_run)
    if dry_run:
        _all(house, tell)
        return
    with shell.recorded(NAME, Ask(day, day + timedelta(1), dag_run), config, {}) as row:
        done = _all(house, tell)
        row.status = "published" if any(one.count for one in done) else "unchanged"
        row.rows_out = sum(one.count for one in done)
        row.message = "; ".join(str(one) for one in done if one.count)


def _all(house: House, tell: Callable[[str], None]) -> list[Step]:
    done, failed = [], []
    for step in STEPS:
        try:
            one = step(house)
        except Exception as error:  # whatever it met: the others are to be done
            LOG.exception("%s", step.__doc__)
            said = str(error).strip().partition("\n")[0].rstrip(".")
            failed.append(f"{(step.__doc__ or '').partition('.')[0]}: {said}")
            continue
        done.append(one)
        for line in (str(one), *(f"    {note}" for note in one.notes)):
            tell(line)
    total = sum(one.count for one in done)
    would = "Nothing was removed, this only looked" if house.dry_run else "Nothing is to be removed"
    tell(f"{would}." if house.dry_run or not total else f"{total:,} things were removed.")
    if failed:
        raise MaintenanceError(f"Not all could be done. {'; '.join(failed)}. Mend it and run it again.")
    return done


def swept(house: House) -> Step:
    """Sweep the tables."""
    hours = house.config.maintenance.vacuum_hours
    found = sweep.sweep_all(house.config, house.day, vacuum_hours=hours, dry_run=house.dry_run)
    gone = [str(one) for one in found if one.days or one.rows or one.lost]
    files = [f"{one.table}: {one.files:,} files on the disk" for one in found if one.files]
    kept = [f"{one.table}: stays, {told}" for one in found for told in one.kept]
    count = sum(one.days + one.rows + one.files for one in found)
    return Step("tables", count, "days, rows and files", [*gone, *files, *kept])


def shortened(house: House) -> Step:
    """Drop rows of runs."""
    before = house.before(house.config.maintenance.runs_days)
    found = old_runs.find(house.tables, house.config.store_url, before)
    if not house.dry_run:
        old_runs.drop(house.tables, found)
    return Step("runs", sum(len(ids) for ids in found.values()), "rows that nothing rests on")


def compacted(house: House) -> Step:
    """Put small files together."""
    bounds, count, notes = house.config.maintenance, 0, []
    for name in APPENDED:
        found = compaction.crowded(house.tables, name, bounds) if house.tables.exists(name) else {}
        if found:
            fewer = sum(found.values())
            notes.append(f"{name}: {fewer:,} fewer in {len(found):,} partitions")
            count += fewer if house.dry_run else compaction.compact(house.tables, name, found, bounds)
    return Step("compaction", count, "small files fewer", notes)


def summed_up(house: House) -> Step:
    """Sum up the tables' logs."""
    bounds, tables = house.config.maintenance, house.tables
    there = [name for name in all_tables() if tables.exists(name)]
    if not house.dry_run:
        for name in lineage.needed(tables, house.config.store_url):
            compaction.keep_log(tables, name, bounds.lineage_days)
    long = [name for name in there if compaction.commits_since_checkpoint(tables, name) >= bounds.log_commits]
    if not house.dry_run:
        for name in long:
            compaction.sum_up(tables, name)
    return Step("logs of tables", len(long), "summed up", [", ".join(long)] if long else [])


def store_cleared(house: House) -> Step:
    """Clear up the store."""
    kept = "both colours stay, for readers and `vitrine store rollback`"
    if house.dry_run:
        return Step("store", 0, "left behind by killed exports", ["not looked at", kept])
    told = care.collect(house.config.store_url, house.config.store_terms)
    gone = [line for line in told if line not in (care.NO_STORE, care.NOTHING_LEFT)]
    return Step("store", len(gone), "left behind by killed exports", [*gone, kept])


def reports_removed(house: House) -> Step:
    """Delete old reports."""
    found = old_files.old_reports(house.config.home, house.before(house.config.maintenance.reports_days))
    return _removed(house, "reports", found)


def logs_removed(house: House) -> Step:
    """Delete old logs."""
    found = old_files.old_logs(house.config.home, house.before(house.config.maintenance.logs_days))
    return _removed(house, "logs", found)


def _removed(house: House, name: str, files: Sequence[Path]) -> Step:
    size = old_files.bytes_of(files)
    if not house.dry_run:
        old_files.remove(files, house.config.home)
    return Step(name, len(files), f"files, {size / MIB:,.1f} MiB")


def artifacts_removed(house: House) -> Step:
    """Delete files of models that were never promoted."""
    found, lost = old_artifacts.find(house.config, house.before(house.config.maintenance.artifacts_days))
    if not house.dry_run:
        for one in found:
            old_artifacts.remove(one)
    notes = [", ".join(one.version for one in found)] if found else []
    if lost:
        notes.append(f"skipped, since their runs are gone from MLflow: {', '.join(lost)}")
    return Step("MLflow", len(found), "models' files", notes)


def airflow_cleaned(house: House) -> Step:
    """Clean Airflow's database."""
    from jobs.house import airflow

    before = house.before(house.config.maintenance.airflow_days)
    count = airflow.clean(before, dry_run=house.dry_run)
    note = "its database is not at hand: run `vitrine maintenance` where its variable is set"
    return Step("Airflow", count or 0, "rows of its database", [note] if count is None else [])


STEPS = (
    swept, shortened, compacted, summed_up, store_cleared, reports_removed, logs_removed, artifacts_removed,
    airflow_cleaned,
)  # fmt: skip
