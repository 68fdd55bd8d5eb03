-- Question    Of the people whose first order fell into a closing, how many ordered again in each closing after it?
-- Parameters  none: every closing, by its newest dates; an order in several counts for the one that ends first. A cohort's first row (closings_later 0) is the cohort itself.
-- Run         vitrine query "select * from cohort_retention_by_closing order by cohort_closing_id, closings_later"
with dated_closings as (
    select
        closing_id,
        first_date,
        last_date,
        is_deleted,
        row_number() over (partition by closing_id order by changed_date desc) as nth
    from closings
),

standing_closings as (
    select
        closing_id,
        first_date,
        last_date,
        row_number() over (order by last_date, closing_id) as number
    from dated_closings
    where nth = 1 and not coalesce(is_deleted, false)
),

ordered as (
    -- One row per order; where closings overlap, the one that ends first.
    select
        orders.order_id,
        orders.subject,
        min(standing_closings.number) as number
    from orders
    inner join standing_closings
        on orders.order_date between standing_closings.first_date and standing_closings.last_date
    group by orders.order_id, orders.subject
),

active as (
    -- One row per person and closing with an order.
    select distinct
        ordered.subject,
        standing_closings.closing_id,
        ordered.number
    from ordered
    inner join standing_closings on ordered.number = standing_closings.number
),

cohorts as (
    select
        subject,
        min(number) as number
    from active
    group by subject
),

sizes as (
    select
        number,
        count(*) as subjects
    from cohorts
    group by number
)

select
    standing_closings.closing_id as cohort_closing_id,                        -- closing of the first order
    active.closing_id,                                                        -- closing that is looked at
    cast(active.number - cohorts.number as int) as closings_later,            -- how many closings after the first
    sizes.subjects,                                                           -- people in the cohort
    count(*) as active_subjects,                                              -- of them: ordered in that closing
    cast(count(*) as double) / sizes.subjects as retained_share               -- active_subjects / subjects
from cohorts
inner join active on cohorts.subject = active.subject
inner join sizes on cohorts.number = sizes.number
inner join standing_closings on cohorts.number = standing_closings.number
group by standing_closings.closing_id, active.closing_id, active.number, cohorts.number, sizes.subjects
