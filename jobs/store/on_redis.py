"""A store on a server of the Redis protocol, a single one or a cluster: a colour is a prefix of keys.

| key | value |
|---|---|
| `PREFIX:COLOUR:KEY` | what keys.py lists, each with a time to live that exports renew |
| `{PREFIX}:live` | the pointer, as in LMDB's live.json |
| `{PREFIX}:lock` | the export that is at work; ends by itself |
| `{PREFIX}:grace` | there for as long as readers may still be on the colour that was left |

Addresses are redis://HOST:PORT/DB, rediss:// (TLS), redis+cluster://HOST:PORT,HOST:PORT and rediss+cluster://,
with ?prefix=NAME (vitrine by default) and settings of redis-py (ssl_ca_certs). User and password come from
VITRINE_STORE_USER and VITRINE_STORE_PASSWORD, and are never shown.

A reader asks for the pointer once in a while (polled.py).
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import FullJitterBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from jobs.store import keys
from jobs.store.codec import Names, decode_names
from jobs.store.errors import Busy, NotThere, StoreError, StoreGone
from jobs.store.heartbeat import read_heartbeat
from jobs.store.on_lmdb import LmdbBuilding
from jobs.store.pointer import Pointer, encode_pointer
from jobs.store.polled import Polled
from jobs.store.walks import Pair

SCANNED = 2_000
SLOTS = 16_384
# What makes a request worth another attempt: nobody is there, or a cluster is choosing another master.
PASSING = (OSError, redis.ConnectionError, redis.TimeoutError, RedisClusterException)

OURS = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end "
KEEP = f"{OURS} return redis.call('pexpire', KEYS[1], ARGV[2])"
DROP = f"{OURS} return redis.call('del', KEYS[1])"
FLIP = """
if redis.call('get', KEYS[2]) ~= ARGV[1] then return 'its lock was lost' end
if (redis.call('get', KEYS[1]) or '') ~= ARGV[2] then return 'another generation went live meanwhile' end
redis.call('set', KEYS[1], ARGV[3])
if tonumber(ARGV[4]) > 0 then redis.call('set', KEYS[3], '1', 'px', ARGV[4]) end
return ''
"""


class Patience(NamedTuple):
    """How long to wait for an answer, in seconds, and how often to ask again, after pauses with jitter."""

    timeout: float
    retries: int


READING = Patience(1.0, 2)
# A cluster needs seconds to put a replica in a lost master's place.
WRITING = Patience(15.0, 9)


class RedisColour:
    """A colour opened for reading."""

    def __init__(self, backend: "RedisBackend", name: str) -> None:
        self.name = name
        self.where = f"{name} at {backend.where}"
        self.prefix = backend.data_prefix(name)
        self._backend = backend
        found = self.get(keys.GENERATION)
        if found is None:
            raise NotThere(f"{self.where}, which holds no finished generation.")
        self.heartbeat = read_heartbeat(found, self.where)
        self.names: Names = decode_names(self.get(keys.NAMES) or b"")

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value."""
        with self._backend.reached() as client:
            found: bytes | None = client.get(self.prefix + key)
            return found

    def get_all(self, wanted: Iterable[bytes]) -> list[bytes | None]:
        """Return the values of several keys."""
        return self._backend.get_all([self.prefix + key for key in wanted])

    def pairs(self) -> Iterator[Pair]:
        """Walk over all keys and values in order, but for the heartbeat."""
        return self._backend.pairs_of(self.name)

    def stored_bytes(self) -> int:
        """Return 0: a server does not tell what a part of its keys takes."""
        return 0


