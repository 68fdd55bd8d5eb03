"""What an export keeps of feature flags: their rules, and of each subject what rules ask for.

Reads   subject_features of the night (role, region), and segments of it where a rule names one: those of the
        day before where the night has none yet
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.config import Config
from jobs.store.content import ROWS, bounded
from jobs.store.flags import FORMAT

Rows = Callable[[str, Sequence[str], ds.Expression], pa.RecordBatchReader]

SCHEMA = pa.schema(
    [
        ("subject", pa.string()),
        ("role", pa.string()),
        ("region", pa.string()),
        ("segments", pa.list_(pa.string())),
    ]
)


def rules(config: Config) -> dict[str, Any]:
    """Return the value of the key `versions`; nothing where there are no flags."""
    if not config.flags:
        return {}
    flags = {name: flag.told() for name, flag in sorted(config.flags.items())}
    return {"format": FORMAT, "seed": config.seed, "flags": flags}


def who(
    config: Config, rows: Rows, day: date, present: ds.Expression, *, whatever: bool = False
) -> pa.RecordBatchReader | None:
    """Open what rules ask of the night's subjects; None where no rule asks for anything.

    `whatever` opens all that rules could ask for, for flags that conf/ does not hold any more.
    """
    asked = [rule for flag in config.flags.values() for rule in flag.rules]
    if not whatever and not any(rule.roles or rule.regions or rule.segments for rule in asked):
        return None
    features = rows("subject_features", SCHEMA.names[:3], (ds.field("feature_date") == day) & present)
    segments = _segments(rows, day) if whatever or any(rule.segments for rule in asked) else None
    return pa.RecordBatchReader.from_batches(SCHEMA, _joined(features, segments))


def _segments(rows: Rows, day: date) -> pa.RecordBatchReader:
    names = ("subject", "segmentation", "name")
    for as_of in (day, day - timedelta(1)):
        where = ds.field("as_of_date") == as_of
        if next(iter(rows("segments", names, where)), None) is not None:
            break
    return rows("segments", names, where)


def _joined(
    features: pa.RecordBatchReader, segments: pa.RecordBatchReader | None
) -> Iterator[pa.RecordBatch]:
    """Put each subject's segments beside it, in bounded memory."""
    if segments is None:
        for batch in features:
            none = pa.nulls(len(batch), SCHEMA.field("segments").type)
            yield pa.RecordBatch.from_arrays([*batch.columns, none], schema=SCHEMA)
        return
    with TemporaryDirectory(prefix="vitrine-") as scratch, bounded(scratch) as connection:
        named = connection.from_arrow(segments).aggregate(
            "subject, list(segmentation || ': ' || name) as segments", "subject"
        )
        joined = connection.from_arrow(features).join(named, "subject", how="left")
        for batch in joined.select(*SCHEMA.names).to_arrow_reader(ROWS):
            yield batch.cast(SCHEMA)
