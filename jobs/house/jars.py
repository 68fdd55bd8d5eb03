"""Delta's jars: fetched once from Maven Central, known by their hashes, read from {home}/jars ever after.

They are fetched by Maven where there is one, else by the Ivy that comes with Spark: both ask the
repositories that the machine is set up for.
"""

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from jobs.config import ROOT
from jobs.house import HouseError, java

PINS = ROOT / "conf" / "pins" / "jars.yaml"
TRUSTED = Path("/etc/ssl/certs/java/cacerts")


@dataclass(frozen=True)
class Jar:
    """A pinned artifact: `group:name:version`, the file it comes as, and that file's hash."""

    artifact: str
    file: str
    sha256: str


def pinned() -> list[Jar]:
    """Return the jars that Spark needs, in the order of conf/pins/jars.yaml."""
    return [Jar(**entry) for entry in yaml.safe_load(PINS.read_text())]


def jar_paths(home: Path) -> list[Path]:
    """Return the fetched jars' paths; a missing one is a HouseError."""
    paths = [home / "jars" / jar.file for jar in pinned()]
    for path in paths:
        if not path.exists():
            raise HouseError(f"{path} is missing: run make setup.")
    return paths


def fetch_jars(home: Path) -> None:
    """Fetch what is missing, and check every jar against its pinned hash."""
    folder = home / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    for jar in pinned():
        path = folder / jar.file
        if path.exists() and file_sha256(path) == jar.sha256:
            continue
        print(f"Fetching {jar.artifact} into {folder}.")
        arrival = folder / "arrival"
        shutil.rmtree(arrival, ignore_errors=True)
        arrival.mkdir()
        _fetch(jar, arrival, home)
        found = file_sha256(arrival / jar.file)
        if found != jar.sha256:
            raise HouseError(
                f"{jar.artifact} came with sha256 {found}, not {jar.sha256} of {PINS}: it was not taken."
            )
        (arrival / jar.file).replace(path)
        shutil.rmtree(arrival)


def file_sha256(path: Path) -> str:
    """Return a file's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(jar: Jar, arrival: Path, home: Path) -> None:
    if shutil.which("mvn"):
        command = [
            "mvn",
            "--quiet",
            "--batch-mode",
            f"-Dmaven.repo.local={home / 'maven'}",
            "dependency:copy",
        ]
        command += [f"-Dartifact={jar.artifact}", f"-DoutputDirectory={arrival}"]
    else:
        command = _ivy(jar, arrival, home)
    environment = java.environment(home)
    if TRUSTED.exists():
        # The Java from PyPI does not know the machine's own certificate authorities.
        trust = f"-Djavax.net.ssl.trustStore={TRUSTED}"
        environment["JAVA_TOOL_OPTIONS"] = f"{environment.get('JAVA_TOOL_OPTIONS', '')} {trust}".strip()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode or not (arrival / jar.file).exists():
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise HouseError(f"{said}\n{jar.artifact} could not be fetched by {command[0]}: see its words above.")


def _ivy(jar: Jar, arrival: Path, home: Path) -> list[str]:
    import pyspark

    ivy = next((Path(pyspark.__path__[0]) / "jars").glob("ivy-*.jar"))
    group, name, version = jar.artifact.split(":")
    command = [
        str(java.home_of(home) / "bin" / "java"),
        "-jar",
        str(ivy),
        "-cache",
        str(home / "maven" / "ivy"),
    ]
    command += ["-dependency", group, name, version, "-confs", "default", "-notransitive"]
    return [*command, "-retrieve", f"{arrival}/[artifact]-[revision].[ext]"]
