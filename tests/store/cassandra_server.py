"""A Cassandra server of the tests' own, from jars of conf/pins/cassandra.yaml, fetched once into {home}."""

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import yaml

from jobs.config import ROOT
from jobs.house import jars, java
from jobs.store.cassandra_client import Client
from tests.store.servers import HOST, free_ports, until

PINS = ROOT / "conf" / "pins" / "cassandra.yaml"
HEAP = "512M"
KEYSPACE = "vitrine"
EXPORTS = """java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch
java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.registry java.rmi/sun.rmi.server
java.rmi/sun.rmi.transport java.rmi/sun.rmi.transport.tcp java.sql/java.sql jdk.attach/sun.tools.attach
jdk.unsupported/sun.misc"""
OPENS = """java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect java.base/java.io
java.base/java.math java.base/java.net java.base/java.nio java.base/java.util java.base/java.util.concurrent
java.base/java.util.concurrent.atomic java.base/jdk.internal.loader java.base/jdk.internal.math
java.base/jdk.internal.module java.base/jdk.internal.ref java.base/jdk.internal.reflect
java.base/jdk.internal.util java.base/jdk.internal.util.jar java.base/sun.nio.ch
java.management/com.sun.jmx.mbeanserver jdk.management.jfr/jdk.management.jfr
jdk.management/com.sun.management.internal"""
LOGBACK = """<configuration>
<appender name="file" class="ch.qos.logback.core.FileAppender"><file>{}</file>
<encoder><pattern>%date %level %logger{{20}} %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="file"/></root>
</configuration>"""
MODULE = '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">{}</ivy-module>'


