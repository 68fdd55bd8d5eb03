"""The command line: `vitrine`. Each command loads only what it needs."""

import importlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jobs.shell import Command, Job

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
layout_app = typer.Typer(no_args_is_help=True, help="Look at a subject's layouts.")
store_app = typer.Typer(no_args_is_help=True, help="Look after the key-value store.")
goals_app = typer.Typer(no_args_is_help=True, help="Try other weights of a page's goals.")
closing_app = typer.Typer(no_args_is_help=True, help="Ask about closings, as the DAGs do.")
model_app = typer.Typer(no_args_is_help=True, help="Look at models, and decide about them by hand.")
app.add_typer(layout_app, name="layout")
app.add_typer(goals_app, name="goals")
app.add_typer(model_app, name="model")
app.add_typer(store_app, name="store")
app.add_typer(closing_app, name="closing")

FIRST_DAY = datetime(2026, 1, 1)  # noqa: DTZ001 (typer gives a day as an instant without a zone)
OF_NO_TABLE = ("export", "gate", "model_gate", "model_report", "policy_report", "segment_report")
"""Jobs that are not named after the table they write, or write none."""

Passed = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def main() -> None:
    """Run a command; what a user can mend comes as one sentence, without a traceback."""
    if sys.argv[1:2] == ["run"] and sys.argv[2:3] not in ([], ["--help"]):
        _run(sys.argv[2], sys.argv[3:])
        return
    try:
        app()
    except (ValueError, RuntimeError, LookupError, OSError) as error:
        from jobs import full_disk
        from jobs.config import home

        said = str(error) if _for_users(error) else full_disk.sentence(error, home())
        if said is None:
            raise
        print(f"vitrine: {said}", file=sys.stderr)
        sys.exit(2)


@app.command(context_settings=Passed)
def run(job: Annotated[str, typer.Argument(help="a table's name, as sessions, or export")]) -> None:
    """Run one job for an interval: vitrine run JOB --from DAY [--to DAY] [--dag-run ID]."""
    _run(job, [])


@app.command()
def ready(
    jobs: Annotated[list[str], typer.Argument(help="jobs whose rows in `runs` are awaited")],
    start: Annotated[datetime, typer.Option("--from", help="first day", formats=["%Y-%m-%d"])],
    end: Annotated[datetime, typer.Option("--to", help="day after the last", formats=["%Y-%m-%d"])],
) -> None:
    """Exit 0 when finished runs cover the interval, 1 when they do not yet, 2 when it cannot be told."""
    from jobs import runs
    from jobs.config import load
    from jobs.tables import Tables

    config, days = load(), runs.days_between(start.date(), end.date())
    for job in jobs:
        wanted = [day for day in days if day >= config.since.get(job, day)]
        if not runs.is_ready(Tables(config.tables), job, wanted):
            typer.echo(f"{job} is not done for {days[0]} to {days[-1]} yet.")
            raise typer.Exit(1)


@app.command()
def newest(
    job: Annotated[str, typer.Argument(help="a job, as subject_features")],
    upto: Annotated[datetime | None, typer.Option(help="no later than this", formats=["%Y-%m-%d"])] = None,
    day: Annotated[datetime | None, typer.Option(help="just this day", formats=["%Y-%m-%d"])] = None,
) -> None:
    """Print the newest day that finished runs of a job cover; exit 2 when there is none."""
    from jobs import runs
    from jobs.config import load
    from jobs.tables import Tables

    limit = day or upto
    typer.echo(
        runs.newest_day(
            Tables(load().tables), job, upto=limit.date() if limit else None, exactly=day is not None
        )
    )


@app.command()
def pin(
    dag_run: Annotated[str, typer.Option(help="the Airflow run whose tasks read these versions")],
) -> None:
    """Keep the present version of every table for the tasks of a DAG run."""
    from jobs import runs
    from jobs.config import load
    from jobs.contracts import all_tables
    from jobs.tables import Tables

    versions = runs.pin(Tables(load().tables), dag_run, all_tables(), runs.now())
    typer.echo(f"{len(versions)} tables pinned for {dag_run}.")


