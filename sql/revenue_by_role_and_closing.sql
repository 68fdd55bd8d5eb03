-- Question    What did each role spend in each closing, by how many people and orders?
-- Parameters  none: every closing, by its newest dates; an order in several counts in each, one in none has closing_id null.
-- Run         vitrine query "select * from revenue_by_role_and_closing order by closing_id, role"
with roles as (
    -- A role holds from the day it arrived until the next change arrived.
    select
        subject,
        role,
        changed_date as from_date,
        lead(changed_date) over (partition by subject order by changed_date) as until_date
    from users
),

dated_closings as (
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
        last_date
    from dated_closings
    where nth = 1 and not coalesce(is_deleted, false)
),

sales as (
    select
        order_lines.subject,
        order_lines.order_id,
        order_lines.sales_cents,
        coalesce(roles.role, 'unknown') as role,
        standing_closings.closing_id,
        standing_closings.first_date,
        standing_closings.last_date
    from order_lines
    left join roles
        on order_lines.subject = roles.subject
        and order_lines.order_date >= roles.from_date
        and (roles.until_date is null or order_lines.order_date < roles.until_date)
    left join standing_closings
        on order_lines.order_date between standing_closings.first_date and standing_closings.last_date
)

select
    closing_id,                                                               -- sales period
    first_date,                                                               -- its first day
    last_date,                                                                -- its last day
    role,                                                                     -- role on the order's day
    count(distinct subject) as subjects,                                      -- people who ordered
    count(distinct order_id) as orders,                                       -- orders with merchandise
    cast(sum(sales_cents) as bigint) as sales_cents,                          -- spent, after discounts
    cast(sum(sales_cents) as double) / count(distinct order_id) as cents_per_order,
    cast(sum(sales_cents) as double) / count(distinct subject) as cents_per_subject
from sales
group by closing_id, first_date, last_date, role
