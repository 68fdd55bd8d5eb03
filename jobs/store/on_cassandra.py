"""A store on Cassandra, for what outgrows memory: a colour is a table, a row a key.

| table | primary key | row |
|---|---|---|
| `maize`, `blue` | (bucket int), key blob | what keys.py lists, with a time to live that exports renew |
| `state` | (store text), id text | `live` the pointer, `lock` the export at work, `grace` readers may move |

bucket = CRC-32 of the key modulo BUCKETS: rows of a bucket are one partition, so that an export sends them in
unlogged batches that are one mutation each. The rows of `state` are one partition, too: pointer, lock and
grace change in one lightweight transaction.

Addresses are cassandra://HOST:PORT,HOST:PORT/KEYSPACE, with ?ssl_ca_certs=FILE for TLS. The keyspace is made
by hand, with the copies that are wanted; an export makes the tables. User and password come from
VITRINE_STORE_USER and VITRINE_STORE_PASSWORD, and are never shown. Everything is read and written at
LOCAL_QUORUM: so what was verified is what readers see.
"""

import math
import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from cassandra.query import BatchStatement, BatchType

from jobs.store import keys
from jobs.store.cassandra_client import FAILURES, Absent, Client
from jobs.store.codec import Names, decode_names
from jobs.store.errors import Busy, NotThere, StoreError
from jobs.store.heartbeat import read_heartbeat
from jobs.store.on_lmdb import LmdbBuilding
from jobs.store.pointer import COLOURS, Pointer, encode_pointer
from jobs.store.polled import Polled
from jobs.store.walks import Pair

BUCKETS = 1024
PORT = 9042
PAGE_ROWS = 2_000
SCAN_SECONDS = 30.0  # for a page of rows
KEYSPACE = re.compile(r"[a-z][a-z0-9_]{0,47}")
# (seconds for an answer, further attempts); a cluster needs seconds to see that a node is gone.
READING = (1.0, 5)
WRITING = (15.0, 9)

WHERE = "WHERE bucket = ? AND key = ?"
SELECT = {one: f"SELECT value FROM {{keyspace}}.{one} {WHERE}" for one in COLOURS}  # noqa: S608
SCAN = {one: f"SELECT key, value FROM {{keyspace}}.{one}" for one in COLOURS}  # noqa: S608
ROWS = "(bucket int, key blob, value blob, PRIMARY KEY (bucket, key))"
TABLES = (
    *(f"CREATE TABLE IF NOT EXISTS {{keyspace}}.{one} {ROWS}" for one in COLOURS),
    "CREATE TABLE IF NOT EXISTS {keyspace}.state (store text, id text, value blob, PRIMARY KEY (store, id))",
)
STATE = "SELECT value FROM {keyspace}.state WHERE store = 'vitrine' AND id = ?"
LOCK = (
    "INSERT INTO {keyspace}.state (store, id, value) VALUES ('vitrine', 'lock', ?) IF NOT EXISTS USING TTL ?"
)
KEEP = (
    "UPDATE {keyspace}.state USING TTL ? SET value = ? WHERE store = 'vitrine' AND id = 'lock' IF value = ?"
)
UNLOCK = "DELETE FROM {keyspace}.state WHERE store = 'vitrine' AND id = 'lock' IF value = ?"
MOVE = "UPDATE {keyspace}.state SET value = ? WHERE store = 'vitrine' AND id = 'live' IF value = ?"
WAIT = "INSERT INTO {keyspace}.state (store, id, value) VALUES ('vitrine', 'grace', ?) USING TTL ?"
LEFT = "SELECT ttl(value) AS seconds FROM {keyspace}.state WHERE store = 'vitrine' AND id = 'grace'"


