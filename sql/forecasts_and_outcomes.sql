-- Question    What was forecast for a policy the evening before a day that it served, and what came of it?
-- Parameters  none: every night, goal and estimator. Whether an interval holds 0 is judged best over many nights.
-- Run         vitrine query "select estimator, avg(abs(difference)) from forecasts_and_outcomes where goal = 'reward' group by estimator"
with outcomes as (
    select
        as_of_date,
        page,
        substr(spec, 1, length(spec) - length(' (served)')) as spec,
        goal,
        value,
        error,
        servings
    from policy_values
    where estimator = 'observed' and first_date = as_of_date and audience = 'everyone'
),

forecasts as (
    select
        as_of_date,
        page,
        spec,
        goal,
        estimator,
        value,
        error
    from policy_values
    where estimator <> 'observed' and first_date < as_of_date and audience = 'everyone'
),

paired as (
    -- Of all evenings before the night, the last one's forecast counts.
    select
        outcomes.as_of_date,
        outcomes.page,
        outcomes.spec,
        outcomes.goal,
        forecasts.estimator,
        forecasts.as_of_date as forecast_date,
        forecasts.value as forecast,
        forecasts.error as forecast_error,
        outcomes.value as outcome,
        outcomes.error as outcome_error,
        outcomes.servings,
        forecasts.value - outcomes.value as difference,
        1.96 * sqrt(forecasts.error * forecasts.error + outcomes.error * outcomes.error) as margin,
        row_number() over (
            partition by
                outcomes.as_of_date, outcomes.page, outcomes.spec, outcomes.goal, forecasts.estimator
            order by forecasts.as_of_date desc
        ) as place
    from outcomes
    inner join forecasts
        on outcomes.page = forecasts.page
        and outcomes.spec = forecasts.spec
        and outcomes.goal = forecasts.goal
        and forecasts.as_of_date < outcomes.as_of_date
)

select
    as_of_date,                        -- night by which all had come of what the policy served
    page,                              -- page
    spec,                              -- policy that was live
    goal,                              -- reward, detail, basket
    estimator,                         -- how the forecast was estimated
    forecast_date,                     -- evening of the forecast, over the 28 days that end with it
    forecast,                          -- what it said a serving would earn
    forecast_error,                    -- its standard error, by subject
    outcome,                           -- what a serving did earn
    outcome_error,                     -- its standard error, by subject
    servings,                          -- how many served
    difference,                        -- forecast less outcome
    margin,                            -- 95 % interval: difference ± this; subjects of both count as apart, so rather wide
    abs(difference) <= margin as is_held -- whether that interval holds 0; null where there is no error
from paired
where place = 1