@app.command()
def leaks(
    job: Annotated[str, typer.Argument(help="a table that is made of tables, as subject_features")],
    day: Annotated[datetime, typer.Argument(help="one of its days", formats=["%Y-%m-%d"])],
) -> None:
    """Build a day with and without what came later; exit 1 and name the columns when they differ."""
    from jobs import leaks as check
    from jobs.config import load
    from jobs.spark import session

    config = load()
    found = check.leaks(_job(job), day.date(), config, session(config))
    for column, rows in found.items():
        typer.echo(f"{job}.{column} depends on what came after {day.date()} in {rows:,} rows.")
    if found:
        raise typer.Exit(1)
    typer.echo(f"No row of {job} of {day.date()} depends on what came later.")


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="a select over the tables, or the name of a view in sql/")],
    rows: Annotated[int, typer.Option(help="rows to print")] = 40,
) -> None:
    """Query the Delta tables, without a JVM."""
    from jobs import query as engine
    from jobs.config import load

    engine.show(sql, load(), limit=rows)


@app.command()
def health(
    night: Annotated[
        datetime | None,
        typer.Option(help="as of this day; by default the last one run", formats=["%Y-%m-%d"]),
    ] = None,
) -> None:
    """Show each table's rows, freshness and last run, and what was turned away; exit 1 if not all is well."""
    from rich.console import Console

    from jobs import health as tables_health
    from jobs.config import load
    from jobs.tables import Tables

    tables = Tables(load().tables)
    day = night.date() if night else tables_health.last_night(tables)
    if day is None:
        typer.echo("Nothing has run yet.")
        return
    if not tables_health.show(tables, day, Console(width=160)):
        raise typer.Exit(1)


@app.command("metrics")
def show_metrics(
    reference: Annotated[
        bool, typer.Option("--reference", help="say what there is to measure, as a table in Markdown")
    ] = False,
) -> None:
    """Print what tables and store say as Prometheus reads it, as for node_exporter's textfile collector."""
    from jobs import metrics

    if reference:
        typer.echo(metrics.as_table(), nl=False)
        return
    from jobs.config import load
    from jobs.ui.metrics import gather
    from jobs.ui.shelf import Shelf

    config = load()
    typer.echo(metrics.as_text(gather(Shelf(config.tables), config)), nl=False)


@app.command()
def sweep(
    day: Annotated[datetime, typer.Argument(help="as of this day, as 2017-10-12", formats=["%Y-%m-%d"])],
    vacuum_hours: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="files that left a table so long ago are deleted; by default as conf/ says",
        ),
    ] = None,
) -> None:
    """Remove what tables may no longer hold: days beyond their retention, and who asked to be forgotten."""
    from jobs import sweep as broom
    from jobs.config import load

    config = load()
    hours = config.maintenance.vacuum_hours if vacuum_hours is None else vacuum_hours
    swept = broom.sweep(config, day.date(), vacuum_hours=hours)
    for one in swept:
        typer.echo(str(one))
    if not swept:
        typer.echo("Nothing is to be removed.")


@app.command()
def maintenance(
    day: Annotated[datetime, typer.Argument(help="as of this loaded day", formats=["%Y-%m-%d"])],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would go, and what stays")
    ] = False,
    dag_run: Annotated[str | None, typer.Option(help="the Airflow run this belongs to")] = None,
) -> None:
    """Keep house: sweep, compact, old rows of runs, reports, logs, models' files, Airflow's runs."""
    from jobs import maintenance as house_keeping
    from jobs import runs
    from jobs.config import load

    house_keeping.run(load(), day.date(), runs.now(), dry_run=dry_run, dag_run=dag_run, tell=typer.echo)


