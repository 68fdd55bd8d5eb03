"""Spans of well-formed lines, many at once, as Arrow's hits: nothing of the text becomes Python's.

Grain: one span. A line in which anything is unusual is left to `jobs.sources.otlp`, which reads span by span
and tells what is wrong; what both read they read alike.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.sources import hits, span_scan
from jobs.sources.changes import tails
from jobs.sources.files import LakeFile, Line
from jobs.sources.hits import Gate
from jobs.sources.json_tape import NONE, Bytes, Ints
from jobs.sources.span_scan import DOUBLES, FIRST_PLACE, INTEGER, POSITION, TEXT, TEXTS, Found, Words

EVENT_NAMES = {
    "page.view": "page_view",
    "layout.served": "layout_served",
    "widget.seen": "widget_seen",
    "widget.click": "widget_click",
    "product.view": "product_view",
    "basket.add": "basket_add",
    "order.placed": "order_placed",
}
KINDS = {
    "device.id": TEXT,
    "user.id": TEXT,
    "user_agent.original": TEXT,
    "session.id": TEXT,
    "vitrine.page": TEXT,
    "vitrine.decision_id": TEXT,
    "vitrine.draw_id": TEXT,
    "vitrine.position": POSITION,
    "vitrine.widget": TEXT,
    "vitrine.product_id": TEXT,
    "vitrine.order_id": TEXT,
    "vitrine.value_cents": INTEGER,
    "vitrine.widgets": TEXTS,
    "vitrine.candidates": TEXTS,
    "vitrine.propensities": DOUBLES,
    "vitrine.policy_version": TEXT,
    "vitrine.versions": TEXTS,
    "vitrine.variant": TEXT,
    "vitrine.freshness": TEXT,
    "vitrine.rules": TEXT,
}
"""What an attribute holds; but for the first three, in the order of hits."""
WORDS = Words(KINDS, [*EVENT_NAMES])
SAID = hits.FIELDS[hits.FIELDS.index("visit") :]
PLACES = {
    name: (FIRST_PLACE + 2 * slot, kind)
    for slot, (name, kind) in enumerate(zip(["device", "user", "agent", *SAID], KINDS.values(), strict=False))
}
OF_TEXTS = {name: place for name, (place, kind) in PLACES.items() if kind == TEXT}
OF_LISTS = {name: (place, kind) for name, (place, kind) in PLACES.items() if kind in (TEXTS, DOUBLES)}
OF_NUMBERS = {name: place for name, (place, kind) in PLACES.items() if kind in (POSITION, INTEGER)}


def read(file: LakeFile, lines: Sequence[Line], gate: Gate) -> tuple[pa.RecordBatch, list[Line]]:
    """Read the hits of some lines; return the lines, too, in which something is unusual."""
    text = b"\n".join([line.content for line in lines] + [b""])
    ends = np.cumsum([len(line.content) + 1 for line in lines]) - 1
    begins = ends - [len(line.content) for line in lines]
    usual = np.array([line.damage is None for line in lines])
    if not text.isascii():
        usual &= [_is_utf8(line.content) for line in lines]
    found = span_scan.scan(text, begins, ends, usual, WORDS)
    rows, services = _hits(file, np.frombuffer(text, np.uint8), found, lines, gate)
    strange = found.line[np.asarray(rows["subject"].is_null())]
    if file.services:
        foreign = ~np.asarray(pc.is_in(services, pa.array(file.services, pa.string())))
        strange = np.append(strange, found.line[foreign[found.part]])
    if len(strange):
        usual[strange] = False
        rows = rows.filter(pa.array(usual[found.line]))
    skipped = found.parts[:, span_scan.SKIPPED]
    for number in np.flatnonzero((skipped > 0) & usual[found.parts[:, span_scan.LINE_OF]]).tolist():
        gate.skip(services[number].as_py(), int(skipped[number]))
    return rows, [lines[number] for number in np.flatnonzero(~usual).tolist()]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _hits(
    file: LakeFile, text: Bytes, found: Found, lines: Sequence[Line], gate: Gate
) -> tuple[pa.RecordBatch, pa.Array]:
    """Make the hits of what was found, and the service of each part."""
    rows, count = found.rows, len(found.rows)
    trace_id, ids, device, user, agent, *said = _texts(
        text, rows, [span_scan.TRACE_PLACE, span_scan.SPAN_PLACE, *OF_TEXTS.values()]
    )
    device, user = _each(device, gate.device, pa.string()), _each(user, gate.user, pa.string())
    subject = pc.coalesce(user, device)
    (services,) = _texts(text, found.parts, [span_scan.SERVICE_PLACE])
    (items,) = _texts(text, found.items, [0])
    offsets = np.array([line.number for line in lines], np.int64)
    columns = {
        "event_id": pc.binary_join_element_wise(
            pc.ascii_lower(ids), tails(pc.coalesce(device, subject)), "-"
        ),
        "event_name": pa.array([*EVENT_NAMES.values()]).take(pa.array(found.name)),
        "event_at": pa.array(found.at).cast(hits.ARROW.field("event_at").type),
        "arrival_date": pa.repeat(pa.scalar(file.arrival_date, pa.date32()), count),
        "subject": subject,
        "device": device,
        "user": user,
        "source": pa.repeat(file.source, count),
        "service": services.take(pa.array(found.part)),
        "trace_id": trace_id,
        **dict(zip([*OF_TEXTS][3:], said, strict=True)),
        **{name: _lists(rows, place, items, kind) for name, (place, kind) in OF_LISTS.items()},
        **{name: pa.array(rows[:, at + 1], mask=rows[:, at] == NONE) for name, at in OF_NUMBERS.items()},
        "is_bot": pc.fill_null(_each(agent, lambda one: bool(one) and gate.bots[one], pa.bool_()), False),
        "_file": pa.repeat(file.path, count),
        "_offset": pa.array(offsets[found.line]),
    }
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in hits.ARROW
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=hits.ARROW), services


def _each(values: pa.Array, function: Callable[[str], object], kind: pa.DataType) -> pa.Array:
    """Apply a function to each of few distinct texts; of none comes none."""
    words = values.dictionary_encode()
    return pa.array(map(function, words.dictionary.to_pylist()), kind).take(words.indices)


def _texts(text: Bytes, rows: Ints, columns: Sequence[int]) -> list[pa.StringArray]:
    offsets, firsts, data = span_scan.texts(text, rows, np.array(columns))
    made, whole = [], pa.py_buffer(data)
    for at, own, first, after in zip(columns, offsets, firsts[:-1], firsts[1:], strict=True):
        held, missing = _held(rows[:, at])
        content = whole.slice(first, after - first)
        made.append(pa.StringArray.from_buffers(len(rows), pa.py_buffer(own), content, held, missing))
    return made


def _lists(rows: Ints, column: int, items: pa.StringArray, kind: int) -> pa.ListArray:
    offsets, which = span_scan.members(rows, column)
    values = items.take(pa.array(which))
    values = values.cast(pa.float64()) if kind == DOUBLES else values
    held, missing = _held(rows[:, column])
    buffers = [held, pa.py_buffer(offsets)]
    return pa.ListArray.from_buffers(pa.list_(values.type), len(rows), buffers, missing, children=[values])


def _held(begins: Ints) -> tuple[pa.Buffer | None, int]:
    """Arrow's bits of what is there, where something is not; and how many are not."""
    there = begins != NONE
    missing = len(there) - int(np.count_nonzero(there))
    return (pa.py_buffer(np.packbits(there, bitorder="little")) if missing else None), missing
