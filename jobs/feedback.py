"""feedback: one row per position of a layout as served, with what came of it (the join service).

An outcome credits at most one decision of its own subject:
- by trace: it names decision and position, shares the trace, and comes within `trace_hours`. Such an
  outcome belongs to that decision alone, whether it is in time for a reward or not;
- else by window: the last decision that was seen and served before it (last touch) and could have led to it,
  when a detail view follows within `reward.detail_seconds`, a basket add within the session gap. That is one
  of the page and widget that the outcome names; where it names no widget, one on its page that shows the
  product's category, or any product;
- what follows from that, within `reward.follow_hours`: a product bought credits the decision through which it
  was opened or put into the basket; a team sale or a recruit the decision that last led the subject anywhere.
Nothing comes before its decision by more than `clock_skew_seconds`. `jobs.goals` tells what a decision
earned.

`trace_hours` is less than a day, so a day's feedback follows from that day and its two neighbours. The files
of both tables are sorted by subject: a task reads those of a subject bucket in step.

Reads   decisions and outcomes, of the interval and the day before and after
Writes  feedback, partition decision_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from jobs import merged
from jobs.config import Reward
from jobs.contracts import contract
from jobs.credit import KEPT, Rule, credit
from jobs.kinds import NOTHING_SAID, Kinds, reward_name
from jobs.merged import File
from jobs.shell import Buckets, Job

OF_PARTITION = ("decision_date", "subject_bucket")
DECISIONS = (*(name for name in KEPT if name not in OF_PARTITION), "trace_id", "category", "earns", "seen_at")
OUTCOMES = (
    "subject",
    "happened_at",
    "kind",
    "trace_id",
    "decision_id",
    "position",
    "page",
    "widget",
    "category",
    "product_id",
    "value_cents",
)
FEW = ("page", "widget", "category", "earns", "role", "kind", "policy_version")


def build(
    buckets: DataFrame,
    *,
    days: Sequence[date],
    reward: Reward,
    clock_skew_seconds: int,
    session_gap_minutes: int,
    trace_hours: int,
    kinds: Kinds = NOTHING_SAID,
) -> DataFrame:
    """Give each decision the outcomes that it earned, bucket by bucket: no shuffle, no join."""
    rule = replace(
        rule_of(reward, clock_skew_seconds, session_gap_minutes, trace_hours),
        widgets={reward_name(kind, purpose): worth for kind, purpose, worth in kinds.rewards()},
    )
    about = contract("feedback")
    return buckets.mapInArrow(matcher(rule, about.arrow_schema.remove_metadata(), days), about.ddl)


def rule_of(reward: Reward, clock_skew_seconds: int, session_gap_minutes: int, trace_hours: int) -> Rule:
    """Bring together all that conf/ says of the join, in seconds."""
    counted = (reward.roles or {}).items()
    return Rule(
        version=reward.version,
        basket=reward.basket,
        detail=reward.detail,
        detail_seconds=reward.detail_seconds,
        basket_seconds=session_gap_minutes * 60,
        trace_seconds=trace_hours * 3600,
        skew_seconds=clock_skew_seconds,
        follow_seconds=reward.follow_hours * 3600,
        display_seconds=reward.display_seconds,
        roles={role: {str(goal): worth for goal, worth in goals.items()} for role, goals in counted},
    )


def matcher(
    rule: Rule, schema: pa.Schema, days: Sequence[date]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what turns buckets into rows of `feedback` of these days, inside a task."""
    wanted = pa.array(sorted(days), pa.date32())

    def match(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for bucket in (row for batch in batches for row in batch.to_pylist()):
            for decisions, outcomes in sides(bucket):
                matched = credit(decisions, outcomes, rule, schema)
                yield from matched.filter(pc.is_in(matched["decision_date"], wanted)).to_batches()

    return match


def sides(bucket: Mapping[str, Any]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Yield decisions and outcomes of a bucket, some whole subjects at a time."""
    files = [File(**file) for file in bucket["files"]]
    nothing = contract("outcomes").arrow_schema.remove_metadata().empty_table().select(OUTCOMES)
    for pieces in merged.whole_subjects(files, {"decisions": DECISIONS, "outcomes": OUTCOMES}, FEW):
        both = list(zip(files, pieces, strict=True))
        served = [_placed(piece, file.day, bucket) for file, piece in both if file.table == "decisions"]
        happened = [piece for file, piece in both if file.table == "outcomes"]
        if served:
            yield pa.concat_tables(served), pa.concat_tables(happened or [nothing])


def _placed(piece: pa.Table, day: date, bucket: Mapping[str, Any]) -> pa.Table:
    """Add what a file's place says of all its rows."""
    of_all = {
        "decision_date": pa.scalar(day, pa.date32()),
        "subject_bucket": pa.scalar(bucket["subject_bucket"], pa.int32()),
    }
    for name, value in of_all.items():
        piece = piece.append_column(name, pa.repeat(value, piece.num_rows))
    return piece


JOB = Job(
    build,
    reads=(Buckets(("decisions", "outcomes"), before=1, after=1),),
    writes="feedback",
    is_bucketed=True,
)

if __name__ == "__main__":
    JOB.main()