@app.command()
def plan(
    dag: Annotated[str, typer.Argument(help="a dated DAG, as lake_etl")],
    start: Annotated[datetime, typer.Argument(help="first day, as 2017-10-12", formats=["%Y-%m-%d"])],
    end: Annotated[datetime, typer.Argument(help="last day, included", formats=["%Y-%m-%d"])],
) -> None:
    """Say which partitions of which tables a backfill would replace, and what it took last time."""
    from rich.console import Console

    from jobs import plan as plans
    from jobs.config import load

    plans.show(load(), dag, start.date(), end.date(), Console(width=140, soft_wrap=True))


@app.command()
def rekey(
    drop_unknown: Annotated[
        bool,
        typer.Option("--drop-unknown", help="drop the rows of whose raw id the lake has nothing any more"),
    ] = False,
    days_at_once: Annotated[int, typer.Option(min=1, help="days of a table in one transaction")] = 30,
) -> None:
    """Change the key of pseudonyms: all tables, and the store, from `ids.before` (conf/) to `ids.key_id`."""
    from jobs import rekey as job
    from jobs.config import load
    from jobs.spark import session

    config = load()
    job.rekey(config, session(config), drop_unknown=drop_unknown, days_at_once=days_at_once, tell=typer.echo)


@app.command()
def dictionary(
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write")] = Path(
        "dictionary.html"
    ),
) -> None:
    """Write the data dictionary: every table, column, rule and check, as one HTML page."""
    from jobs import dictionary as book

    typer.echo(f"{output}: {book.write(output)} tables.")


@closing_app.command("ended")
def closing_ended(
    start: Annotated[datetime, typer.Option("--from", help="first day", formats=["%Y-%m-%d"])],
    end: Annotated[datetime, typer.Option("--to", help="day after the last", formats=["%Y-%m-%d"])],
) -> None:
    """Print the closings that ended in an interval, as known at its end: ids as JSON, oldest first."""
    from jobs import closing_asks
    from jobs.config import load

    typer.echo(json.dumps(closing_asks.ended_in(load(), start.date(), end.date())))


@closing_app.command("drifted")
def closing_drifted(
    start: Annotated[datetime, typer.Option("--from", help="first day", formats=["%Y-%m-%d"])],
    end: Annotated[datetime, typer.Option("--to", help="day after the last", formats=["%Y-%m-%d"])],
) -> None:
    """Print the closings to train once more, as what models see has moved in an interval: ids as JSON."""
    from jobs import closing_asks
    from jobs.config import load

    typer.echo(json.dumps(closing_asks.drifted_in(load(), start.date(), end.date())))


@closing_app.command("last-day")
def closing_last_day(
    closing: Annotated[str, typer.Argument(help="a closing's id, as 2017-10")],
) -> None:
    """Print the last day of a closing that is over; exit 2 when there is no such one."""
    from jobs import closing_asks
    from jobs.config import load

    typer.echo(closing_asks.last_day(load(), closing))


@closing_app.command("is-new")
def closing_is_new(
    closing: Annotated[str, typer.Argument(help="a closing's id, as 2017-10")],
    day: Annotated[datetime, typer.Argument(help="the closing's last day", formats=["%Y-%m-%d"])],
    dag_run: Annotated[str, typer.Option(help="the Airflow run that made its examples")],
) -> None:
    """Exit 99, which skips, when a finished run trained on the same examples."""
    from jobs import closing_asks
    from jobs.config import load

    before = closing_asks.trained_by(load(), closing, day.date(), dag_run)
    if before:
        typer.echo(f"The examples up to {day.date()} are those that {before} trained on: nothing to train.")
        raise typer.Exit(99)
    typer.echo(f"No finished run trained on these examples up to {day.date()}.")


@layout_app.command("get")
def layout_get(
    subject: Annotated[str, typer.Argument(help="a user id of the shop, as h1228, or a pseudonym")],
    page: Annotated[str, typer.Option(help="which page")],
) -> None:
    """Print the layout that a reader of the store gets."""
    from jobs.config import load
    from jobs.store import show

    show.layout(load(), subject, page)


