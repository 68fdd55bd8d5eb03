"""judgements: what each spec of conf/policies would have done at each serving, fitted on the days before it.

One row per serving and target policy: the probabilities of the layout as served, position after position,
along its prefixes. All that off-policy evaluation needs of a day is computed once, here; values over any
days, by role, segment or subject, are sums over these rows.

A page's default is one draw that goes to many, so its servings are no more alike by chance than one draw is:
they are one cluster, in one bucket (`cluster`). All others are clustered by subject.

Reads   feedback of the days and the day before, contexts of the days, policies up to the day before, widgets
        (whose labels rules go by), and subject_features and segments of the evenings before
Writes  judgements, partition decision_date and subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.

A day before which a spec was never fitted has no judgement of it. Days of the last `late_days` whose feedback
was rebuilt since they were judged (what is earned after midnight belongs to the day before) are judged again,
with the policies of then; verdicts that were given on them stay. Specs are judged for the goals and under the
rules that their page has now; where a draw's own rules were others, `unsure` tells how much of that its
log cannot tell.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.algorithms import PARAMETERS
from jobs.config import MORE, FeatureSet, Page, Policy
from jobs.contracts import contract
from jobs.credit import DIRECT
from jobs.epochs import widgets_as_of
from jobs.judging import Judged, judge
from jobs.labels import LABELS
from jobs.shell import Days, Job, Until
from jobs.steering import Labels
from jobs.store.keys import DEFAULT_PREFIX

SERVING = ("decision_date", "subject_bucket", "page", "decision_id", "draw_id")
PARALLEL = {
    "widgets": "widget", "propensities": "propensity", "is_seen": "is_seen", "rewards": "reward",
    **{goal: goal for goal in (*DIRECT, *MORE)},
}  # fmt: skip


def build(
    feedback: DataFrame,
    contexts: DataFrame,
    policies: DataFrame,
    widgets: DataFrame,
    subject_features: DataFrame,
    segments: DataFrame,
    *,
    days: Sequence[date],
    pages: Mapping[str, Page],
    specs: Mapping[str, Policy],
    feature_sets: Mapping[str, FeatureSet],
    seed: int,
) -> DataFrame:
    """Judge every spec at every serving of the days."""
    fitted = _fitted(policies, specs, days)
    judged = [
        Judged(spec, feature_sets[spec.feature_set], pages.get(spec.page), fitted[name])
        for name, spec in sorted(specs.items())
    ]
    served = _servings(feedback.where(F.col("decision_date").isin(list(days))))
    evening = subject_features.select(
        "subject", F.date_add("feature_date", 1).alias("decision_date"), "role", "region", "lately"
    )
    drawn = contexts.where(F.col("feature_set").isin(sorted({one.spec.feature_set for one in judged})))
    known = ("feature_set", "candidates", "context", "action_context", "rules", "variant")
    is_shared = F.col("subject").startswith(DEFAULT_PREFIX)
    own = drawn.select(
        "draw_id",
        "decision_date",
        *known,
        F.when(is_shared, F.col("draw_id")).alias("cluster"),
        F.when(is_shared, F.col("subject_bucket")).alias("bucket_of_draw"),
    )
    rows = (
        served.join(evening, on=["subject", "decision_date"], how="left")
        .join(_segments(segments), on=["subject", "decision_date"], how="left")
        .join(own, on=["draw_id", "decision_date"], how="inner")
        .withColumn("subject_bucket", F.coalesce("bucket_of_draw", "subject_bucket"))
        .drop("bucket_of_draw")
    )
    about = contract("judgements")
    work = partial(
        judge,
        judged=judged,
        seen=_seen_rates(feedback, days),
        labels=_labels(widgets, pages, days),
        seed=seed,
        schema=about.arrow_schema,
    )
    return rows.mapInArrow(work, about.ddl)


def _servings(feedback: DataFrame) -> DataFrame:
    """One row per serving, what it showed as lists by position."""
    goals = [F.coalesce(F.col("rewards")[goal], F.lit(0.0)).alias(goal) for goal in (*DIRECT, *MORE)]
    position = F.struct("position", "widget", "propensity", "is_seen", "reward", *goals)
    row = F.struct("subject", "policy_version", "reward_version", "served_at")
    served = feedback.groupBy(*SERVING).agg(
        F.sort_array(F.collect_list(position)).alias("positions"), F.min_by(row, "position").alias("row")
    )
    lists = [F.col(f"positions.{source}").alias(name) for name, source in PARALLEL.items()]
    return served.select(*SERVING, "row.*", _spec_of("row.policy_version").alias("logging_policy"), *lists)


def _segments(segments: DataFrame) -> DataFrame:
    """One row per subject and day, its segments as of the evening before, each under its segmentation."""
    named = F.concat_ws(": ", "segmentation", "name")
    return segments.groupBy("subject", F.date_add("as_of_date", 1).alias("decision_date")).agg(
        F.sort_array(F.collect_set(named)).alias("segments")
    )


def _spec_of(version: str) -> Column:
    return F.substring_index(version, "@", 1)


def _seen_rates(feedback: DataFrame, days: Sequence[date]) -> dict[tuple[str, date], list[float]]:
    """Share of servings whose position was seen, by page and the day after: a few numbers a page and day."""
    seen = feedback.groupBy("page", "decision_date", "position").agg(
        F.avg(F.col("is_seen").cast("double")).alias("share")
    )
    rates: dict[tuple[str, date], list[float]] = {}
    for row in sorted(seen.collect(), key=lambda row: row["position"]):
        rates.setdefault((row["page"], row["decision_date"] + timedelta(1)), []).append(row["share"])
    return {key: share for key, share in rates.items() if key[1] in set(days)}


def _labels(widgets: DataFrame, pages: Mapping[str, Page], days: Sequence[date]) -> dict[date, Labels]:
    """Return the widgets' labels as of each day; nothing where no page has rules that could ask."""
    if all(page.steered is None for page in pages.values()):
        return {}
    changes = [row.asDict() for row in widgets.select("widget", "changed_date", "kind", *LABELS).collect()]
    return {day: widgets_as_of(changes, day) for day in days}


