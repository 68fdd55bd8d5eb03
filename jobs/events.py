"""events: one row per telemetry span or tag hit, merged over all sources, cleaned, with bots marked.

Who did not agree to the purpose of `consent` (conf/) is nobody: the row stays, to be counted, without any id.

Copies of an event, from two sources or delivered again, share an id and are one row. An event belongs to the
day on which it happened. Where clocks differ, its copies may lie on two days; then the earlier day's stand,
and the later day's are repeats. That is so when a copy came in the last `copy_minutes` of the earlier day, so
a day's rows follow from what arrived for it and from the last minutes of the day before.

Reads   files of telemetry and tags that arrived on the interval's days or up to `late_days` later, and the
        last lines of the day before; widgets and consents as of each day
Writes  events, partitions event_date, subject_bucket
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import event_parts, nobody, pieces
from jobs.config import BotRules, Consent, Ids, Source
from jobs.consent import Answers, answers
from jobs.contracts import contract
from jobs.event_parts import Rules
from jobs.inputs import LATE
from jobs.pieces import Place
from jobs.shell import Job, Lake, Until
from jobs.sources import changes, days_in, ga4, otlp, schemas
from jobs.sources import files as lake
from jobs.sources.files import LakeFile
from jobs.sources.hits import Door, Partly
from jobs.staged_pieces import in_pieces
from jobs.without_ids import matched

ONE_DAY = timedelta(1)
PARTS_AT_LEAST = 32
Read = Callable[[Iterator[LakeFile], Door, Partly], Iterator[pa.RecordBatch]]


def build(
    telemetry: DataFrame,
    tags: DataFrame,
    widgets: DataFrame,
    consents: DataFrame,
    *,
    days: Sequence[date],
    sources: Mapping[str, Source],
    business_time_zone: str,
    subject_buckets: int,
    late_days: int,
    copy_minutes: int,
    ids: Ids,
    bots: BotRules,
    consent: Consent,
) -> DataFrame:
    """Read all sources, merge copies of an event into one row, and turn away what cannot be, as pieces."""
    door = Door(ids.key, ids.key_id, tuple(bots.agents))
    feeding = {name: source for name, source in sources.items() if source.table == "events"}
    rules = Rules(
        tuple(days),
        business_time_zone,
        late_days,
        copy_minutes,
        max(subject_buckets, PARTS_AT_LEAST),
        tuple(sorted(feeding)),
        tuple(name for name, source in feeding.items() if source.form == "ga4"),
        bots,
    )
    partly = day_ends(rules)
    place = event_parts.place(rules)
    if any(source.without_ids for source in feeding.values()):
        delivered = otlp.parse(telemetry, door, partly).unionByName(ga4.parse(tags, door, partly))
        cut = partial(pieces.cut, place=place)
        found = matched(delivered, copy_minutes).mapInArrow(cut, schemas.ddl(pieces.COLUMNS))
    else:
        found = _pieces(telemetry, otlp.read, door, partly, place).unionByName(
            _pieces(tags, ga4.read, door, partly, place)
        )
    known = F.broadcast(known_widgets(widgets, days))
    beside = pieces.gathered(found.join(known, F.col("day") == F.col("known_on"), how="left"))
    made = partial(
        _made,
        rules=rules,
        asked=answers(consents, consent),
        subject_buckets=subject_buckets,
        schema=in_pieces(contract("events")),
    )
    return beside.select("day", "part", "known", "rows").mapInArrow(made, schemas.ddl(pieces.COLUMNS))


def _made(
    batches: Iterator[pa.RecordBatch], rules: Rules, asked: Answers, subject_buckets: int, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Make the events of sorted pieces, and cut them into those of the table's partitions."""
    made = event_parts.build(rules)(batches)
    told = (nobody.told_apart(events, asked, subject_buckets, schema) for events in made)
    return pieces.cut(told, nobody.by_bucket)


def day_ends(rules: Rules) -> Partly:
    """The last minutes of the days before, of whose files nothing else is wanted."""
    whole = {day + timedelta(n) for day in rules.days for n in range(rules.late_days + 1)}
    return {
        day: event_parts.last_minutes(day, rules) for day in {day - ONE_DAY for day in rules.days} - whole
    }


def _pieces(files: DataFrame, read: Read, door: Door, partly: Partly, place: Place) -> DataFrame:
    """Read files into pieces of hits."""

    def cut(listed: Iterator[LakeFile]) -> Iterator[pa.RecordBatch]:
        return pieces.cut(read(listed, door, partly), place)

    return lake.read(files, cut, pieces.COLUMNS)


def known_widgets(widgets: DataFrame, days: Sequence[date]) -> DataFrame:
    """List the widgets that are known on each day: grain one day (known_on, known)."""
    held = changes.valid(widgets, "widget").where(
        ~F.col("is_deleted")
        & (F.col("valid_from") <= F.lit(max(days)))
        & (F.col("valid_until") > F.lit(min(days)))
    )
    first = F.greatest("valid_from", F.lit(min(days)))
    last = F.least(F.date_sub("valid_until", 1), F.lit(max(days)))
    on_days = held.select("widget", F.explode(F.sequence(first, last)).alias("known_on"))
    return on_days.groupBy("known_on").agg(F.collect_set("widget").alias("known"))


def late(
    telemetry: DataFrame,
    tags: DataFrame,
    *,
    days: Sequence[date],
    business_time_zone: str,
    late_days: int,
    copy_minutes: int,
) -> DataFrame:
    """Name the earlier days, at most `late_days` back, that the interval's arrivals may change."""
    at_edge = F.col("arrival_date").isin(changes.edge(days, late_days))
    instants = days_in.instants(telemetry.where(at_edge), otlp.TIME).unionByName(
        days_in.instants(tags.where(at_edge), ga4.TIME)
    )
    # A quarter of an hour names its own day and, at the end of one, the next: it may hold a repeat.
    next_day = F.col("at") + F.make_dt_interval(mins=F.lit(copy_minutes + 15))
    named = instants.select(
        "arrival_date",
        changes.business_day(F.col("at"), business_time_zone).alias("own_day"),
        changes.business_day(next_day, business_time_zone).alias("next_day"),
    )
    is_timely = F.col("own_day") >= F.date_sub("arrival_date", late_days)
    day = F.explode(F.array("own_day", "next_day")).alias("day")
    found = named.where(is_timely).select("arrival_date", day)
    return found.where((F.col("day") < F.col("arrival_date")) & ~F.col("day").isin(list(days)))


JOB = Job(
    build,
    reads=(
        Lake("telemetry", before=1, after=LATE, table="events", form="otlp"),
        Lake("tags", before=1, after=LATE, table="events", form="ga4"),
        Until("widgets"),
        Until("consents"),
    ),
    writes="events",
    late=late,
    late_reads=(
        Lake("telemetry", table="events", form="otlp"),
        Lake("tags", table="events", form="ga4"),
    ),
)

if __name__ == "__main__":
    JOB.main()