@layout_app.command("explain")
def layout_explain(
    subject: Annotated[str, typer.Argument(help="a user id of the shop, as h1228, or a pseudonym")],
) -> None:
    """Tell why each widget of a subject's newest pages stands where it stands, in words."""
    from jobs.config import load
    from jobs.explaining import of_subject
    from jobs.store.show import subject_of

    config = load()
    typer.echo("\n".join(of_subject(config, subject_of(config, subject), subject)))


@layout_app.command("page")
def layout_page(
    subject: Annotated[str, typer.Argument(help="a user id of the shop, as h1228, or a pseudonym")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write")] = Path("page.html"),
) -> None:
    """Draw a subject's pages as they would look, why, the night before, and what it did: one HTML file."""
    from jobs import inspector
    from jobs.config import load

    inspector.write(load(), subject, output)


@goals_app.command("preview")
def goals_preview(
    page: Annotated[str, typer.Option(help="which page")],
    weights: Annotated[str, typer.Option(help="as click=1,revenue=0.5,diversity=0.2")],
    days: Annotated[int, typer.Option(min=1, help="days of the log to look at")] = 28,
    visits: Annotated[int, typer.Option(min=1, help="at most about so many of its visits")] = 8000,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HTML file; by default reports/goals/PAGE.html")
    ] = None,
) -> None:
    """Say what other weights of a page's goals would gain and lose, from what was logged."""
    from jobs import goals_command
    from jobs.config import load

    goals_command.show(load(), page, weights, days, visits, output)


@app.command("serve")
def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8090,
) -> None:
    """Serve the store over HTTP: layouts, lists, widgets, /health and /metrics.

    /v1/layouts/PAGE?user=ID (or device=ID), /v1/lists/KEY, /v1/widgets/NAME, /health (which generation is
    live), /metrics (reads by page and outcome, as Prometheus reads them).
    """
    from jobs.config import load
    from jobs.serve import run

    run(load(), host, port)


@store_app.command("status")
def store_status() -> None:
    """Say which generation is live, of which day, until when it is valid, and what it holds."""
    from jobs.config import load
    from jobs.store import show

    show.status(load())


@store_app.command("diff")
def store_diff() -> None:
    """Count the keys that differ between the live colour and the other one, by kind."""
    from jobs.config import load
    from jobs.store import care

    typer.echo("\n".join(care.diff(load().store_url)))


@store_app.command("verify")
def store_verify() -> None:
    """Read the live generation whole: counts, digest, and every layout through the reader."""
    from jobs.config import load
    from jobs.store import care

    typer.echo(care.verify(load().store_url))


@store_app.command("rollback")
def store_rollback() -> None:
    """Verify the generation before the live one, and move readers back to it."""
    from jobs.config import load
    from jobs.store import care

    config = load()
    typer.echo(
        care.rollback(config.store_url, config.business_time_zone, datetime.now(UTC), config.store_terms)
    )


@store_app.command("gc")
def store_gc() -> None:
    """Remove what killed exports left behind; both colours stay."""
    from jobs.config import load
    from jobs.store import care

    config = load()
    typer.echo("\n".join(care.collect(config.store_url, config.store_terms)))


@model_app.command("list")
def model_list() -> None:
    """Print the versions that may go live, their verdicts, and which is champion."""
    from rich.console import Console

    from jobs import model_commands
    from jobs.config import load

    model_commands.show(load(), Console(width=160))


@model_app.command("promote")
def model_promote(
    name: Annotated[str, typer.Argument(help="a spec of conf/models, as churn")],
    version: Annotated[str, typer.Argument(help="the version, as `vitrine model list` prints it")],
    why: Annotated[str, typer.Option(help="the reason, for who reads it later")] = "",
) -> None:
    """Make a version champion, by your name."""
    from jobs import model_commands
    from jobs.config import load

    model_commands.promote(load(), name, version, why)


