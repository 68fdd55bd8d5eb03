"""The shell all jobs share: arguments, Spark, input versions, write-audit-publish, quarantine, manifest.

A job is a pure `build` and a `Job` that names what it reads and writes. Running one is always the same:
an interval in; read each input at its version; build; write beside the table; audit; publish the interval's
partitions in one step; leave a row in `runs`. On failure mend the cause and run it again: nothing was
published, or the same rows are.
"""

import argparse
import inspect
import resource
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pyspark.sql import DataFrame, SparkSession

from jobs import (
    checks,
    drawn_before,
    erased,
    full_disk,
    inputs,
    publish,
    rotation,
    runs,
    store,
    telemetry,
    usage,
)
from jobs.config import Config, ConfigError, home, load
from jobs.contracts import contract
from jobs.inputs import Buckets, Days, Lake, MissingInput, Read, State, Until
from jobs.publish import Stopped
from jobs.runs import Run
from jobs.spark import EngineGone, session
from jobs.tables import Tables
from jobs.volume import stored_rows

__all__ = ["Buckets", "Days", "Job", "Lake", "State", "Until", "run_job"]

OF_RUN = ("days", "served_until", "input_versions", "drawn_before", "known_days")
DAYS_KNOWN = ("subject_features", "layouts")
"""Tables of which `known_days` says which days have rows: their logs know, where a query takes a second."""


@dataclass(frozen=True)
class Job:
    """A job: its pure function, what it reads, the table it writes."""

    build: Callable[..., DataFrame]
    reads: Sequence[Read]
    writes: str
    late: Callable[..., DataFrame] | None = field(default=None)
    late_reads: Sequence[Read] | None = field(default=None)  # what `late` reads; as `reads` by default
    current: Sequence[str] = ()  # tables read at their newest version, whatever the DAG run wrote or pinned
    follows: Sequence[str] = ()  # tables whose late days it rebuilds, whatever DAG run replaced them
    is_bucketed: bool = False  # whether a partition of what it builds holds whole subject buckets

    @property
    def tables(self) -> list[str]:
        """Names of the tables it reads."""
        reads = (*self.reads, *(self.late_reads or ()))
        return list(dict.fromkeys(name for read in reads for name in inputs.tables_of(read)))

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Run it from the command line."""
        main(
            lambda ask, config: run_job(self, ask, config), self.writes, inspect.getdoc(self.build), arguments
        )


@dataclass(frozen=True)
class Command:
    """A job that runs in a way of its own: it takes what all jobs take, and has no `build`."""

    run: Callable[["Ask", Config], Run]
    name: str
    about: str | None

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Run it from the command line."""
        main(self.run, self.name, self.about, arguments)


@dataclass(frozen=True)
class Ask:
    """What a caller asks of a job: an interval, and the DAG run it belongs to."""

    start: date
    end: date
    dag_run: str | None = None

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise Stopped(
                f"The interval from {self.start} to {self.end} is empty: --to is the day after the last."
            )

    @property
    def days(self) -> list[date]:
        """Days of the interval."""
        return runs.days_between(self.start, self.end)


def main(
    run: Callable[[Ask, Config], Run], name: str, about: str | None, arguments: Sequence[str] | None = None
) -> None:
    """Parse the arguments that every job takes, run it, and turn what is wrong into one sentence."""
    parser = argparse.ArgumentParser(prog=f"vitrine run {name}", description=about)
    parser.add_argument(
        "--from", dest="start", type=date.fromisoformat, required=True, help="first day, as 2017-10-12"
    )
    parser.add_argument(
        "--to", dest="end", type=date.fromisoformat, help="day after the last; one day by default"
    )
    parser.add_argument(
        "--dag-run", default=None, help="the Airflow run this belongs to: it pins input versions"
    )
    parser.add_argument(
        "--with",
        dest="given",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the job, in place of what conf/ says; may be given several times",
    )
    asked = parser.parse_args(arguments)
    checks.preload()
    try:
        config = with_arguments(load(), name, asked.given)
        done = run(Ask(asked.start, asked.end or asked.start + timedelta(1), asked.dag_run), config)
    except (ConfigError, EngineGone, MissingInput, Stopped, runs.StalePin) as error:
        sys.exit(f"{name}: {error}")
    except Exception as error:  # a disk is full in many words; all else is shown as it came
        if (full := full_disk.sentence(error, home())) is None:
            raise
        sys.exit(f"{name}: {full}")
    print(describe(done))


