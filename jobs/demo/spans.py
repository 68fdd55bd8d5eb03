"""Telemetry and tag hits as text: OTLP JSON spans, and rows of GA4's BigQuery export.

Built from templates, since a lake holds millions; the tests parse every form back.
Reads, writes: nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

TAG_NAMES = {
    "page.view": "page_view",
    "product.view": "view_item",
    "basket.add": "add_to_cart",
    "order.placed": "purchase",
}


class Visitor(NamedTuple):
    """Who sends events: with the text that all spans of a session share."""

    device: str
    user: str | None
    session_number: int
    trace: str
    attributes: str


def visitor(device: str, user: str | None, session: str, start_us: int, agent: str, trace: str) -> Visitor:
    """A visitor at the start of a session; `user` is None for one that is not logged in."""
    named = [
        ("device.id", device),
        ("user.id", user),
        ("session.id", session),
        ("user_agent.original", agent),
    ]
    attributes = ",".join(text(key, value) for key, value in named if value is not None)
    return Visitor(device, user, start_us // 1_000_000, trace, attributes)


def text(key: str, value: str) -> str:
    """A string attribute; neither part may need escaping."""
    return f'{{"key":"{key}","value":{{"stringValue":"{value}"}}}}'


def integer(key: str, value: int) -> str:
    """An integer attribute: in OTLP JSON a 64-bit integer is a string."""
    return f'{{"key":"{key}","value":{{"intValue":"{value}"}}}}'


def texts(key: str, values: Sequence[str]) -> str:
    """An attribute that is a list of strings."""
    inner = ",".join(f'{{"stringValue":"{value}"}}' for value in values)
    return f'{{"key":"{key}","value":{{"arrayValue":{{"values":[{inner}]}}}}}}'


def doubles(key: str, values: Sequence[float]) -> str:
    """An attribute that is a list of doubles, each in its shortest exact form."""
    inner = ",".join(f'{{"doubleValue":{value!r}}}' for value in values)
    return f'{{"key":"{key}","value":{{"arrayValue":{{"values":[{inner}]}}}}}}'


def span(name: str, trace: str, span_id: str, parent: str, at_us: int, us: int, attributes: str) -> str:
    """One span; times in microseconds, kind 2 is SERVER and 3 CLIENT in OTLP."""
    kind = 2 if name == "layout.served" else 3
    return (
        f'{{"traceId":"{trace}","spanId":"{span_id}","parentSpanId":"{parent}","name":"{name}","kind":{kind},'
        f'"startTimeUnixNano":"{at_us}000","endTimeUnixNano":"{at_us + us}000",'
        f'"attributes":[{attributes}],"status":{{}}}}'
    )


def line(service: str, spans: Sequence[str]) -> str:
    """One export request of a service, as a collector's file exporter writes it."""
    return (
        f'{{"resourceSpans":[{{"resource":{{"attributes":[{text("service.name", service)}]}},'
        f'"scopeSpans":[{{"scope":{{"name":"vitrine.{service}"}},"spans":[{",".join(spans)}]}}]}}]}}'
    )


def hit(
    name: str, event_id: str, at_us: int, local_date: str, visitor: Visitor, page: str, extra: str
) -> str:
    """One row of the tag manager's export; `extra` holds items or ecommerce, ready-made."""
    user = "null" if visitor.user is None else f'"{visitor.user}"'
    return (
        f'{{"event_date":"{local_date}","event_timestamp":"{at_us}","event_name":"{TAG_NAMES[name]}",'
        f'"event_params":[{{"key":"page_location","value":{{"string_value":"https://shop.example/{page}"}}}},'
        f'{{"key":"ga_session_id","value":{{"int_value":"{visitor.session_number}"}}}},'
        f'{{"key":"event_id","value":{{"string_value":"{event_id}"}}}}],'
        f'"user_id":{user},"user_pseudo_id":"{visitor.device}","platform":"WEB"{extra}}}'
    )


def item(product_id: int, name: str, category: str) -> str:
    """The `items` part of a hit about one product."""
    row = orjson.dumps({"item_id": str(product_id), "item_name": name, "item_category": category})
    return f',"items":[{row.decode()}]'


def purchase(order_id: str, cents: int) -> str:
    """The `ecommerce` part of a purchase."""
    return f',"ecommerce":{{"transaction_id":"{order_id}","purchase_revenue":{cents / 100!r}}},"items":[]'