@model_app.command("rollback")
def model_rollback(
    name: Annotated[str, typer.Argument(help="a spec of conf/models, as churn")],
    why: Annotated[str, typer.Option(help="the reason, for who reads it later")] = "",
) -> None:
    """Make the champion before the present one champion again, by your name."""
    from jobs import model_commands
    from jobs.config import load

    model_commands.roll_back(load(), name, why)


@app.command("demo-lake")
def demo_lake(
    full: Annotated[bool, typer.Option("--full", help="days 42 to 364 instead of eight weeks")] = False,
) -> None:
    """Write the demo's lake: a year of real baskets, replayed as web sessions."""
    from jobs.demo import commands

    commands.lake(full=full)


@app.command("demo-day")
def demo_day(
    day: Annotated[datetime, typer.Argument(help="the live generation's day", formats=["%Y-%m-%d"])],
) -> None:
    """Serve a day's visits through the store's reader and write what came of it into the lake."""
    from jobs.demo import commands

    commands.day(day.date())


@app.command("demo-check")
def demo_check() -> None:
    """Set what off-policy evaluation said of each policy of the demo against the truth, by estimator."""
    from jobs.demo import commands

    commands.check()


@app.command("synth-lake")
def synth_lake(
    users: Annotated[
        int, typer.Option(min=1, help="users; they come in blocks of 8,192, a file each and day")
    ],
    days: Annotated[int, typer.Option(min=1, help="days, from --from on")] = 1,
    first: Annotated[datetime, typer.Option("--from", help="first day", formats=["%Y-%m-%d"])] = FIRST_DAY,
    spans_per_user: Annotated[float, typer.Option(help="spans of a user and day, on average")] = 10.0,
    products: Annotated[int, typer.Option(min=1, help="products, sold by Zipf's law")] = 20_000,
    seed: Annotated[int, typer.Option(help="another seed is another lake; the same is the same files")] = 1,
) -> None:
    """Write a synthetic lake at size, in the forms that the jobs read: for benchmarks and sizing.

    Telemetry, tags, orders and every entity, with heavy users and products, bots, copies, late and lost hits.
    Set VITRINE_OVERLAY=synth for it and for the jobs that read it: its days are UTC, its key is no secret.
    """
    from jobs.synth import commands

    commands.write(users, days, first.date(), spans_per_user, products, seed)


@app.command()
def demo() -> None:
    """Run the main job on the demo, end to end, and report."""
    from jobs.demo import commands

    commands.demo()


@app.command()
def up() -> None:
    """Start the Spark engine and Airflow, and print address and login."""
    from jobs.house import house

    house.up()


@app.command()
def down() -> None:
    """Stop all that `up` started."""
    from jobs.house import house

    house.down()


@app.command("airflow", context_settings=Passed)
def airflow_command(given: typer.Context) -> None:
    """Pass a command to Airflow's own command line: `vitrine airflow backfill create --help`."""
    from jobs.house import airflow

    raise typer.Exit(airflow.command_line(given.args))


@app.command()
def status() -> None:
    """Say what is running."""
    from jobs.house import house

    house.status()


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print findings as JSON, for machines")] = False,
) -> None:
    """Check versions, Java, jars, environment, disk, permissions, connections; exit 1 if one is to mend."""
    from jobs.house import doctor as house_doctor

    if not house_doctor.show(house_doctor.examine(), as_json=as_json):
        raise typer.Exit(1)


def _run(name: str, arguments: list[str]) -> None:
    _job(name).main(arguments)


def _job(name: str) -> "Job | Command":
    from jobs.contracts import all_tables

    known = [*all_tables(), *OF_NO_TABLE]
    module = Path(__file__).parent / f"{name}.py"
    if name not in known or not module.exists():
        runnable = ", ".join(job for job in known if (module.parent / f"{job}.py").exists())
        sys.exit(f"vitrine: there is no job {name!r}; the jobs are {runnable}.")
    found: Job | Command = importlib.import_module(f"jobs.{name}").JOB
    return found


def _for_users(error: BaseException) -> bool:
    return type(error).__module__.startswith("jobs.")
