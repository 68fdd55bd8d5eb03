-- Question    How far do people get with each widget, by its position on the page: served, seen, opened, bought?
-- Parameters  none: every day that feedback holds. For some weeks only, see reward_by_policy_and_week.
-- Run         vitrine query "select * from funnel_by_widget_position where page = 'home' order by widget, position"
with positions as (
    select
        page,
        widget,
        position,
        case when is_seen then 1 else 0 end as seen,
        case when is_seen and rewards['detail'] > 0 then 1 else 0 end as detail,
        case when is_seen and rewards['basket'] > 0 then 1 else 0 end as basket,
        case when is_seen then reward end as seen_reward
    from feedback
)

select
    page,                                                                     -- page it stood on
    widget,                                                                   -- what was shown
    position,                                                                 -- where, from 0
    count(*) as served,                                                       -- times it was served there
    cast(sum(seen) as bigint) as seen,                                        -- times it came into view
    cast(sum(detail) as bigint) as details,                                   -- seen, and a product was opened in time
    cast(sum(basket) as bigint) as baskets,                                   -- seen, and a product went into the basket
    cast(sum(seen) as double) / count(*) as seen_share,                       -- seen / served
    cast(sum(basket) as double) / nullif(sum(seen), 0) as basket_share,       -- baskets / seen
    avg(seen_reward) as reward_mean                                           -- mean reward of the seen ones
from positions
group by page, widget, position
