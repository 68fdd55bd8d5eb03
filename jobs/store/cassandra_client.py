"""A session with a Cassandra cluster, one of a process: requests with patience, and errors in sentences."""

import os
import random
import re
import ssl
import time
from collections.abc import Hashable
from threading import Lock
from typing import Any

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    ReadTimeout,
    Unavailable,
    WriteTimeout,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.connection import ConnectionException
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.protocol import ErrorMessage, OverloadedErrorMessage
from cassandra.query import SimpleStatement

from jobs.store.errors import StoreError, StoreGone

Nodes = tuple[tuple[str, int], ...]

TOGETHER = 64
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
PROTOCOL = 4  # the newest that every Cassandra since 2.2 knows
LONGEST_PAUSE = 4.0
# What makes a request worth another attempt: nobody is there, or too few copies are just now.
PASSING = (
    OSError, NoHostAvailable, OperationTimedOut, ReadTimeout, WriteTimeout, Unavailable, ConnectionException,
    OverloadedErrorMessage,
)  # fmt: skip
FAILURES = (*PASSING, DriverException, ErrorMessage)

_sessions: dict[Hashable, Any] = {}
_connecting = Lock()


class Absent(StoreError):
    """The keyspace or a table is not there."""


class Client:
    """A keyspace of a cluster. `timeout` is in seconds, for one attempt; `retries` are further ones."""

    def __init__(
        self, nodes: Nodes, keyspace: str, certificates: str, where: str, timeout: float, retries: int
    ) -> None:
        self.where = where
        self._nodes, self._keyspace, self._certificates = nodes, keyspace, certificates
        self.timeout, self._retries = timeout, retries

    @property
    def session(self) -> Any:
        """The session: one of a process and address, made when it is first asked for."""
        login = tuple(os.environ.get(f"VITRINE_STORE_{name}", "") for name in ("USER", "PASSWORD"))
        about = (os.getpid(), self._nodes, self._certificates, login)
        with _connecting:
            if about not in _sessions:
                _sessions[about] = _connected(self._nodes, self._certificates, login)
            return _sessions[about]

    def ask(self, query: Any, values: Any = None) -> list[Any]:
        """Return the rows of an answer; a query as text is prepared once.

        Raises
        ------
        StoreGone, Absent, StoreError
            When nobody answers, the tables are not there, or the request is refused.

        """
        for attempt in range(self._retries + 1):
            try:
                wanted = self.prepared(query) if isinstance(query, str) else query
                rows: list[Any] = self.session.execute(wanted, values, timeout=self.timeout).all()
                return rows
            except FAILURES as error:
                self.fail(error, attempt)
        raise AssertionError("the last attempt raises")

    def ask_all(self, query: str, each: list[tuple[Any, ...]]) -> list[list[Any]]:
        """Return the rows of an answer for each of these values, asked for together."""
        for attempt in range(self._retries + 1):
            try:
                session, wanted = self.session, self.prepared(query)
                patient = session.execution_profile_clone_update(
                    EXEC_PROFILE_DEFAULT, request_timeout=self.timeout
                )
                found = execute_concurrent_with_args(
                    session, wanted, each, concurrency=TOGETHER, execution_profile=patient
                )
                return [one.result_or_exc.all() for one in found]
            except FAILURES as error:
                self.fail(error, attempt)
        raise AssertionError("the last attempt raises")

    def prepared(self, query: str) -> Any:
        """Return a prepared query, the same one each time; `{keyspace}` stands for the keyspace in it."""
        session, text = self.session, query.format(keyspace=self._keyspace)
        known = session.__dict__.setdefault("vitrine_prepared", {})
        if text not in known:
            known[text] = session.prepare(text)
            known[text].is_idempotent = " IF " not in text
        return known[text]

    def plain(self, query: str, page_rows: int = 0) -> SimpleStatement:
        """Return a query that is asked once."""
        return SimpleStatement(query.format(keyspace=self._keyspace), fetch_size=page_rows or None)

    def fail(self, error: Exception, attempt: int) -> None:
        """Pause where another attempt is worth it, else say what is wrong."""
        if not isinstance(error, PASSING) or _wrong_login(error) or attempt >= self._retries:
            raise self.told(error) from None
        # Who was taken for dead is called again after RECONNECT_SECONDS: to ask sooner is no use.
        least = RECONNECT_SECONDS if isinstance(error, NoHostAvailable) else 0.0
        time.sleep(least + random.uniform(0, min(LONGEST_PAUSE, 0.05 * 2**attempt)))  # noqa: S311

    def told(self, error: Exception) -> StoreError:
        """Return an error as a sentence for the operator."""
        said = str(error).rstrip(".")
        if _wrong_login(error):
            return StoreError(
                f"The store at {self.where} takes no such user or password:"
                " set VITRINE_STORE_USER and VITRINE_STORE_PASSWORD."
            )
        if isinstance(error, InvalidRequest) and re.search("does(n't| not) exist|unconfigured table", said):
            return Absent(f"The store at {self.where} is not there: {said}.")
        if isinstance(error, PASSING):
            return StoreGone(f"The store at {self.where} does not answer: {said}.")
        return StoreError(f"The store at {self.where} refused: {said}.")


def _connected(nodes: Nodes, certificates: str, login: tuple[str, ...]) -> Any:
    profile = ExecutionProfile(
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
    )
    cluster = Cluster(
        nodes,
        auth_provider=PlainTextAuthProvider(*login) if login[0] else None,
        ssl_context=ssl.create_default_context(cafile=certificates) if certificates else None,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=PROTOCOL,
        # A node that was thought gone is asked again soon: readers wait for little longer than that.
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_SECONDS, None),
        connect_timeout=CONNECT_SECONDS,
        control_connection_timeout=CONNECT_SECONDS,
    )
    try:
        return cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise


def _wrong_login(error: Exception) -> bool:
    causes = error.errors.values() if isinstance(error, NoHostAvailable) else (error,)
    return any(isinstance(cause, AuthenticationFailed) for cause in causes)
