"""The store: its payload, exports to Redis and LMDB beside raw peers, differences, and reads.

- The payload is measured in CPU time of one process, over values that no cache holds at once.
- An export to Redis is timed from the file that was built here to the heartbeat, every reply compared: with
  digests, differences and routing, without the tables before and the reading back behind. The peer is
  redis-benchmark, SET with a time to live, 100 a pipeline, 8 clients, values and keys of the same size, on
  the same server, emptied before each round. On a cluster the peer is a pipeline of redis-py's client,
  1,000 at a time, for a tenth of the keys.
- A load into LMDB is timed from keys and values in memory to the finished file; the peer writes the same
  bytes to a file, one after the other, with an fsync at the end.
- Reads (store_reads.py) are by `Store.get`, in processes of their own.

STORE_ROWS is how many keys LMDB and reads have, STORE_KEYS how many go to Redis; BENCH_SCALE scales both.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from statistics import median

import redis
from redis.cluster import RedisCluster

from jobs.config import home
from jobs.store.backends import backend_of
from jobs.store.codec import decode
from jobs.store.encode import encode
from jobs.store.held import Held, read, steps, write
from jobs.store.on_lmdb import LmdbBuilding
from jobs.store.redis_export import RedisBuilding, RedisWriter
from jobs.store.terms import Terms
from jobs.store.walks import Pair
from tests.bench import store_reads
from tests.bench.measure import Peak, Row, scaled
from tests.bench.store_rows import batch, blocks, book, heartbeat
from tests.store.servers import HOST, Cluster, Server, free_ports

ROWS = int(os.environ.get("STORE_ROWS", "5000000"))
KEYS = int(os.environ.get("STORE_KEYS", "500000"))
DECODED, ENCODED, ROUNDS, SHARE = 20_000, 100_000, 5, 10
CHANGED = 0.05
TOGETHER = 1_000
MOST_RANDOM = 2**31 - 1  # the largest number that redis-benchmark takes for its random keys
MOST_BYTES, MOST_DECODE, LEAST_ENCODE = 256, 5.0, 500_000
BAR = "the bar"


def run() -> list[Row]:
    """Measure all, in folders on the disk that holds Vitrine's data."""
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=home()) as name:
        folder = Path(name)
        parts: list[Callable[[Path], Iterable[Row]]] = [payload, to_redis, to_cluster, to_lmdb, differences]
        rows = []
        for part in parts:
            scratch = folder / part.__name__
            scratch.mkdir()
            rows += part(scratch)
            shutil.rmtree(scratch)
        return rows + store_reads.rows(folder, scaled(ROWS))


def payload(_: Path) -> Iterator[Row]:
    """Bytes of a layout of 12 positions, and CPU time of reading and writing one."""
    rows, names = batch(0, scaled(ENCODED), scaled(ENCODED)), book()
    each = [_cpu(lambda: encode(rows, names)) for _ in range(ROUNDS)]
    values, held = encode(rows, names).to_pylist(), names.names()
    size = max(map(len, values))
    yield Row("bytes of a layout of 12", 1, "bytes", size, MOST_BYTES, BAR, MOST_BYTES / size)
    few = values[:DECODED]
    spent = (
        min(_cpu(lambda: deque((decode(value, held) for value in few), 0)) for _ in range(ROUNDS))
        / len(few)
        * 1e6
    )
    yield Row("decode", len(few), "µs CPU", spent, MOST_DECODE, BAR, MOST_DECODE / spent)
    rate = len(rows) / median(each)
    yield Row("encode from Arrow", len(rows), "layouts/s CPU", rate, LEAST_ENCODE, BAR, rate / LEAST_ENCODE)


def to_redis(folder: Path) -> Iterator[Row]:
    """All keys new, to one server; then a night with a share of them changed."""
    count = scaled(KEYS)
    server = Server(folder, free_ports(1)[0]).wait()
    client = server.client()
    url = f"redis://{HOST}:{server.port}/0"
    try:
        ours, theirs, cpu = [], [], []
        with Peak() as peak:
            for number in range(ROUNDS):
                client.flushall()
                seconds, spent, _ = _exported(url, folder / f"{number}", count)
                ours.append((count + 65) / seconds)
                cpu.append(spent / count * 1e6)
                equal = client.dbsize() == count + 66
                client.flushall()
                theirs.append(_benchmarked(server.port, count))
                equal = equal and client.dbsize() > 0.99 * count
        pace, peer = median(ours), median(theirs)
        name = "redis-benchmark"
        yield Row("export to Redis, all new", count, "keys/s", pace, peer, name, pace / peer, equal, peak.mib)
        yield Row("export to Redis, our CPU", count, "µs/key", median(cpu))
        client.flushall()
        work = folder / "nights"
        whole = _exported(url, work, count)[2]
        part = _exported(url, work, count, changed=CHANGED, generation=2)[2]
        yield Row("bytes to Redis, 5 % changed", count, "bytes", part, whole, "all new", whole / part)
    finally:
        server.stop()