def with_arguments(config: Config, name: str, given: Sequence[str]) -> Config:
    """Return a configuration whose `jobs.NAME` holds what a caller gave as NAME=VALUE.

    A value is YAML; an empty one, or null, leaves what conf/ says.

    Raises
    ------
    ConfigError
        When one is not of that form.

    """
    own, told = dict(config.jobs.get(name, {})), set[str]()
    for pair in given:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--with {pair!r} is not of the form NAME=VALUE.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--with {pair!r}: the value is not YAML; quote it as YAML does.") from None
        if value is not None:
            own[key] = value
            told.add(key)
    return config.with_arguments(name, own, told) if given else config


def run_job(job: Job, ask: Ask, config: Config, spark: SparkSession | None = None) -> Run:
    """Run a job for an interval and return its manifest.

    Raises
    ------
    Stopped
        A check of the contract did not hold; nothing was published.
    MissingInput
        A day of the lake is not there; nothing was built.
    ConfigError
        An argument of the job is missing in conf/, or cannot be.

    """
    tables = Tables(config.tables)
    versions = read_versions(job, tables, ask.dag_run)
    with recorded(job.writes, ask, config, versions) as run:
        touched = {*_touched(job, ask, tables, config), *_followed(job, ask, tables, config, versions)}
        days = _clip(sorted(touched), job.writes, config)
        if not days:
            run.status, run.message = "unchanged", f"{job.writes} begins on {config.since[job.writes]}"
            return run
        spark = spark or session(config)
        arguments = bind(job.build, job.writes, config)
        if job.late:
            with telemetry.step("late days", table=job.writes):
                days = _named(job, spark, days, config, versions)
        run.days = days
        with telemetry.step("build", table=job.writes):
            frames = {read.name: inputs.open_read(spark, read, days, config, versions) for read in job.reads}
            built = job.build(**frames, **arguments, **_of_run(job.build, days, config, run.inputs))
        built = erased.turned_away(built, contract(job.writes), tables, spark)
        quiet = config.quiet_days
        publish.publish(built, spark, tables, run, is_bucketed=job.is_bucketed, quiet_days=quiet)
    return run


def read_versions(job: Job, tables: Tables, dag_run: str | None) -> dict[str, int | None]:
    """Return the version at which a job reads each of its tables."""
    versions = runs.resolve(tables, job.tables, dag_run)
    if job.writes in versions:
        # Rows of its own that it hands through: as they are now, or those of another run would be lost.
        tables.open(job.writes)
        versions[job.writes] = tables.version(job.writes)
    return versions | {name: tables.version(name) for name in job.current}


@contextmanager
def recorded(name: str, ask: Ask, config: Config, versions: Mapping[str, int | None]) -> Iterator[Run]:
    """Give a run its manifest, which is kept whatever becomes of it; `versions` are those it reads.

    Raises
    ------
    Stopped
        While the key of pseudonyms changes: rows of both keys would not find one another.

    """
    if rotation.is_under_way(config):
        raise Stopped(
            f"The pseudonyms of key {config.ids.before} are not yet those of {config.ids.key_id}: run"
            " `vitrine rekey` to its end first."
        )
    unique = uuid.uuid4().hex[:12]
    run = Run(
        f"{name}-{ask.start}-{unique}",
        name,
        ask.dag_run,
        ask.start,
        ask.end,
        config.digest,
        runs.now(),
        ask.days,
    )
    run.inputs = {table: version for table, version in versions.items() if version is not None}
    with telemetry.span(run), Recorder(config, run):
        yield run


