-- Question    What has moved since training or since the last sales period, how far, and for whom?
-- Parameters  none: every quantity that is watched or alarms, on every day.
-- Run         vitrine query "select * from drifted where drift_date = '2017-10-12' order by psi desc"
select
    drift_date,                        -- the day
    kind,                              -- feature, score or reward
    name,                              -- which
    who,                               -- of everyone, or of a segment
    against,                           -- training or last period
    against_date,                      -- the day it is compared with
    level,                             -- watch or alarm
    psi,                               -- population stability index
    js,                                -- Jensen-Shannon divergence, in bits
    shift,                             -- how far it went, in standard deviations and missing share
    n,                                 -- values of the day
    n_earlier                          -- values of the earlier day
from drift
where level <> 'steady'
