"""Who asked to be forgotten: kept out of every table that names persons, found by its contract's marks."""

from functools import partial, reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import pieces
from jobs.contracts import Contract
from jobs.sources import changes
from jobs.tables import Tables

TABLE = "erasures"
PSEUDONYM = "([a-z0-9]{1,8}-[0-9a-f]{32})"
TAIL = "-([0-9a-f]{16})$"
REASON = "a row must not be of who asked to be forgotten"


def turned_away(built: DataFrame, about: Contract, tables: Tables, spark: SparkSession) -> DataFrame:
    """Turn away the rows of who is in `erasures`, and take their name out of the rows of others.

    A row whose own id ends with their pseudonym's digits is theirs too: a recruit, what a device did.

    As they are now, whatever a DAG run has pinned: nobody comes back by a backfill.
    """
    if not about.pseudonyms("own", "other", "tail") or not tables.exists(TABLE) or not tables.files(TABLE):
        return built
    if pieces.are(built):
        erased = tables.read(TABLE, columns=["subject"])["subject"].combine_chunks().unique()
        return pieces.changed(built, partial(without_pieces, about=about, erased=erased))
    listed = spark.read.format("delta").load(tables.path(TABLE)).select("subject").distinct()
    return without(built, about, listed)


def without(built: DataFrame, about: Contract, erased: DataFrame) -> DataFrame:
    """Give the rows of the erased their reason; `erased` has their `subject`."""
    own = [name for name in about.pseudonyms("own", "tail") if name in built.columns]
    other = [name for name in about.pseudonyms("other") if name in built.columns]
    columns = built.columns
    for name in (*own, *other):
        is_tail = name in about.pseudonyms("tail")
        subject = changes.tail("subject") if is_tail else F.col("subject")
        listed = erased.select(subject.alias(_flag(name))).distinct()
        found = pseudonym(name, TAIL if is_tail else PSEUDONYM)
        built = built.join(F.broadcast(listed), found == F.col(_flag(name)), how="left")
    is_erased = [F.col(_flag(name)).isNotNull() for name in own]
    given = F.col("_reason") if "_reason" in columns else F.lit(None).cast("string")
    reason = F.coalesce(*[F.when(erased_is, F.lit(REASON)) for erased_is in is_erased], given)
    hidden = {
        name: F.when(F.col(_flag(name)).isNotNull(), F.lit(None)).otherwise(F.col(name)) for name in other
    }
    flags = [_flag(name) for name in (*own, *other)]
    return built.withColumns({**hidden, "_reason": reason}).drop(*flags)


def without_pieces(rows: pa.RecordBatch, about: Contract, erased: pa.Array) -> pa.RecordBatch:
    """Do the same to rows of Arrow; `erased` are subjects."""
    is_theirs, changed = found_in(rows, about, erased)
    changed["_reason"] = pc.if_else(is_theirs, REASON, rows["_reason"])
    return pa.RecordBatch.from_arrays(
        [changed.get(name, rows[name]) for name in rows.schema.names], schema=rows.schema
    )


def found_in(
    rows: pa.RecordBatch | pa.Table, about: Contract, erased: pa.Array
) -> tuple[pa.Array | pa.ChunkedArray, dict[str, pa.Array | pa.ChunkedArray]]:
    """Tell which rows are of the erased; return what is left of the columns that name them in others."""
    found = {
        name: is_among(rows[name], erased, is_tail=name in about.pseudonyms("tail"))
        for name in about.pseudonyms("own", "tail", "other")
        if name in rows.schema.names
    }
    left = {
        name: pc.if_else(found.pop(name), pa.scalar(None, pa.string()), rows[name])
        for name in about.pseudonyms("other")
        if name in found
    }
    return reduce(pc.or_, found.values(), pa.repeat(pa.scalar(False), rows.num_rows)), left


def is_among(
    column: pa.ChunkedArray | pa.Array, erased: pa.Array, *, is_tail: bool = False
) -> pa.ChunkedArray | pa.Array:
    """Tell of each value whether it is, or holds, the pseudonym of an erased person, or ends with its end."""
    form, wanted = (TAIL, changes.tails(erased)) if is_tail else (PSEUDONYM, erased)
    named = pc.struct_field(pc.extract_regex(column, form.replace("(", "(?P<id>", 1)), "id")
    return pc.fill_null(pc.is_in(named, value_set=wanted), False)


def pseudonym(name: str, form: str = PSEUDONYM) -> Column:
    """The pseudonym in a column's values: a value may be one, or hold one, or (TAIL) the end of one."""
    return F.regexp_extract(F.col(f"`{name}`"), form, 1)


def _flag(name: str) -> str:
    return f"_erased_{name}"
