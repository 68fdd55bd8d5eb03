"""Tags: rows of GA4's BigQuery export, as JSON lines or Parquet with its nested columns, read into hits.

Only the events that telemetry knows too are taken; others are skipped and counted. The parameter `event_id`
is the id of the span that saw the same thing; a tag without it gets an id from its own content. 64-bit
integers may be numbers or strings. A hit without ids whose `privacy_info.analytics_storage` is No (consent
mode) is nobody's, and only counted: once, where it shares an event id or order with its span
(`jobs.without_ids`).

Fields: https://support.google.com/analytics/answer/7029846. Events and their parameters:
https://developers.google.com/analytics/devguides/collection/ga4/reference/events. Consent mode:
https://support.google.com/analytics/answer/9976101.
"""

import re
from collections.abc import Iterator
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.sources import files as lake
from jobs.sources import forms, hits
from jobs.sources.files import LakeFile
from jobs.sources.hits import Door, Gate, Partly, Wrong
from jobs.sources.times import Time

EVENT_NAMES = {
    "page_view": "page_view",
    "view_item": "product_view",
    "add_to_cart": "basket_add",
    "purchase": "order_placed",
}
COLUMNS = (
    "event_timestamp",
    "event_name",
    "event_params",
    "user_id",
    "user_pseudo_id",
    "items",
    "ecommerce",
    "privacy_info",
)
TIME = Time("event_timestamp", per_microsecond=1)
OPEN_KEYS = frozenset(
    {
        "event_date",
        "event_timestamp",
        "event_name",
        "event_params",
        "key",
        "value",
        "string_value",
        "int_value",
        "float_value",
        "double_value",
        "items",
        "item_id",
        "item_name",
        "item_category",
        "price",
        "quantity",
        "ecommerce",
        "transaction_id",
        "purchase_revenue",
        "privacy_info",
        "analytics_storage",
    }
)
OPEN_PARAMETERS = frozenset({"event_id", "page_location", "ga_session_id"})


def parse(files: DataFrame, door: Door, partly: Partly | None = None) -> DataFrame:
    """Read the tag hits of the files: grain one row of the export, broken ones with their reason."""
    return lake.read(files, partial(read, door=door, partly=partly), hits.COLUMNS)


def read(files: Iterator[LakeFile], door: Door, partly: Partly | None = None) -> Iterator[pa.RecordBatch]:
    """Read files one after another, inside a task."""
    gate = Gate(door)
    return lake.batched(_rows_of(files, gate, partly or {}), hits.ARROW)


def _rows_of(files: Iterator[LakeFile], gate: Gate, partly: Partly) -> Iterator[tuple[Any, ...]]:
    for file in files:
        if file.path.endswith(".parquet"):
            yield from _table(file, gate, partly.get(file.arrival_date))
        else:
            yield from hits.rows_of(file, hits.wanted(file, partly, TIME), partial(_line, gate=gate))
        yield from hits.left_out(file, gate)


def _table(file: LakeFile, gate: Gate, span: tuple[int, int] | None) -> Iterator[tuple[Any, ...]]:
    """Rows of a Parquet file as BigQuery exports it: nested columns, in blocks of bounded size."""
    for block in forms.blocks(file.path, COLUMNS):
        columns = {
            name: column.to_pylist() if isinstance(column, pa.Array) else column
            for name, column in block.columns.items()
        }
        for at, offset in enumerate(block.offsets):
            row = {name: values[at] for name, values in columns.items() if values[at] is not None}
            if at in block.damage:
                raw = orjson.dumps({"bytes": block.sizes.get(at)}).decode()
                yield hits.broken(file, offset, 0, block.damage[at], raw)
            elif span is None or _lies_within(row.get("event_timestamp"), span):
                yield from _row(row, file, offset, gate)


def _lies_within(value: Any, span: tuple[int, int]) -> bool:
    try:
        at = _integer(value, "event_timestamp")
    except Wrong:
        return False
    return at is not None and span[0] <= at < span[1]


def _line(file: LakeFile, offset: int, line: bytes, gate: Gate) -> Iterator[tuple[Any, ...]]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        yield hits.broken(file, offset, 0, "line is not JSON", hits.unread(line))
        return
    yield from _row(row, file, offset, gate)


