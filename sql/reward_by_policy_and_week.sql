-- Question    What did a page that a policy drew earn, week by week, and how sure is that?
-- Parameters  none: every week, from its Monday. Compare policies within a week; across weeks people differ.
-- Run         vitrine query "select * from reward_by_policy_and_week where page = 'start' order by week_date"
with servings as (
    select
        page,
        policy_version,
        cast(date_trunc('week', decision_date) as date) as week_date,
        subject,
        decision_id,
        sum(case when is_seen then 1 else 0 end) as seen,
        sum(case when is_seen then reward else 0 end) as reward
    from feedback
    group by page, policy_version, cast(date_trunc('week', decision_date) as date), subject, decision_id
),

by_subject as (
    select
        page,
        policy_version,
        week_date,
        subject,
        cast(count(*) as double) as servings,
        cast(sum(seen) as double) as seen,
        sum(reward) as reward
    from servings
    group by page, policy_version, week_date, subject
),

totals as (
    select
        page,
        policy_version,
        week_date,
        cast(count(*) as double) as subjects,
        sum(servings) as servings,
        sum(seen) as seen,
        sum(reward) as reward
    from by_subject
    group by page, policy_version, week_date
),

spread as (
    -- One person's servings are alike, so the error is that of a ratio of sums over people (Taylor's formula).
    select
        by_subject.page,
        by_subject.policy_version,
        by_subject.week_date,
        sum(
            (by_subject.reward - totals.reward / totals.servings * by_subject.servings)
            * (by_subject.reward - totals.reward / totals.servings * by_subject.servings)
        ) as squares
    from by_subject
    inner join totals
        on by_subject.page = totals.page
        and by_subject.policy_version = totals.policy_version
        and by_subject.week_date = totals.week_date
    group by by_subject.page, by_subject.policy_version, by_subject.week_date
)

select
    totals.page,                                                              -- page
    totals.policy_version,                                                    -- policy that drew it
    totals.week_date,                                                         -- Monday of the week
    cast(totals.subjects as bigint) as subjects,                              -- people who were served
    cast(totals.servings as bigint) as servings,                              -- layouts served
    cast(totals.seen as bigint) as seen,                                      -- positions that came into view
    totals.reward / nullif(totals.seen, 0) as reward_per_seen,                -- mean reward of a seen position
    totals.reward / totals.servings as reward_per_serving,                    -- mean reward of a layout
    1.96 * sqrt(spread.squares * totals.subjects / nullif(totals.subjects - 1, 0))
    / totals.servings as margin                                               -- 95 % interval: reward_per_serving ± this
from totals
inner join spread
    on totals.page = spread.page
    and totals.policy_version = spread.policy_version
    and totals.week_date = spread.week_date
