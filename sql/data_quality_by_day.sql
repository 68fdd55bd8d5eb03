-- Question    Is a day's telemetry whole: how much came, how late, and what was turned away?
-- Parameters  none: every day with an event or a quarantined row.
-- Run         vitrine query "select * from data_quality_by_day where day between '2017-10-01' and '2017-10-07'"
with happened as (
    select
        event_date as day,
        count(*) as events,
        sum(case when is_bot then 1 else 0 end) as bot_events,
        sum(case when is_consented then 0 else 1 end) as nobody_events,
        sum(case when arrival_date > event_date then 1 else 0 end) as late_events
    from events
    group by event_date
),

matched as (
    select
        decision_date as day,
        sum(case when match = 'trace' then 1 else 0 end) as matched_by_trace,
        sum(case when match = 'window' then 1 else 0 end) as matched_by_window
    from feedback
    group by decision_date
),

refused as (
    select
        quarantine_date as day,
        count(*) as quarantined
    from quarantine
    group by quarantine_date
),

days as (
    select day from happened
    union
    select day from refused
)

select
    days.day,                                                                 -- business day
    coalesce(happened.events, 0) as events,                                   -- events that happened then
    cast(coalesce(happened.bot_events, 0) as bigint) as bot_events,           -- of them: by bots
    cast(coalesce(happened.nobody_events, 0) as bigint) as nobody_events,     -- of them: of who did not agree
    cast(coalesce(happened.late_events, 0) as bigint) as late_events,         -- of them: arrived on a later day
    cast(coalesce(matched.matched_by_trace, 0) as bigint) as matched_by_trace,   -- positions credited by trace
    cast(coalesce(matched.matched_by_window, 0) as bigint) as matched_by_window, -- positions credited by last touch
    coalesce(refused.quarantined, 0) as quarantined                           -- rows of any table in quarantine
from days
left join happened on days.day = happened.day
left join matched on days.day = matched.day
left join refused on days.day = refused.day
