"""The join as DuckDB does it best: a hash join for what names its decision, an ASOF JOIN for the rest.

Run as `python -m tests.bench.peer_join TABLES TARGET`: prints the seconds of the query, Parquet to Parquet.
"""

import sys

from tests.bench.duck import seconds

QUERY = """
copy (
    with d as (
        select * from read_parquet('{root}/decisions/data/*/*/*/*/*.parquet', hive_partitioning = true)
    ),
    o as (
        select
            outcome_id, subject, kind, trace_id, decision_id, "position", page, widget, happened_at,
            epoch_us(happened_at) as happened_us
        from read_parquet('{root}/outcomes/data/*/*/*/*/*.parquet', hive_partitioning = true)
        where kind in ('detail', 'basket')
    ),
    traced as (
        select o.outcome_id, o.kind, d.decision_id, d."position", o.happened_us - epoch_us(d.served_at) as lag
        from o
        inner join d
            on o.decision_id = d.decision_id and o."position" = d."position"
            and o.trace_id = d.trace_id and o.subject = d.subject
        where o.happened_us - epoch_us(d.served_at) between -5000000 and 43200000000
    ),
    free as (select *, happened_at + interval 5 seconds as until from o anti join traced using (outcome_id)),
    seen as (select subject, page, widget, served_at, decision_id, "position" from d where is_seen),
    touched as (
        select f.kind, s.decision_id, s."position", f.happened_us - epoch_us(s.served_at) as lag
        from free as f
        asof join seen as s
            on f.subject = s.subject and f.page = s.page and f.widget = s.widget and f.until >= s.served_at
    ),
    credited as (
        select decision_id, "position", kind, lag, true as by_trace from traced
        where lag <= case when kind = 'basket' then 43200000000 else 20000000 end
        union all
        select decision_id, "position", kind, lag, false from touched
        where lag <= case when kind = 'basket' then 1800000000 else 20000000 end
    ),
    earned as (
        select
            decision_id, "position", bool_or(kind = 'basket') as basket, bool_or(kind = 'detail') as detail,
            min(lag) / 1e6 as lag_seconds, bool_or(by_trace) as traced
        from credited
        group by all
    )
    select
        d.decision_id, d."position", d.decision_date, d.served_at, d.subject, d.subject_bucket, d.role,
        d.draw_id, d.page, d.widget, d.propensity, d.policy_version, d.is_seen,
        case when e.basket then 3.0::double when e.detail then 1.0::double else 0.0::double end as reward,
        'r1' as reward_version,
        map(
            ['detail', 'basket'],
            [coalesce(e.detail, false)::double, coalesce(e.basket, false)::double]
        ) as rewards,
        e.lag_seconds,
        case when e.traced then 'trace' when e.basket or e.detail then 'window' else 'none' end as "match"
    from d
    left join earned as e on d.decision_id = e.decision_id and d."position" = e."position"
) to '{target}' (format parquet, compression zstd)
"""


if __name__ == "__main__":
    root, target = sys.argv[1:]
    print(seconds(QUERY.format(root=root, target=target)))
