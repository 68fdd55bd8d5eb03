-- Question    How often does each kind of person open or buy what a page shows, by role and strongest category?
-- Parameters  none: every day that feedback holds. Role and category are those known the evening before.
-- Run         vitrine query "select * from click_through_by_role_category_and_page where page = 'home' order by seen desc"
with seen as (
    select
        page,
        subject,
        decision_date,
        case when rewards['detail'] > 0 or rewards['basket'] > 0 then 1 else 0 end as clicked,
        case when rewards['basket'] > 0 then 1 else 0 end as bought
    from feedback
    where is_seen
),

known as (
    select
        subject,
        feature_date,
        role,
        category1
    from subject_features
)

select
    seen.page,                                                                -- page
    coalesce(known.role, 'unknown') as role,                                  -- role the evening before
    coalesce(known.category1, 'unknown') as category1,                        -- strongest category by then
    count(distinct seen.subject) as subjects,                                 -- people who saw something
    count(*) as seen,                                                         -- positions that came into view
    cast(sum(seen.clicked) as bigint) as clicks,                              -- of them: opened in time, or bought
    cast(sum(seen.bought) as bigint) as baskets,                              -- of them: put into the basket
    cast(sum(seen.clicked) as double) / count(*) as click_share,              -- clicks / seen
    cast(sum(seen.bought) as double) / count(*) as basket_share               -- baskets / seen
from seen
left join known
    on seen.subject = known.subject
    and known.feature_date = seen.decision_date - 1
group by seen.page, coalesce(known.role, 'unknown'), coalesce(known.category1, 'unknown')
