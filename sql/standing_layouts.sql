-- Question    Which layouts stood on a night: its own draws, and those of the six nights before that still held?
-- Parameters  none: every night. A row of layouts stands until the subject's next one, while the subject has
--             features of the night and the night drew defaults of its page and variant.
-- Run         vitrine query "select page, count(*) from standing_layouts where night_date = date '2017-10-12' group by all"
with live as (
    select
        layout_date,
        subject,
        page,
        coalesce(variant, '') as variant,
        draw_id,
        drawn_date,
        policy_version,
        widgets,
        scores,
        propensities
    from layouts
    where scenario = 'live'
),

nights as (
    select distinct
        layout_date as night_date,
        page,
        variant
    from live
    where subject like 'default:%'
),

newest as (
    select
        nights.night_date,
        live.subject,
        live.page,
        live.variant,
        live.draw_id,
        live.drawn_date,
        live.policy_version,
        live.widgets,
        live.scores,
        live.propensities,
        live.layout_date,
        row_number() over (
            partition by nights.night_date, live.subject, live.page, live.variant
            order by live.layout_date desc
        ) as age
    from live
    inner join nights
        on live.page = nights.page and live.variant = nights.variant
        and live.layout_date <= nights.night_date
        and live.layout_date >= nights.night_date - interval 6 day
)

select
    newest.night_date,
    newest.subject,
    newest.page,
    newest.variant,
    newest.draw_id,
    newest.drawn_date,
    newest.policy_version,
    newest.widgets,
    newest.scores,
    newest.propensities
from newest
left join subject_features
    on newest.subject = subject_features.subject and newest.night_date = subject_features.feature_date
where
    newest.age = 1
    and newest.draw_id is not null
    and (newest.layout_date = newest.night_date or subject_features.subject is not null)