class Recorder:
    """Keeps the run's row, whatever became of it."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run, self.began = config, run, time.perf_counter()
        self.own, self.engine = usage.own_seconds(), usage.engine_seconds(config)

    def __enter__(self) -> Run:
        return self.run

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.run.seconds = round(time.perf_counter() - self.began, 3)
        self.run.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        self.run.cpu_seconds = round(usage.own_seconds() - self.own, 3)
        engine = usage.engine_seconds(self.config)
        # An engine that was started anew meanwhile counts from 0.
        if self.engine is not None and engine is not None and engine >= self.engine:
            self.run.engine_cpu_seconds = round(engine - self.engine, 3)
        if error is not None:
            told = full_disk.sentence(error, self.config.home) or str(error).partition("\n")[0]
            self.run.status, self.run.message = "stopped", told[:500]
        # What cannot be kept, as the disk is full, must not hide why the run ended.
        with suppress(OSError) if error is not None else nullcontext():
            runs.record(Tables(self.config.tables), self.run)


def bind(build: Callable[..., object], name: str, config: Config, *, strict: bool = True) -> dict[str, Any]:
    """Find values for the keyword-only arguments of a job in conf: `jobs.NAME`, then the top level.

    Raises
    ------
    ConfigError
        When one is missing, of the wrong type, or (when strict) when `jobs.NAME` holds a key that the job
        does not take.

    """
    own, bound = config.jobs.get(name, {}), {}
    wanted = {
        parameter.name: parameter
        for parameter in inspect.signature(build).parameters.values()
        if parameter.kind == inspect.Parameter.KEYWORD_ONLY and parameter.name not in OF_RUN
    }
    unknown = sorted(set(own) - set(wanted))
    if unknown and strict:
        where = _where(name, unknown[0], config)
        raise ConfigError(f"{where} is not an argument of {name}; remove it or mend its spelling.")
    for key, parameter in wanted.items():
        if key in own:
            bound[key] = _typed(own[key], parameter, _where(name, key, config))
        elif hasattr(config, key):
            bound[key] = getattr(config, key)
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"conf: jobs.{name}.{key} is missing; {name} cannot run without it.")
    return bound


def describe(run: Run) -> str:
    """Say in one line what a run did."""
    what = {"published": "published", "unchanged": "nothing changed in"}[run.status]
    rejected = f", {run.rows_rejected:,} rows to quarantine" if run.rows_rejected else ""
    span = f"{run.days[0]} to {run.days[-1]}" if run.days else "no day"
    told = f" {run.message[0].upper()}{run.message[1:]}." if run.message and run.days else ""
    return f"{run.job}: {what} {run.rows_out:,} rows of {span}{rejected}, {run.seconds:.1f} s.{told}"


def _where(name: str, key: str, config: Config) -> str:
    return f"--with {key}" if key in config.told else f"conf: jobs.{name}.{key}"


def _typed(value: Any, parameter: inspect.Parameter, where: str) -> Any:
    if parameter.annotation is inspect.Parameter.empty:
        return value
    try:
        return TypeAdapter(parameter.annotation).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{where} = {value!r} cannot be: {first['msg'].lower()}.") from None


def _of_run(
    build: Callable[..., object], days: Sequence[date], config: Config, versions: dict[str, int]
) -> dict[str, Any]:
    """Arguments of the run: its days, versions it reads; of layouts what may stand, and be drawn from."""
    tables = Tables(config.tables)
    known: dict[str, Callable[[], Any]] = {
        "days": lambda: days,
        "input_versions": lambda: versions,
        "served_until": lambda: _served_until(config),
        "drawn_before": lambda: drawn_before.drawn_before(tables, days[0], versions),
        "known_days": lambda: {name: _days_of(tables, name, versions.get(name)) for name in DAYS_KNOWN},
    }
    return {name: value() for name, value in known.items() if name in inspect.signature(build).parameters}


def _days_of(tables: Tables, name: str, version: int | None) -> frozenset[date]:
    rows = {} if version is None else stored_rows(tables, contract(name), version)
    return frozenset(day for day, count in rows.items() if count != 0)


def _served_until(config: Config) -> date | None:
    live = store.live(config.store_url)
    return live.layout_date if live else None


def _touched(job: Job, ask: Ask, tables: Tables, config: Config) -> list[date]:
    """The interval's days, and earlier ones whose inputs tasks of the same DAG run replaced."""
    replaced = runs.replaced(tables, job.tables, ask.dag_run)
    late = {
        reader
        for read in job.reads
        if not isinstance(read, Lake)
        for name in inputs.tables_of(read)
        for day in replaced[name]
        for reader in read.readers(day, ask.days[-1], config.late_days)
    }
    return sorted({*ask.days, *late})


def _followed(
    job: Job, ask: Ask, tables: Tables, config: Config, versions: Mapping[str, int | None]
) -> set[date]:
    """Days of the last `late_days` before the interval that rest on rows which were replaced since."""
    late = runs.days_between(ask.start - timedelta(config.late_days), ask.start)
    return {day for name in job.follows for day in runs.stale(tables, job.writes, name, late, versions[name])}


def _clip(days: list[date], name: str, config: Config) -> list[date]:
    since = config.since.get(name)
    return [day for day in days if since is None or day >= since]


def _named(
    job: Job, spark: SparkSession, days: list[date], config: Config, versions: dict[str, int | None]
) -> list[date]:
    assert job.late is not None
    reads = job.reads if job.late_reads is None else job.late_reads
    frames = {read.name: inputs.open_read(spark, read, days, config, versions) for read in reads}
    arguments = bind(job.late, job.writes, config, strict=False)
    named = job.late(**frames, **arguments, **_of_run(job.late, days, config, {}))
    return _clip(sorted({*days, *(row["day"] for row in named.distinct().collect())}), job.writes, config)
