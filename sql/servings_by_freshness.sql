-- Question    Who got a layout of their own, who a default or a ranking on request, and what came of each?
-- Parameters  none: every day that decisions hold. `untold` are front ends that do not say how they answered.
--             A mean over rows weighs each by `rated`: what was seen is not all rated (feedback may lack a day).
-- Run         vitrine query "select * from servings_by_freshness where page = 'home' order by decision_date"
with positions as (
    select
        decisions.page,
        decisions.decision_date,
        coalesce(decisions.freshness, 'untold') as freshness,
        coalesce(decisions.variant, '') as variant,
        decisions.decision_id,
        decisions.subject,
        case when decisions.is_seen then 1 else 0 end as seen,
        case when decisions.is_seen then feedback.reward end as seen_reward
    from decisions
    left join feedback
        on decisions.decision_id = feedback.decision_id
        and decisions.position = feedback.position
        and decisions.decision_date = feedback.decision_date
)

select
    page,                                                                     -- page
    decision_date,                                                            -- day
    freshness,                                                                -- how it was answered, see decisions
    variant,                                                                  -- which of the page's variants, '' without
    count(distinct decision_id) as servings,                                  -- layouts served
    count(distinct subject) as subjects,                                      -- people who were served
    cast(sum(seen) as bigint) as seen,                                        -- positions that came into view
    count(seen_reward) as rated,                                              -- seen positions whose reward is known
    avg(seen_reward) as reward_per_seen                                       -- mean reward of a rated position
from positions
group by page, decision_date, freshness, variant
