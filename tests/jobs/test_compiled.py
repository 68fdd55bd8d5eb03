"""What is compiled at set-up is what tasks call: lines as they come are read without compiling anything."""

from jobs import compiled
from jobs.sources import json_tape, otlp, span_scan, spans, times
from jobs.sources.files import Line
from jobs.sources.hits import Gate
from tests.jobs.sources.lake import DOOR
from tests.jobs.sources.test_spans import FILE, GOOD

COMPILED = (json_tape._record, span_scan._read, span_scan.texts, span_scan.members, times._named)


def test_lines_are_read_by_what_the_set_up_compiled() -> None:
    compiled.compile_all()
    before = [function.signatures for function in COMPILED]
    assert all(before)
    found, _ = spans.read(FILE, [Line(1, GOOD.encode(), None)], Gate(DOOR))
    assert len(found) == len(otlp.TIME.named(GOOD.encode())) - 1  # one is none of ours
    assert [function.signatures for function in COMPILED] == before
