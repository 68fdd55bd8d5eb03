"""No job can read the truth: it lies outside the lake, and nothing but the command line knows the demo."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import config
from jobs.config import ROOT
from jobs.contracts import all_tables

OUTSIDE = sorted(
    path
    for folder in ("jobs", "ml", "dags")
    for path in (ROOT / folder).rglob("*.py")
    if "demo" not in path.relative_to(ROOT).parts
)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_are_jobs_to_look_at() -> None:
    names = {path.stem for path in OUTSIDE if path.parent.name == "jobs"}
    assert {"events", "feedback", "bandit_statistics", "policies", "layouts"} <= names & {*all_tables()}


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_neither_imports_the_demo_nor_spells_the_truth_s_folder(path: Path) -> None:
    of_the_demo = [name for name in imported(path) if name.startswith("jobs.demo")]
    if path != ROOT / "jobs/cli.py":
        assert of_the_demo == []
    texts = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [text for text in texts if text == "truth" or "truth/" in text]


def test_every_source_of_the_configuration_lies_in_the_lake(home: Path) -> None:
    loaded = config.load()
    lake = (home / "lake").resolve()
    for source in loaded.sources.values():
        assert (Path(loaded.lake) / source.path).resolve().is_relative_to(lake)
    truth = (home / "truth").resolve()
    for root in (loaded.lake, loaded.tables, loaded.store_url.partition(":")[2]):
        assert not truth.is_relative_to(Path(root).resolve())
        assert not Path(root).resolve().is_relative_to(truth)
