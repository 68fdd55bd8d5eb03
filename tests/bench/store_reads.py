"""Reads by two processes from one LMDB store, quiet and while the next generation is written.

Each process opens the store, reads every page of the file once, and then asks for random subjects; each read
is from `Store.get` to a decoded layout. The clock is `perf_counter_ns`, its own cost included. Beside wall
clock stands the CPU time of a read, which others on the machine touch less.
"""

import gc
import resource
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from jobs.store import Store
from jobs.store.on_lmdb import LmdbBackend, LmdbWriter
from tests.bench.measure import Row
from tests.bench.store_rows import PAGE, blocks, heartbeat, subject
from tests.store.given import night

READERS, MOST = 2, 10.0
ASKED = 400_000


class Seen(NamedTuple):
    """What a reader saw: quantiles and CPU time of a read in microseconds."""

    half: float
    p99: float
    cpu: float
    wrong: int
    peak_mib: int
    generations: int


def rows(folder: Path, count: int) -> list[Row]:
    """Write a store of so many layouts and read it."""
    backend = LmdbBackend(folder / "reads")
    writer = LmdbWriter(backend)
    with writer.alone():
        _generation(writer, count, 1)
        quiet = _read(backend.folder, count, lambda: None)
        busy = _read(backend.folder, count, lambda: _generation(writer, count, 2))
    found = []
    for what, seen in (("quiet", quiet), ("while writing", busy)):
        p99 = max(one.p99 for one in seen)
        peak = max(one.peak_mib for one in seen)
        equal = not any(one.wrong for one in seen)
        title = f"read p99, {READERS} processes, {what}"
        found.append(Row(title, count, "µs", p99, MOST, "the bar", MOST / p99, equal, peak))
        found.append(Row(f"read median, {what}", count, "µs", max(one.half for one in seen)))
        found.append(Row(f"read, {what}", count, "µs CPU", max(one.cpu for one in seen)))
    return found


def _generation(writer: LmdbWriter, count: int, generation: int) -> None:
    """Write, install and flip to a generation."""
    live = writer.backend.pointer()
    building = writer.build(live.dormant if live else "maize")
    for block in blocks(count, 0.05 * (generation - 1)):
        building.fill(block)
    beat = heartbeat(count, generation)
    building.finish(beat)
    building.install()
    day = night().day + timedelta(generation - 1)
    writer.flip(live, night(day).pointer(live.dormant if live else "maize", beat, 0))


def _read(folder: Path, count: int, meanwhile: Callable[[], None]) -> list[Seen]:
    context = get_context("fork")
    ready, over, told = context.Barrier(READERS + 1), context.Event(), context.SimpleQueue()
    readers = [
        context.Process(target=_reader, args=(str(folder), count, seed, ready, over, told))
        for seed in range(READERS)
    ]
    for reader in readers:
        reader.start()
    ready.wait()
    meanwhile()
    over.set()
    seen = [told.get() for _ in readers]
    for reader in readers:
        reader.join()
    return seen


def _reader(folder: str, count: int, seed: int, ready: object, over: Event, told: object) -> None:
    store = Store.open(folder, clock="generation")
    for _ in store.generation().colour.pairs():
        pass
    rng = Random(seed)
    spent = np.zeros(0, np.int64)
    cpu, wrong, seen = 0, 0, set[int]()
    gc.collect()
    gc.freeze()
    ready.wait()  # type: ignore[attr-defined]
    while len(spent) < ASKED or not over.is_set():
        asked = [subject(rng.randrange(count), count) for _ in range(20_000)]
        times = []
        began = time.process_time_ns()
        for who in asked:
            at = time.perf_counter_ns()
            layout = store.get(who, PAGE)
            times.append(time.perf_counter_ns() - at)
            wrong += layout.freshness != "fresh"
        cpu += time.process_time_ns() - began
        seen.add(layout.generation)
        spent = np.concatenate([spent, times])
    half, p99 = np.quantile(spent, [0.5, 0.99]) / 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result = Seen(float(half), float(p99), cpu / len(spent) / 1000, wrong, peak, len(seen))
    told.put(result)  # type: ignore[attr-defined]
