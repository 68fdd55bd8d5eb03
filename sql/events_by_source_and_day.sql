-- Question    Which sources held a day's events, and how many held only one: does one of them lose what another sees?
-- Parameters  none: every day and set of sources, by their names in conf/.
-- Run         vitrine query "select * from events_by_source_and_day where day between '2017-10-01' and '2017-10-07'"
select
    event_date as day,                                                        -- business day
    sources,                                                                  -- all sources that held the events
    count(*) as events,                                                       -- how many
    cast(sum(case when arrival_date > event_date then 1 else 0 end) as bigint) as late_events -- of them: came later
from events
group by event_date, sources
