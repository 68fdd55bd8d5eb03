"""Processor time that a run costs: of its own process, and of the engine on this machine meanwhile.

What the engine did is told for the whole time of a run: of runs beside each other each has all of it, and who
reads it shares it out (jobs.ui.cost).
"""

import resource
from contextlib import suppress

import psutil

from jobs.config import Config
from jobs.house import process

ENGINE = "engine"
WARM = "jobs.house.warm"


def own_seconds() -> float:
    """Seconds of processor time of this process and of those it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def engine_seconds(config: Config) -> float | None:
    """Seconds of the engine's server and its workers since it began; None where it is not on this machine."""
    if config.engine.kind != "connect" or not config.engine.is_here:
        return None
    supervisor = process.running(ENGINE, config.home)
    if supervisor is None:
        return None
    total = 0.0
    for child in supervisor.children():
        with suppress(psutil.Error):
            # Beside the server runs what forks the jobs' processes: those tell their own time.
            if WARM not in child.cmdline():
                total += sum(map(_seconds, [child, *child.children(recursive=True)]))
    return total


def _seconds(of: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = of.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0