def to_cluster(folder: Path) -> Iterator[Row]:
    """All keys new, to a cluster of three."""
    count = scaled(KEYS) // 2
    cluster = Cluster(folder / "nodes")
    clients = [server.client() for server in cluster.servers]
    try:
        ours, theirs = [], []
        for number in range(3):
            _emptied(clients)
            ours.append((count + 65) / _exported(cluster.url, folder / f"{number}", count)[0])
            equal = sum(client.dbsize() for client in clients) == count + 66
            _emptied(clients)
            theirs.append(_by_redis_py(cluster.servers[0].port, count // SHARE))
        pace, peer = median(ours), median(theirs)
        yield Row("export to 3 nodes, all new", count, "keys/s", pace, peer, "redis-py", pace / peer, equal)
    finally:
        cluster.stop()


def to_lmdb(folder: Path) -> Iterator[Row]:
    """A whole colour, beside a raw write of the same bytes."""
    count = scaled(ROWS)
    ours, theirs = [], []
    with Peak() as peak:
        for _ in range(3):
            path = folder / "raw"
            theirs.append(_written(path, count))
            size = path.stat().st_size
            path.unlink()
            building = LmdbBuilding(folder / "maize.lmdb")
            seconds = sum(_seconds(building.fill, block) for block in blocks(count))
            ours.append(seconds + _seconds(building.finish, heartbeat(count)))
            equal = sum(1 for _ in building.colour().pairs()) == count + 65
            stored = building.path.stat().st_size
            building.discard()
    own, raw = median(ours), median(theirs)
    yield Row("load into LMDB", count, "s", own, raw, "raw write, fsync", raw / own, equal, peak.mib)
    yield Row("bytes to LMDB, on any night", count, "bytes", stored, size, "keys and values", size / stored)


def differences(folder: Path) -> Iterator[Row]:
    """Two files of keys and digests, of which a share differ."""
    count = scaled(ROWS)
    before, after = folder / "before", folder / "after"
    write(before, chain.from_iterable(blocks(count)))
    write(after, chain.from_iterable(blocks(count, CHANGED)))
    spent = []
    with Peak() as peak:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            found = sum(int(step.is_other.sum()) for step in steps(read(before), read(after)))
            spent.append(time.perf_counter() - began)
    equal = abs(found - CHANGED * count) < 5 * (count * CHANGED) ** 0.5
    limit = count / 5e6
    seconds = median(spent)
    yield Row("diff of digests", count, "s", seconds, limit, "1 s for 5 M", limit / seconds, equal, peak.mib)


def _exported(
    url: str, folder: Path, count: int, changed: float = 0.0, generation: int = 1
) -> tuple[float, float, int]:
    """Bring a server's colour to what is wanted; return seconds, CPU seconds and bytes sent."""
    writer = RedisWriter(backend_of(url), Terms(folder, grace_seconds=0))
    with writer.alone():
        building: RedisBuilding = writer.build("maize")
        for block in blocks(count, changed):
            building.fill(block)
        spent, began = time.process_time(), time.perf_counter()
        building.finish(heartbeat(count, generation))
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
        Held(folder, "maize").forget()
        building.install()
        building.discard()
        return seconds, spent, building.sent_bytes


def _benchmarked(port: int, count: int) -> float:
    """Return the keys a second of redis-benchmark."""
    program = shutil.which("redis-benchmark")
    assert program, "The benchmark needs redis-benchmark: apt-get install redis-tools."
    key = f"vitrine:maize:layout:home:k1-{'0' * 20}__rand_int__"
    options = ["-h", HOST, "-p", str(port), "-P", "100", "-c", "8", "-n", str(count), "-r", str(MOST_RANDOM)]
    command = [program, *options, "-q", "SET", key, "x" * 172, "EX", "1814400"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"([\d.]+) requests per second", said)[-1])


def _by_redis_py(port: int, count: int) -> float:
    """Return the keys a second of redis-py's cluster client."""
    client = RedisCluster(HOST, port, protocol=2)
    pairs: list[Pair] = [pair for block in blocks(count) for pair in block]
    began = time.perf_counter()
    for start in range(0, len(pairs), TOGETHER):
        pipeline = client.pipeline()
        for key, value in pairs[start : start + TOGETHER]:
            pipeline.set(b"vitrine:maize:" + key, value, ex=1_814_400)
        pipeline.execute()
    return len(pairs) / (time.perf_counter() - began)


def _emptied(clients: list[redis.Redis]) -> None:
    for client in clients:
        client.flushall()


def _written(path: Path, count: int) -> float:
    """Return the seconds of a raw write of a colour's bytes."""
    seconds = 0.0
    with path.open("wb", buffering=0) as file:
        for block in blocks(count):
            seconds += _seconds(file.write, b"".join(chain.from_iterable(block)))
        seconds += _seconds(os.fsync, file.fileno())
    return seconds


def _seconds(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
