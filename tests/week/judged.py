"""What a week was like: what is not as it should be, and a table of its nights."""

import os
from collections.abc import Sequence

import requests
from rich.table import Table

from jobs.telemetry import trace_of
from tests.week.night import NIGHT, NOTHING_TO_DO, Night
from tests.week.place import Place
from tests.week.readers import Readers

OUTSIDE = {"job products", "job maintenance"}  # before the first night, and after the last


def problems(where: Place, readers: Readers, nights: Sequence[Night]) -> list[str]:
    """Return what was not as it should be, a sentence each."""
    found = [problem for one in nights for problem in one.problems] + sorted(readers.problems)
    for one in nights:
        told = sum(one.fault.alert in text for text in one.alerts) if one.fault.alert else 0
        if told != bool(one.fault.alert):
            found.append(f"{one.day}: {one.fault.name} was told {told} times")
    return found + _untraced(where, nights) + _unmeasured(where, nights)


def _untraced(where: Place, nights: Sequence[Night]) -> list[str]:
    """Say which nights are not in one trace each, with all their DAG runs and jobs."""
    names: dict[str, set[str]] = {}
    for span in where.received.spans():
        names.setdefault(span.trace_id.hex(), set()).add(span.name)
    found = []
    for one in nights:
        wanted = {*(f"dag_run.{dag}" for dag in NIGHT), "worker.orders", "job orders", "job export", "write"}
        if missing := wanted - names.pop(trace_of(one.day), set()):
            found.append(f"{one.day}: its trace lacks {', '.join(sorted(missing))}")
    jobs = {name for of in names.values() for name in of if name.startswith("job ")}
    if astray := jobs - OUTSIDE:
        found.append(f"jobs outside of their night's trace: {', '.join(sorted(astray))}")
    return found


def _unmeasured(where: Place, nights: Sequence[Night]) -> list[str]:
    """Say what Prometheus would not get."""
    headers = {"Authorization": f"Bearer {os.environ['VITRINE_METRICS_TOKEN']}"}
    text = requests.get(f"{where.api.address}/vitrine/metrics", headers=headers, timeout=60).text
    wanted = (f"vitrine_store_generation {len(nights)}", 'vitrine_run_stopped{job="export"} 0')
    pushed = where.received.metrics()
    return [f"/vitrine/metrics does not say {line}" for line in wanted if f"\n{line}\n" not in text] + [
        f"{name} was not pushed" for name in ("vitrine.store.generation",) if name not in pushed
    ]


def summary(nights: Sequence[Night], readers: Readers) -> Table:
    """Return the week as a table."""
    reads = ", ".join(
        f"{count:,} {what} of {number}" for (number, what), count in sorted(readers.seen.items())
    )
    table = Table(title="The week", title_justify="left", box=None, pad_edge=False, caption=f"Reads: {reads}")
    for head in ("night", "fault", "trigger to flipped", "a job at work", "orchestration", "alerts", "hands"):
        table.add_column(head)
    for one in nights:
        told = one.figures
        seconds = (told.total, told.work, told.orchestration) if told else ()
        asking = sum(NOTHING_TO_DO not in text for text in one.alerts)
        cells = [f"{each:.0f} s" for each in seconds] or ["never", "", ""]
        table.add_row(str(one.day), one.fault.name, *cells, str(asking), "; ".join(one.hands) or "none")
    return table