class Cassandra:
    """One node that listens on this machine alone; it keeps what it has in a folder.

    settings : of its cassandra.yaml, beside those that every test needs; None leaves one out.
    host, ports : its address, and where it answers clients, other nodes and its operator. Nodes of one
    cluster have the first two ports in common, and find each other at HOST.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        host: str = HOST,
        ports: Sequence[int] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, storage, management = ports or free_ports(3)
        self.log = folder / "system.log"
        own: dict[str, Any] = {
            "cluster_name": "vitrine tests",
            "num_tokens": 16,
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            "commitlog_sync": "periodic",
            "commitlog_sync_period": "10000ms",
            "data_file_directories": [str(folder / "data")],
            "endpoint_snitch": "SimpleSnitch",
            "seed_provider": [
                {
                    "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                    "parameters": [{"seeds": f"{HOST}:{storage}"}],
                }
            ],
            "listen_address": host,
            "rpc_address": host,
            "native_transport_port": self.port,
            "storage_port": storage,
            "auto_bootstrap": False,
            "auto_snapshot": False,
        }
        for name in ("commitlog", "saved_caches", "hints", "cdc_raw"):
            own[f"{name}_directory"] = str(folder / name)
        own = {name: value for name, value in {**own, **(settings or {})}.items() if value is not None}
        (folder / "cassandra.yaml").write_text(json.dumps(own))
        (folder / "logback.xml").write_text(LOGBACK.format(self.log))
        lib = fetched(home)
        agent = next(lib.glob("jamm-*.jar"))
        options = [f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseG1GC", f"-XX:MaxDirectMemorySize={HEAP}"]
        options += [
            "-Djava.security.manager=allow",
            "-Djdk.attach.allowAttachSelf=true",
            f"-javaagent:{agent}",
        ]
        options += ["-Djava.net.preferIPv4Stack=true", f"-Dcassandra.jmx.local.port={management}"]
        options += [f"-Dcassandra.config=file://{folder}/cassandra.yaml", f"-Dcassandra.storagedir={folder}"]
        options += [
            f"-Dcassandra.logdir={folder}",
            f"-Dlogback.configurationFile=file://{folder}/logback.xml",
        ]
        options += ["-Dcassandra.ring_delay_ms=2000", "-Dcassandra.skip_wait_for_gossip_to_settle=0"]
        options += ["-Dcassandra.superuser_setup_delay_ms=0"]
        options += [part for name in EXPORTS.split() for part in ("--add-exports", f"{name}=ALL-UNNAMED")]
        options += [part for name in OPENS.split() for part in ("--add-opens", f"{name}=ALL-UNNAMED")]
        self._session: Any = None
        program = str(java.home_of(home) / "bin" / "java")
        daemon = "org.apache.cassandra.service.CassandraDaemon"
        self._command = [program, *options, "-cp", f"{folder}:{lib}/*", daemon]
        self.start()

    def start(self) -> None:
        """Start it, or start it again with what it keeps."""
        self.log.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            self._command,
            stdout=self.log.with_name("out").open("wb"),
            stderr=subprocess.STDOUT,
            # Its collector is its own choice, not that of the tests' Spark.
            env={**os.environ, "JAVA_TOOL_OPTIONS": ""},
        )

    def wait(self) -> "Cassandra":
        """Wait until it listens to clients."""
        until(self._is_ready, seconds=120)
        return self

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"Cassandra ended: see {self.log}."
        return self.log.exists() and "Startup complete" in self.log.read_text()

    @property
    def url(self) -> str:
        return f"cassandra://{HOST}:{self.port}/{KEYSPACE}"

    def clear(self) -> None:
        """Empty the keyspace, and make it where it is not there yet."""
        if self._session is None:
            self._session = Client(((HOST, self.port),), KEYSPACE, "", "the tests", 30, 0).session
            copies = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
            self._session.execute(f"CREATE KEYSPACE {KEYSPACE} WITH replication = {copies}")
        listed = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        for row in self._session.execute(listed, (KEYSPACE,)):
            self._session.execute(f"TRUNCATE {KEYSPACE}.{row.table_name}", timeout=60)

    def stop(self) -> None:
        """End it, without a farewell."""
        self.process.kill()
        self.process.wait()


def fetched(home: Path) -> Path:
    """Return the folder of the jars, fetched where they are missing, each with the hash that is pinned."""
    folder = home / "cassandra"
    pins = [jars.Jar(**entry) for entry in yaml.safe_load(PINS.read_text())]
    if not all(_is_pinned(folder, jar) for jar in pins):
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(pins, folder, home)
    for jar in pins:
        assert _is_pinned(folder, jar), f"{jar.artifact} is not the one of {PINS}: it was not taken."
    return folder


def _is_pinned(folder: Path, jar: jars.Jar) -> bool:
    path = folder / jar.file
    return path.exists() and jars.file_sha256(path) == jar.sha256


def _fetch(pins: list[jars.Jar], folder: Path, home: Path) -> None:
    """Fetch them all by the Ivy that comes with Spark, just as they are named."""
    import pyspark

    modules = defaultdict(list)
    for jar in pins:
        group, name, version, *rest = jar.artifact.split(":")
        modules[group, name, version].append(rest[1] if rest else "")
    listed = "".join(_dependency(module, classifiers) for module, classifiers in modules.items())
    about = f'<info organisation="vitrine" module="cassandra"/><dependencies>{listed}</dependencies>'
    (folder / "ivy.xml").write_text(MODULE.format(about))
    environment = java.environment(home)
    if jars.TRUSTED.exists():
        environment["JAVA_TOOL_OPTIONS"] = f"-Djavax.net.ssl.trustStore={jars.TRUSTED}"
    ivy = next((Path(pyspark.__path__[0]) / "jars").glob("ivy-*.jar"))
    command = [java.home_of(home) / "bin" / "java", "-jar", ivy, "-cache", home / "maven" / "ivy"]
    command += [
        "-ivy",
        folder / "ivy.xml",
        "-retrieve",
        f"{folder}/[artifact]-[revision](-[classifier]).[ext]",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert not done.returncode, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _dependency(module: tuple[str, str, str], classifiers: list[str]) -> str:
    group, name, version = map(quoteattr, module)
    files = "".join(
        f'<artifact name={name} type="jar" ext="jar"{f" m:classifier={quoteattr(one)}" if one else ""}/>'
        for one in classifiers
    )
    return f'<dependency org={group} name={name} rev={version} transitive="false">{files}</dependency>'
