"""Compile what numba compiles, at set-up: the code is kept on disk, and tasks only load it.

Run as `python -m jobs.compiled`. Nothing depends on it but the time of the first jobs.
"""

from datetime import date

from jobs.sources import otlp, spans
from jobs.sources.files import LakeFile, Line
from jobs.sources.hits import Door, Gate
from ml import compiled


def compile_all() -> None:
    """Call every compiled function on little, of the types that the jobs have."""
    compiled.compile_all()
    line = b'{"resourceSpans":[{"scopeSpans":[{"spans":[]}]}]}'
    file = LakeFile("none.jsonl", "none", "otlp", date.min)
    spans.read(file, [Line(1, line, None)], Gate(Door(b"none", "none")))
    otlp.TIME.named(line)


if __name__ == "__main__":
    compile_all()