def _fitted(
    policies: DataFrame, specs: Mapping[str, Policy], days: Sequence[date]
) -> dict[str, dict[date, dict[str, Any]]]:
    """Return by spec and day the newest row of the spec from before it: a few rows a day."""
    digests = {spec.digest for spec in specs.values()}
    own = policies.where(F.col("spec_digest").isin(sorted(digests)))
    known: dict[str, list[date]] = {}
    for row in own.select("spec_digest", "fitted_date").collect():
        known.setdefault(row["spec_digest"], []).append(row["fitted_date"])
    newest = {
        (digest, day): max((then for then in fitted if then < day), default=None)
        for digest, fitted in known.items()
        for day in days
    }
    wanted = sorted({then for then in newest.values() if then is not None})
    columns = ("policy_version", "spec_digest", "fitted_date", "widgets", "worths", *PARAMETERS)
    found = own.where(F.col("fitted_date").isin(wanted)).select(*columns).collect() if wanted else []
    rows = {(row["spec_digest"], row["fitted_date"]): row.asDict() for row in found}
    return {
        name: {
            day: rows[spec.digest, then]
            for day in days
            if (then := newest.get((spec.digest, day))) is not None
        }
        for name, spec in specs.items()
    }


JOB = Job(
    build,
    reads=(
        Days("feedback", before=1),
        Days("contexts"),
        Until("policies"),
        Until("widgets"),
        Days("subject_features", before=1),
        Days("segments", before=1),
    ),
    writes="judgements",
    follows=("feedback",),
)

if __name__ == "__main__":
    JOB.main()
