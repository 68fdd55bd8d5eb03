"""Spans read by DuckDB as it does best: read_json with the schema told, attributes looked up in a map.

Run as `python -m tests.bench.peer_ingest FILES TARGET`: prints the seconds.
"""

import sys

from tests.bench.duck import seconds

VALUE = (
    "struct(stringValue varchar, intValue varchar, doubleValue double,"
    ' arrayValue struct("values" struct(stringValue varchar, doubleValue double)[]))'
)
ATTRIBUTES = f"struct(key varchar, value {VALUE})[]"
SPAN = (
    "struct(traceId varchar, spanId varchar, name varchar, startTimeUnixNano varchar,"
    f" attributes {ATTRIBUTES})"
)
LINE = f"struct(resource struct(attributes {ATTRIBUTES}), scopeSpans struct(spans {SPAN}[])[])[]"
QUERY = f"""
copy (
    with messages as (
        select unnest(resourceSpans) as message
        from read_json(
            '{{files}}', format = 'newline_delimited', compression = 'gzip',
            columns = {{{{'resourceSpans': '{LINE}'}}}}
        )
    ),
    spans as (
        select
            message.resource.attributes[1].value.stringValue as service,
            unnest(message.scopeSpans[1].spans) as span
        from messages
    ),
    mapped as (
        select
            service, span,
            map_from_entries(
                list_transform(span.attributes, lambda entry: struct_pack(k := entry.key, v := entry.value))
            ) as said
        from spans
    )
    select
        span.spanId as span_id,
        span.name as name,
        make_timestamp(span.startTimeUnixNano::bigint // 1000) as event_at,
        service,
        span.traceId as trace_id,
        said['device.id'].stringValue as device,
        said['user.id'].stringValue as "user",
        said['user_agent.original'].stringValue as agent,
        said['session.id'].stringValue as visit,
        said['vitrine.page'].stringValue as page,
        said['vitrine.decision_id'].stringValue as decision_id,
        said['vitrine.draw_id'].stringValue as draw_id,
        said['vitrine.position'].intValue::int as "position",
        said['vitrine.widget'].stringValue as widget,
        said['vitrine.product_id'].stringValue as product_id,
        said['vitrine.order_id'].stringValue as order_id,
        said['vitrine.value_cents'].intValue::bigint as value_cents,
        list_transform(
            said['vitrine.widgets'].arrayValue."values", lambda one: one.stringValue
        ) as widgets,
        list_transform(
            said['vitrine.candidates'].arrayValue."values", lambda one: one.stringValue
        ) as candidates,
        list_transform(
            said['vitrine.propensities'].arrayValue."values", lambda one: one.doubleValue
        ) as propensities,
        said['vitrine.policy_version'].stringValue as policy_version
    from mapped
) to '{{target}}' (format parquet, compression zstd)
"""


if __name__ == "__main__":
    files, target = sys.argv[1:]
    print(seconds(QUERY.format(files=files, target=target)))