def _row(row: Any, file: LakeFile, offset: int, gate: Gate) -> Iterator[tuple[Any, ...]]:
    name = row.get("event_name") if isinstance(row, dict) else None
    if isinstance(name, str) and name not in EVENT_NAMES:
        gate.skipped[f"hits of source {file.source} are no events of ours"] += 1
        return
    try:
        yield _hit(row, file, offset, gate)
    except Wrong as wrong:
        yield hits.broken(file, offset, 1, str(wrong), _shown(row))


def _hit(row: Any, file: LakeFile, offset: int, gate: Gate) -> tuple[Any, ...]:
    if not isinstance(row, dict):
        raise Wrong("row is not an object")
    at = _integer(row.get("event_timestamp"), "event_timestamp")
    if at is None or not 0 < at <= hits.LAST_MICROSECOND:
        raise Wrong("event_timestamp is missing or out of range")
    name = _text(row.get("event_name"), "event_name")
    if name is None:
        raise Wrong("event_name is missing")
    device_id, user_id = (
        _text(row.get("user_pseudo_id"), "user_pseudo_id"),
        _text(row.get("user_id"), "user_id"),
    )
    device = gate.devices[device_id] if device_id else None
    user = gate.users[user_id] if user_id else None
    subject = user or device
    if subject is None:
        if not _is_denied(row.get("privacy_info")):
            raise Wrong("an event needs a subject")
        subject = hits.NOBODY
    parameters = _parameters(row.get("event_params"))
    item, ecommerce = _first(row.get("items")), row.get("ecommerce") or {}
    if not isinstance(ecommerce, dict):
        raise Wrong("ecommerce is not an object")
    session = parameters.get("ga_session_id")
    known = {
        "event_id": hits.event_id(_shared_id(parameters, row), device, subject),
        "event_name": EVENT_NAMES[name],
        "event_at": at,
        "arrival_date": file.arrival_date,
        "subject": subject,
        "device": device,
        "user": user,
        "source": file.source,
        "visit": None if session is None else str(session),
        "page": _page(parameters.get("page_location")),
        "product_id": _text(item.get("item_id"), "items.item_id"),
        "order_id": _text(ecommerce.get("transaction_id"), "ecommerce.transaction_id"),
        "value_cents": _cents(ecommerce.get("purchase_revenue")),
        "is_bot": False,
        "_file": file.path,
        "_offset": offset,
    }
    return tuple(map(known.get, hits.FIELDS))


def _is_denied(privacy: Any) -> bool:
    return isinstance(privacy, dict) and privacy.get("analytics_storage") == "No"


def _parameters(listed: Any) -> dict[str, Any]:
    found = {}
    try:
        for parameter in listed or ():
            present = [value for value in parameter["value"].values() if value is not None]
            found[str(parameter["key"])] = present[0] if present else None
    except (KeyError, TypeError, AttributeError):
        raise Wrong("event_params are malformed") from None
    return found


def _shared_id(parameters: dict[str, Any], row: dict[str, Any]) -> str:
    shared = parameters.get("event_id")
    if shared is None:
        return blake2b(orjson.dumps(row, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    text = _text(shared, "event_params.event_id")
    return "" if text is None else text.lower()


def _page(location: Any) -> str | None:
    text = _text(location, "event_params.page_location")
    try:
        return (urlsplit(text).path.strip("/").rpartition("/")[2] or None) if text else None
    except ValueError:
        raise Wrong("event_params.page_location is not an address") from None


def _first(items: Any) -> dict[str, Any]:
    if not items:
        return {}
    if not (isinstance(items, list) and isinstance(items[0], dict)):
        raise Wrong("items is not a list of objects")
    return items[0]


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise Wrong(f"{name} is not a string")


def _integer(value: Any, name: str) -> int | None:
    if value is None or type(value) is int:
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    raise Wrong(f"{name} is not an integer")


def _cents(revenue: Any) -> int | None:
    if revenue is None:
        return None
    try:
        cents = round(float(revenue) * 100)
    except (TypeError, ValueError, OverflowError):
        raise Wrong("ecommerce.purchase_revenue is not a number") from None
    if abs(cents) >= 2**63:
        raise Wrong("ecommerce.purchase_revenue is out of range")
    return cents


def _shown(row: Any) -> str:
    shown = hits.redacted(row, OPEN_KEYS)
    if isinstance(shown, dict) and isinstance(shown.get("event_params"), list):
        for parameter in shown["event_params"]:
            if isinstance(parameter, dict) and parameter.get("key") not in OPEN_PARAMETERS:
                parameter["value"] = "[redacted]"
    return orjson.dumps(shown).decode()
