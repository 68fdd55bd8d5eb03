"""The demo's commands: its lake, a day of it, and the main job from end to end with its report.

Reads, writes: what the modules that they call say.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status

from jobs import runs
from jobs.config import Config, load
from jobs.demo import checker, gather, report
from jobs.demo.day import demo_day
from jobs.demo.lake import SLICE, LakeReport, demo_lake
from jobs.demo.source import FIRST_DATE, DemoError, date_of
from jobs.house import airflow, house
from jobs.house.rest import Rest
from jobs.store import live
from jobs.tables import Tables

LAST_DAY = SLICE[-1]
LAST_DATE = date_of(LAST_DAY)
NIGHT = ("lake_etl", "policy_evaluation", "nightly_layouts")
DONE_BY = ("bandit_statistics", "policies", "gate")


def lake(*, full: bool) -> None:
    """Write the demo's lake."""
    console = Console()
    console.print(_lake(console, full=full).sentence)


def day(when: date) -> None:
    """Serve a day and say what came of it, and what to run next."""
    config, console = load(), Console()
    done = demo_day(config, config.home, when)
    console.print(done.sentence, highlight=False)
    console.print(
        f"Next: run {', '.join(NIGHT[:-1])} and {NIGHT[-1]} for {when};"
        f" then {when + timedelta(days=1)} can be served."
    )


def check() -> None:
    """Set what the estimators said against the truth, page by page."""
    config, console = load(), Console()
    console.print(checker.MEANING)
    for page in config.pages.values():
        checker.show(console, page.page, *checker.read(config, config.home, page))


def demo() -> None:
    """Lake, tables, bandit, layouts and store by Airflow; then the report."""
    config, console = load(), Console()
    tables = Tables(config.tables)
    is_done = _is_done(config, tables)
    with ThreadPoolExecutor(1) as beside:
        # The house takes about as long to start as the lake to write.
        started = None if is_done else beside.submit(house.start)
        written = _lake(console, full=False)
        console.print(written.sentence, highlight=False)
        api = started.result() if started else house.start() if written.written else None
    if api is None:
        console.print("Tables, layouts and store were there already: nothing changed.")
    else:
        with _training_held_back(api):
            _run(console, api)
    report.show(
        console,
        rows=gather.row_counts(tables),
        shown=gather.shown(config, config.home, LAST_DAY),
        values=gather.true_values(config, tables, config.home),
        verdicts=gather.verdicts(tables, LAST_DATE),
        models=gather.models(tables, LAST_DATE),
        next_steps=_next_steps(config),
    )


def _lake(console: Console, *, full: bool) -> LakeReport:
    config = load()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("the lake, in days", total=None)
        return demo_lake(config.home, full, lambda done, of: progress.update(task, completed=done, total=of))


def _is_done(config: Config, tables: Tables) -> bool:
    """Whether the slice went through the pipeline, as conf/ is now, and into the store."""
    days = runs.days_between(config.since["policies"], LAST_DATE + timedelta(days=1))
    for job in DONE_BY:
        if not runs.is_ready(tables, job, days):
            return False
        if runs.of_job(tables, job)[-1]["configuration"] != config.digest:
            return False
    pointer = live(config.store_url)
    return pointer is not None and pointer.layout_date >= LAST_DATE


def _run(console: Console, api: Rest) -> None:
    """Run the DAGs of a night through Airflow, and say of each task when it is done."""
    served = load().since["policies"]
    for dag, first in zip(NIGHT, (FIRST_DATE, served, LAST_DATE), strict=True):
        run_id = api.trigger(dag, first=first, last=LAST_DATE)
        days = f"{first} to {LAST_DATE}" if first < LAST_DATE else f"{LAST_DATE}"
        console.print(f"[bold]{dag}[/bold], {days}: {api.address}/dags/{dag}/runs/{run_id}", highlight=False)
        with console.status("waiting") as status:
            state = api.wait(dag, run_id, progress=_Follower(console, status))
        if state != "success":
            raise DemoError(f"{dag} failed; see {api.address}/dags/{dag}.\n{api.failure(dag, run_id)}")


@contextmanager
def _training_held_back(api: Rest) -> Iterator[None]:
    """Let models wait that the last closing starts: the night needs the machine, nobody needs them yet."""
    airflow.let_train(api, at_once=0)
    try:
        yield
    finally:
        airflow.let_train(api, at_once=1)


class _Follower:
    """Prints each task as it ends, and which ones run meanwhile."""

    def __init__(self, console: Console, status: Status) -> None:
        self.console, self.status = console, status
        self.began = time.monotonic()
        self.ended: set[str] = set()

    def __call__(self, states: Mapping[str, str]) -> None:
        for task, state in sorted(states.items()):
            if state in ("success", "failed", "upstream_failed", "skipped") and task not in self.ended:
                self.ended.add(task)
                word = "done" if state == "success" else state.replace("_", " ")
                self.console.print(
                    f"  {task:22} {word:10} {time.monotonic() - self.began:4.0f} s", highlight=False
                )
        running = sorted(task for task, state in states.items() if state == "running")
        self.status.update(f"{', '.join(running) or 'waiting'} ({len(self.ended)} of {len(states)} done)")


def _next_steps(config: Config) -> list[tuple[str, str]]:
    pointer = live(config.store_url)
    serves = pointer.serves_date if pointer else LAST_DATE + timedelta(days=1)
    household, _ = gather.subjects(config.home, LAST_DAY)[1]
    return [
        ("make up", "Airflow with its DAGs, its address and login"),
        (
            f"vitrine layout page h{household} -o page.html",
            "this household's pages, drawn as they would look",
        ),
        ("vitrine store status", "the live generation"),
        (
            'vitrine query "select page, avg(reward) from feedback group by page"',
            "SQL over the tables, without a JVM",
        ),
        (f"vitrine demo-day {serves}", "serve the next day from the store: its outcome lands in the lake"),
        ("vitrine demo-check", "how near off-policy evaluation came to the truth, by estimator"),
        ("make down", "end everything that was started"),
    ]