class CassandraColour:
    """A colour opened for reading."""

    def __init__(self, backend: "CassandraBackend", name: str) -> None:
        self.name = name
        self.where = f"{name} at {backend.where}"
        self._backend = backend
        try:
            found = self.get(keys.GENERATION)
        except Absent:
            found = None
        if found is None:
            raise NotThere(f"{self.where}, which holds no finished generation.")
        self.heartbeat = read_heartbeat(found, self.where)
        self.names: Names = decode_names(self.get(keys.NAMES) or b"")

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value."""
        found = self._backend.client.ask(SELECT[self.name], (bucket(key), key))
        return bytes(found[0].value) if found else None

    def get_all(self, wanted: Iterable[bytes]) -> list[bytes | None]:
        """Return the values of several keys, asked for together."""
        each = [(bucket(key), key) for key in wanted]
        found = self._backend.client.ask_all(SELECT[self.name], each)
        return [bytes(rows[0].value) if rows else None for rows in found]

    def pairs(self) -> Iterator[Pair]:
        """Walk over all keys and values in order, but for the heartbeat."""
        return self._backend.pairs_of(self.name)

    def stored_bytes(self) -> int:
        """Return 0: what is on disk is the business of each node."""
        return 0


class CassandraBackend(Polled):
    """A keyspace of a cluster."""

    def __init__(self, url: str, patience: tuple[float, int] = READING) -> None:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
        keyspace = parts.path.strip("/")
        self.url = url
        self.where = f"cassandra://{hosts}/{keyspace}"
        if not hosts or not KEYSPACE.fullmatch(keyspace):
            raise StoreError(
                f"{self.where} names no keyspace: write cassandra://HOST:PORT/KEYSPACE, in lower case."
            )
        settings = dict(parse_qsl(parts.query))
        certificates = settings.pop("ssl_ca_certs", "")
        if settings:
            raise StoreError(f"{self.where} has no setting {min(settings)!r}: there is ssl_ca_certs alone.")
        nodes = [one.partition(":") for one in hosts.split(",")]
        if wrong := [port for _, _, port in nodes if port and not port.isdecimal()]:
            raise StoreError(f"{self.where} names the port {wrong[0]!r}, which is no number.")
        ports = tuple((host, int(port or PORT)) for host, _, port in nodes)
        self.client = Client(ports, keyspace, certificates, self.where, *patience)
        super().__init__()

    @property
    def pointer_name(self) -> str:
        """How errors call the pointer."""
        return f"The pointer at {self.where}"

    def live(self) -> bytes | None:
        """Ask for the pointer's bytes; None where there are none."""
        return self._state("live")

    def colour(self, name: str) -> CassandraColour:
        """Open a finished colour."""
        return CassandraColour(self, name)

    def pairs_of(self, colour: str) -> Iterator[Pair]:
        """Walk over a colour's keys and values in order, finished or not, but for the heartbeat.

        They are spooled to a file: partitions lie in no order, and memory must not grow with them.
        """
        query = self.client.plain(SCAN[colour], PAGE_ROWS)
        with tempfile.TemporaryDirectory() as folder:
            spool = LmdbBuilding(Path(folder) / "spool.lmdb")
            try:
                # Its own iterator begins a page anew whenever it is asked for one.
                rows = (row for row in self.client.session.execute(query, timeout=SCAN_SECONDS))
                while some := list(islice(rows, PAGE_ROWS)):
                    spool.put((bytes(row.key), bytes(row.value)) for row in some)
            except FAILURES as error:
                raise self.client.told(error) from None
            yield from spool.pairs()
            spool.discard()

    def writing(self) -> "CassandraBackend":
        """Return the same store with a writer's patience."""
        return CassandraBackend(self.url, WRITING)

    def lock(self, token: str, milliseconds: int) -> None:
        """Keep other exports out for so long; the tables are made if they are not there."""
        own, life = token.encode(), _seconds(milliseconds)
        try:
            for table in TABLES:
                self.client.ask(self.client.plain(table))
            # An attempt that timed out may have been heard.
            is_ours = self.client.ask(LOCK, (own, life))[0].applied or self._state("lock") == own
        except Absent:
            raise StoreError(
                f"There is no keyspace for {self.where}: make it, with the copies that you want"
                " (CREATE KEYSPACE … WITH replication = …)."
            ) from None
        if not is_ours:
            raise Busy(
                f"Another export is writing to {self.where}: wait until it is done; if it was killed, its"
                f" lock ends within {life} s."
            )

    def keep_lock(self, token: str, milliseconds: int) -> bool:
        """Keep them out for longer; False where the lock was lost."""
        own = token.encode()
        return bool(self.client.ask(KEEP, (_seconds(milliseconds), own, own))[0].applied)

    def unlock(self, token: str) -> None:
        """Let others in."""
        self.client.ask(UNLOCK, (token.encode(),))

    def grace_left(self) -> float:
        """Return for how many seconds readers may still be on the dormant colour."""
        found = self.client.ask(LEFT)
        return float(found[0].seconds or 0) if found else 0.0

    def flip(self, token: str, before: bytes, after: Pointer, grace_milliseconds: int) -> None:
        """Move readers to a generation, if the pointer is still the one before and the lock is held.

        The lock ends with it, in the same transaction.
        """
        client, wanted, own = self.client, encode_pointer(after), token.encode()
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.add(client.prepared(MOVE), (wanted, before or None))
        batch.add(client.prepared(UNLOCK), (own,))
        if grace_milliseconds > 0:
            batch.add(client.prepared(WAIT), (b"1", _seconds(grace_milliseconds)))
        # An attempt that timed out may have been heard.
        if client.ask(batch)[0].applied or self.raw_pointer() == wanted:
            return
        is_ours = self._state("lock") == own
        problem = "another generation went live meanwhile" if is_ours else "its lock was lost"
        raise StoreError(f"The pointer at {self.where} was not moved: {problem}.")

    def raw_pointer(self) -> bytes:
        """Return the pointer as it is stored, empty where there is none."""
        return self._state("live") or b""

    def _state(self, name: str) -> bytes | None:
        try:
            found = self.client.ask(STATE, (name,))
        except Absent:
            return None
        return bytes(found[0].value) if found else None


def bucket(key: bytes) -> int:
    """Return the partition of a key."""
    return crc32(key) % BUCKETS


def _seconds(milliseconds: int) -> int:
    return max(1, math.ceil(milliseconds / 1000))
