-- Question    Who are the segments that a person approved, what do they buy, and do they come back?
-- Parameters  none: every version that was approved. Sales are of the 28 days up to its day.
-- Run         vitrine query "select * from approved_segments where segmentation = 'rfm' order by as_of_date, segment"
with verdicts as (
    select
        version,
        decided_by,
        details
    from releases
    where kind = 'segmentation' and verdict = 'yes'
    qualify row_number() over (partition by version order by decided_at desc, release_id desc) = 1
)

select
    segment_profiles.segmentation,
    segment_profiles.as_of_date,
    segment_profiles.segmentation_version,
    segment_profiles.segment,
    verdicts.details[cast(segment_profiles.segment as string)] as name,
    segment_profiles.continues,
    segment_profiles.subjects,
    segment_profiles.share,
    segment_profiles.revenue_cents,
    segment_profiles.revenue_share,
    segment_profiles.orders,
    segment_profiles.basket_cents,
    segment_profiles.retention,
    verdicts.decided_by
from segment_profiles
inner join verdicts on segment_profiles.segmentation_version = verdicts.version