class RedisBackend(Polled):
    """A server, or a cluster."""

    def __init__(self, url: str, patience: Patience = READING) -> None:
        parts = urlsplit(url)
        settings = dict(parse_qsl(parts.query))
        self.url = url
        self.prefix = settings.pop("prefix", "vitrine")
        scheme, _, kind = parts.scheme.partition("+")
        self.is_cluster = kind == "cluster"
        self.where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        first, *others = parts.netloc.split(",")
        self._address = urlunsplit(parts._replace(scheme=scheme, netloc=first, query=urlencode(settings)))
        self._others = [one.partition(":") for one in others]
        self._patience = patience
        self._client: Any = None
        super().__init__()

    @property
    def client(self) -> Any:
        """The client, connected when it is first asked for."""
        if self._client is None:
            login: dict[str, Any] = {
                name: os.environ[variable]
                for name, variable in (
                    ("username", "VITRINE_STORE_USER"),
                    ("password", "VITRINE_STORE_PASSWORD"),
                )
                if os.environ.get(variable)
            }
            kind: Any = redis.Redis
            if self.is_cluster:
                kind = RedisCluster
                cluster_node: Any = ClusterNode
                nodes = [cluster_node(host, int(port or 6379)) for host, _, port in self._others]
                login["startup_nodes"] = nodes
            self._client = kind.from_url(
                self._address,
                protocol=2,
                socket_timeout=self._patience.timeout,
                socket_connect_timeout=self._patience.timeout,
                retry=Retry(FullJitterBackoff(cap=4, base=0.05), self._patience.retries),
                **login,
            )
        return self._client

    @contextmanager
    def reached(self) -> Iterator[Any]:
        """Give the client; what goes wrong becomes a StoreError, StoreGone where nobody answers."""
        try:
            yield self.client
        except redis.AuthenticationError as error:
            raise StoreError(
                f"The store at {self.where} takes no such user or password ({error}):"
                " set VITRINE_STORE_USER and VITRINE_STORE_PASSWORD."
            ) from None
        except PASSING as error:
            raise StoreGone(f"The store at {self.where} does not answer: {_said(error)}.") from None
        except RedisError as error:
            raise StoreError(f"The store at {self.where} refused: {_said(error)}.") from None

    @property
    def pointer_name(self) -> str:
        """How errors call the pointer."""
        return f"{self.key('live')} at {self.where}"

    def live(self) -> bytes | None:
        """Ask for the pointer's bytes; None where there are none."""
        with self.reached() as client:
            found: bytes | None = client.get(self.key("live"))
        return found

    def colour(self, name: str) -> RedisColour:
        """Open a finished colour."""
        return RedisColour(self, name)

    def key(self, name: str) -> str:
        """Return a key of the store's own; all of them are in one slot of a cluster."""
        return f"{{{self.prefix}}}:{name}"

    def data_prefix(self, colour: str) -> bytes:
        """Return what a colour's keys begin with."""
        return f"{self.prefix}:{colour}:".encode()

    def get_all(self, wanted: list[bytes]) -> list[bytes | None]:
        """Return the values of several keys, as they are stored."""
        if not wanted:
            return []
        with self.reached() as client:
            found: list[bytes | None] = (client.mget_nonatomic if self.is_cluster else client.mget)(wanted)
            return found

    def pairs_of(self, colour: str) -> Iterator[Pair]:
        """Walk over a colour's keys and values in order, finished or not, but for the heartbeat.

        They are spooled to a file: a server has no order, and memory must not grow with them.
        """
        prefix = self.data_prefix(colour)
        with tempfile.TemporaryDirectory() as folder:
            spool = LmdbBuilding(Path(folder) / "spool.lmdb")
            with self.reached() as client:
                scanned = client.scan_iter(match=_escaped(prefix) + b"*", count=SCANNED)
                while found := list(islice(scanned, SCANNED)):
                    values = zip(found, self.get_all(found), strict=True)
                    spool.put((key[len(prefix) :], value) for key, value in values if value is not None)
            yield from spool.pairs()
            spool.discard()

    def writing(self) -> "RedisBackend":
        """Return the same store with a writer's patience."""
        return RedisBackend(self.url, WRITING)

    def lock(self, token: str, milliseconds: int) -> None:
        """Keep other exports out for so long."""
        with self.reached() as client:
            if not client.set(self.key("lock"), token, nx=True, px=milliseconds):
                raise Busy(
                    f"Another export is writing to {self.where}: wait until it is done; if it was killed, its"
                    f" lock ends within {milliseconds / 1000:g} s."
                )

    def keep_lock(self, token: str, milliseconds: int) -> bool:
        """Keep them out for longer; False where the lock was lost."""
        with self.reached() as client:
            return bool(client.eval(KEEP, 1, self.key("lock"), token, milliseconds))

    def unlock(self, token: str) -> None:
        """Let others in."""
        with self.reached() as client:
            client.eval(DROP, 1, self.key("lock"), token)

    def grace_left(self) -> float:
        """Return for how many seconds readers may still be on the dormant colour."""
        with self.reached() as client:
            return max(0, client.pttl(self.key("grace"))) / 1000

    def flip(self, token: str, before: bytes, after: Pointer, grace_milliseconds: int) -> None:
        """Move readers to a generation, if the pointer is still the one before and the lock is held."""
        own = [self.key(name) for name in ("live", "lock", "grace")]
        with self.reached() as client:
            problem = client.eval(FLIP, 3, *own, token, before, encode_pointer(after), grace_milliseconds)
        if problem:
            raise StoreError(f"The pointer at {self.where} was not moved: {problem.decode()}.")

    def raw_pointer(self) -> bytes:
        """Return the pointer as it is stored, empty where there is none."""
        with self.reached() as client:
            return client.get(self.key("live")) or b""

    def owners(self) -> list[str]:
        """Return which node has each slot, by name; a single server has them all."""
        if not self.is_cluster:
            return [""] * SLOTS
        with self.reached() as client:
            client.nodes_manager.initialize()
            return [client.nodes_manager.get_node_from_slot(slot).name for slot in range(SLOTS)]

    def connect(self, slot: int) -> Any:
        """Return a connection of its own to the node that has a slot now."""
        if not self.is_cluster:
            return self.client.connection_pool.get_connection()
        self.client.nodes_manager.initialize()
        node = self.client.nodes_manager.get_node_from_slot(slot)
        return self.client.get_redis_connection(node).connection_pool.get_connection()


def _said(error: Exception) -> str:
    return str(error).rstrip(".")


def _escaped(text: bytes) -> bytes:
    """Return a pattern that matches just this text."""
    return re.sub(rb"([*?\[\]^\\])", rb"\\\1", text)
