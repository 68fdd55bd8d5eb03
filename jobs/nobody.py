"""Nobody: events of who did not agree are counted, and hold no id; that there is one event more stays known.

So too of what was turned away; only where nobody is known to ask, its ids stay.

Grain: one event.
"""

from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import copies
from jobs.consent import Answers
from jobs.ids import subject_bucket
from jobs.pieces import Ints
from jobs.row_hashes import row_hashes
from jobs.sources.hits import NOBODY

IDS = ("device", "user", "trace_id", "visit", "decision_id", "draw_id", "order_id")
NO_DAY = -(2**31)


def told_apart(
    events: pa.RecordBatch, answers: Answers, subject_buckets: int, schema: pa.Schema
) -> pa.RecordBatch:
    """Say whose event may be known, take every id from the others, and give all their bucket."""
    subject, event_id = events["subject"], events["event_id"]
    granted = answers.granted(subject, copies.integers(events["event_date"], NO_DAY))
    is_known = pc.and_kleene(pa.array(granted), pc.not_equal(subject, NOBODY))
    is_unasked = pc.and_(pc.is_valid(events["_reason"]), pc.is_null(subject))
    keeps_ids = pc.fill_null(pc.or_kleene(is_known, is_unasked), False)
    made = {name: pc.if_else(keeps_ids, events[name], None) for name in IDS}
    made["event_id"] = pc.if_else(keeps_ids, event_id, _own_ids(event_id, keeps_ids))
    made["subject"] = pc.if_else(keeps_ids, subject, NOBODY)
    made["subject_bucket"] = pc.if_else(
        keeps_ids, _buckets(subject, subject_buckets), _any_bucket(event_id, subject_buckets)
    )
    made["is_consented"] = is_known
    return pa.RecordBatch.from_arrays(
        [made[name] if name in made else events[name] for name in schema.names], schema=schema
    )


def by_bucket(rows: pa.RecordBatch) -> tuple[Ints, Ints, Ints]:
    """Place events, as pieces are, in the partition of their day and bucket; of none, in the first."""
    days, buckets = copies.integers(rows["_day"], 0), copies.integers(rows["subject_bucket"], 0)
    return np.arange(len(rows)), days, buckets


def _own_ids(event_ids: pa.Array, keeps_ids: pa.Array) -> pa.Array:
    """A name for each event that does not keep its own, from which nothing can be told."""
    named = zip(event_ids.to_pylist(), keeps_ids.to_pylist(), strict=True)
    hidden = [
        None if keeps or one is None else f"{NOBODY}-{sha256(one.encode()).hexdigest()[:32]}"
        for one, keeps in named
    ]
    return pa.array(hidden, pa.string())


def _buckets(subjects: pa.Array, buckets: int) -> pa.Array:
    numbers, distinct = copies.codes(subjects)
    of = [0 if one == NOBODY else subject_bucket(one, buckets) for one in distinct.to_pylist()]
    return pa.array(np.append(of, 0)[numbers], pa.int32(), mask=numbers < 0)


def _any_bucket(event_ids: pa.Array, buckets: int) -> pa.Array:
    return pa.array(row_hashes([event_ids]).view(np.int64) % buckets, pa.int32())
