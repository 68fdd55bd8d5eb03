"""What a small lake of the demo holds: its lines, and its spans made flat."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DAYS = range(69, 72)  # its second day is the one on which summer time begins: 23 hours


def read_lines(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.rglob("*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            yield path.parent.name.removeprefix("date="), json.loads(line)


def read_spans(home: Path, service: str) -> Iterator[dict[str, Any]]:
    for arrived, line in read_lines(home / "lake/telemetry" / service):
        for resource in line["resourceSpans"]:
            assert attributes(resource["resource"]) == {"service.name": service}
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    yield {
                        "service": service,
                        "arrived": arrived,
                        "name": span["name"],
                        "trace_id": span["traceId"],
                        "span_id": span["spanId"],
                        "parent": span["parentSpanId"],
                        "at": int(span["startTimeUnixNano"]) / 1e9,
                        **attributes(span),
                    }


def attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: plain(entry["value"]) for entry in holder["attributes"]}


def plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "arrayValue":
        return [plain(each) for each in content["values"]]
    return {"stringValue": str, "intValue": int, "doubleValue": float}[kind](content)
