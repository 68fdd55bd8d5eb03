"""Exports that are killed at some moments, under a reader in another process."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from jobs.store.care import rollback
from jobs.store.polled import REFRESH_SECONDS
from tests.store import crash
from tests.store.conftest import Place
from tests.store.forks import Forks
from tests.store.given import DAY, NOON, night

ZONE = "America/New_York"


def survive(
    place: Place, forks: Forks, folder: Path, waits: Iterable[float], unlock: Callable[[], None]
) -> None:
    """Kill an export so many seconds after its start, again and again; readers see whole generations alone.

    unlock : lets go of the lock of the killed one.
    """
    place.export(night(), crash.first())
    tomorrow = night(DAY + timedelta(1), "run-2")
    place.export(tomorrow, crash.second())
    wanted = (replace(place.live(), generation=2, changed=0), place.content())
    rollback(place.url, ZONE, NOON, place.terms)
    reader = forks.start("keep_reading", place.url, str(folder))
    while not (folder / "reading").exists():
        time.sleep(0.01)
    for wait in waits:
        started = place.terms.work / "exporting"
        started.unlink(missing_ok=True)
        writer = forks.start("write", place.url, "never", 0, str(place.terms.work))
        while not started.exists():
            time.sleep(0.001)
        time.sleep(wait)
        os.kill(writer, signal.SIGKILL)
        forks.wait(writer)
        assert crash.epochs_of(place.store()) <= {0, 1}
        unlock()
        if place.live().generation == 2:
            rollback(place.url, ZONE, NOON, place.terms)
            time.sleep(REFRESH_SECONDS)
    ended, reads = forks.stop(reader)
    assert (ended, reads > 50) == (0, True)
    place.export(tomorrow, crash.second())
    assert (replace(place.live(), changed=0), place.content()) == wanted
