"""Redis servers of the tests' own: Debian's redis-server, on free ports of this machine."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import redis

from jobs.store import StoreError

HOST = "127.0.0.1"


class Server:
    """One server; it keeps nothing on disk."""

    def __init__(self, folder: Path, port: int, options: Sequence[str] = ()) -> None:
        program = shutil.which("redis-server")
        assert program, "The tests need redis-server: apt-get install redis-server."
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        command = [program, "--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""]
        # A test machine may be too slow for a server's own patience.
        self.process = subprocess.Popen(
            [*command, "--appendonly", "no", "--daemonize", "no", *options],
            stdout=(folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )

    def client(self) -> redis.Redis:
        """Return a client of this server alone."""
        return redis.Redis(HOST, self.port, protocol=2)

    def wait(self) -> "Server":
        """Wait until it answers."""
        client = self.client()
        until(lambda: client.ping())
        return self

    def stop(self) -> None:
        """End it, without a farewell."""
        self.process.kill()
        self.process.wait()


class Cluster:
    """Masters, each with as many replicas."""

    def __init__(self, folder: Path, masters: int = 3, replicas: int = 0) -> None:
        self.servers = []
        for number, port in enumerate(free_ports(masters * (1 + replicas))):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
            options += ["--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0"]
            options += ["--cluster-port"]
            self.servers.append(Server(folder / str(number), port, [*options, str(free_ports(1)[0])]))
        clients = [server.wait().client() for server in self.servers]
        ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        for server, client in zip(self.servers[1:], clients[1:], strict=True):
            first = self.servers[0]
            bus = clients[0].config_get("cluster-port")["cluster-port"]
            client.execute_command("CLUSTER", "MEET", HOST, first.port, bus)
            assert server.port != first.port
        for number, client in enumerate(clients[:masters]):
            first, last = number * 16384 // masters, (number + 1) * 16384 // masters - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, client in enumerate(clients[masters:]):
            of = ids[number % masters]
            until(lambda client=client, of=of: client.execute_command("CLUSTER", "REPLICATE", of))
        for client in clients[masters:]:
            until(lambda client=client: client.info("replication")["master_link_status"] == "up")
        for client in clients:
            until(lambda client=client: _is_ok(client, len(clients)))

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in self.servers)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def _is_ok(client: redis.Redis, nodes: int) -> bool:
    told = client.execute_command("CLUSTER", "INFO")
    told = told if isinstance(told, dict) else dict(line.split(":") for line in told.decode().split())
    return told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == nodes


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something holds, and no server refuses to say."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (redis.RedisError, StoreError):
            pass
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)


def certified(folder: Path) -> tuple[Path, Path]:
    """Make a key and a certificate of this machine that it signed itself."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, certificate
