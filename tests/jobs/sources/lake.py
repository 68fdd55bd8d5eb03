"""A small lake for tests: spans, tag hits and files, as the collectors write them."""

import gzip
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.inputs import FILES
from jobs.sources.files import LakeFile
from jobs.sources.hits import Door

DAY = date(2017, 8, 21)
NOON = datetime(2017, 8, 21, 16, 0, 0, 123456, UTC)
DOOR = Door(b"a key for tests", "t1", ("bot", "crawl"))
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/55.0"


def typed(value: Any) -> dict[str, Any]:
    """An attribute's value in OTLP JSON: 64-bit integers are strings."""
    if isinstance(value, list):
        return {"arrayValue": {"values": [typed(inner) for inner in value]}}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def span(name: str, span_id: str, at: datetime = NOON, **attributes: Any) -> dict[str, Any]:
    """A span of device d1 and user u1, unless told otherwise; an attribute given as None is left out.

    Attributes are named by their last part, as `page` or `decision_id`.
    """
    own = {"device": "d1", "user": "u1", "session": "s1", "agent": BROWSER, **attributes}
    names = {
        "device": "device.id",
        "user": "user.id",
        "session": "session.id",
        "agent": "user_agent.original",
    }
    nanoseconds = int(at.timestamp() * 10**6) * 1000
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": span_id,
        "parentSpanId": "",
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(nanoseconds),
        "endTimeUnixNano": str(nanoseconds + 1_000_000),
        "attributes": [
            {"key": names.get(key, f"vitrine.{key}"), "value": typed(value)}
            for key, value in own.items()
            if value is not None
        ],
        "status": {},
    }


def message(*spans: Any, service: str = "web") -> str:
    """A line of telemetry."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    scope = {"scope": {"name": "test"}, "spans": list(spans)}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})


def tag(name: str, shared_id: str, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    """A tag hit of device d1 and user u1, unless told otherwise."""
    return {
        "event_date": f"{at:%Y%m%d}",
        "event_timestamp": str(int(at.timestamp() * 10**6)),
        "event_name": name,
        "event_params": [
            {"key": "page_location", "value": {"string_value": "https://shop.example/home?a=1"}},
            {"key": "ga_session_id", "value": {"int_value": "1503331200"}},
            {"key": "event_id", "value": {"string_value": shared_id}},
        ],
        "user_id": "u1",
        "user_pseudo_id": "d1",
        **more,
    }


def put(path: Path, lines: Sequence[Any], *, cut: int = 0) -> Path:
    """Write lines (dictionaries as JSON), gzipped by the name, with `cut` bytes taken off the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    content = "".join(f"{text}\n" for text in texts).encode()
    content = gzip.compress(content, mtime=0) if path.suffix == ".gz" else content
    path.write_bytes(content[: len(content) - cut])
    return path


def file(path: Path, source: str, arrival: date = DAY, **rename: str) -> LakeFile:
    """A file of the lake."""
    form = {"telemetry": "otlp", "tags": "ga4"}.get(source, "records")
    return LakeFile(str(path), source, form, arrival, rename)


def listed(spark: SparkSession, *files: LakeFile) -> DataFrame:
    """The files as the shell lists them."""
    rows = [(*vars(f).values(), 0) for f in files]
    return spark.createDataFrame(rows, FILES)
