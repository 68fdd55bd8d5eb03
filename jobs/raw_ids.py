"""Raw ids: what the lake still holds of them, as the pseudonyms that two keys make of each.

Sources are read as their jobs read them, through a door that gives both names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import consents, erasures, inputs, orders, users
from jobs.config import Config
from jobs.inputs import Lake
from jobs.sources import ga4, otlp, records
from jobs.sources.hits import Door

FORMS = (("otlp", otlp.parse), ("ga4", ga4.parse))
RECORDS = {
    "consents": consents.CONSENT,
    "erasures": erasures.ERASURE,
    "orders": orders.ORDER,
    "users": users.USER,
}
"""The sources that name raw ids, beside those of events."""


@dataclass(frozen=True)
class BothKeys(Door):
    """A door that gives each raw id both its pseudonyms, before and now, with a blank between."""

    key_before: bytes = b""
    key_id_before: str = ""

    def pseudonym(self, kind: str, raw: str) -> str:
        """Return the pseudonyms of a raw id."""
        before = Door(self.key_before, self.key_id_before).pseudonym(kind, raw)
        return f"{before} {super().pseudonym(kind, raw)}"


def names_of_lake(spark: SparkSession, config: Config) -> DataFrame:
    """Return every pseudonym that the lake's raw ids have: grain one raw id (before, now)."""
    ids = config.ids
    door = BothKeys(ids.key, ids.key_id, (), ids.key_before, str(ids.before))
    # No file of a source: nothing to read.
    readers = [(Lake(form, table="events", form=form), parse, ["device", "user"]) for form, parse in FORMS]
    readers += [
        (
            Lake(table),
            partial(records.parse, record=record),
            [field.name for field in record.fields if field.id_of],
        )
        for table, record in RECORDS.items()
    ]
    listed = [(inputs.all_files(config, lake), parse, named) for lake, parse, named in readers]
    pairs = [
        _pairs(parse(inputs.frame_of_files(spark, files), door=door), named)
        for files, parse, named in listed
        if files
    ]
    if not pairs:
        return spark.createDataFrame([], "before string, now string")
    both = F.split("pair", " ")
    return (
        reduce(DataFrame.unionByName, pairs).distinct().select(both[0].alias("before"), both[1].alias("now"))
    )


def _pairs(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    return rows.select(F.explode(F.array_compact(F.array(*columns))).alias("pair")).distinct()
