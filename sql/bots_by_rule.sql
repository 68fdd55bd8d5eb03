-- Question    Which rule marks how many of a day's events as no person's: too many of a sudden, or never any?
-- Parameters  none: every day with an event.
-- Run         vitrine query "select * from bots_by_rule where day >= '2017-10-01'"
select
    event_date as day,                                                        -- business day
    coalesce(bot_rule, 'a person') as rule,                                   -- rule of conf/ that was broken
    count(*) as events,                                                       -- events so marked
    count(distinct device) as devices,                                        -- devices, of who agreed
    round(count(*) / sum(count(*)) over (partition by event_date), 6) as share -- of the day's events
from events
group by event_date, bot_rule
