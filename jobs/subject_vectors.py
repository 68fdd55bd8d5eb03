"""subject_vectors: one row per subject, day and version: what its interactions of the day add to its vector.

A subject's vector on any day is Σ sums / Σ weight over the days before it, of one version: the mean of the
vectors of the products it bought, put into the basket or looked at, weighted by kind (conf/). What a device
did logged out stays the device's, and is added to the user's on the day of the login that made it known
(`jobs.identities`).

Reads   outcomes and identities back to `owned_within_days`, order_lines of the days, product_vectors until
then
Writes  subject_vectors, partition vector_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import maps
from jobs.config import ConfigError, Consent
from jobs.consent import with_consent
from jobs.contracts import contract
from jobs.identities import owners
from jobs.merged import gathered
from jobs.shell import Days, Job, Until
from jobs.sources import changes

ROWS_AT_ONCE = 50_000
LONGEST_OWNED = 28
LOOKED = ("detail", "basket")
PURCHASE = "purchase"


def build(
    outcomes: DataFrame,
    identities: DataFrame,
    order_lines: DataFrame,
    product_vectors: DataFrame,
    consents: DataFrame,
    *,
    days: Sequence[date],
    weights: Mapping[str, float],
    owned_within_days: int,
    subject_buckets: int,
    consent: Consent,
) -> DataFrame:
    """Weigh each product that a subject dealt with, and add up their vectors."""
    _check(weights, owned_within_days)
    weight = F.coalesce(*(F.when(F.col("kind") == kind, F.lit(weights.get(kind, 0.0))) for kind in LOOKED))
    looked = outcomes.where(F.col("kind").isin(*LOOKED)).select(
        "subject", F.col("outcome_date").alias("day"), "product_id", weight.alias("weight")
    )
    bought = order_lines.select(
        "subject",
        F.col("order_date").alias("day"),
        "product_id",
        F.lit(weights.get(PURCHASE, 0.0)).alias("weight"),
    )
    agreed = with_consent(bought, consents, consent, subject="subject", day="day").where("is_consented")
    owned = owners(looked, identities, day="day", within_days=owned_within_days)
    own = looked.unionByName(agreed.drop("is_consented")).withColumn("vector_date", F.col("day"))
    dealt = own.unionByName(owned.withColumnRenamed("owned_date", "vector_date"))
    by_product = (
        dealt.where(
            F.col("vector_date").isin(list(days)) & F.col("product_id").isNotNull() & (F.col("weight") > 0)
        )
        .groupBy("subject", "vector_date", "product_id")
        .agg(F.sum("weight").alias("weight"))
    )
    about = contract("subject_vectors")
    known = _with_vectors(by_product, product_vectors).withColumn(
        "subject_bucket", changes.bucket(F.col("subject"), subject_buckets)
    )
    return (
        known.repartition("subject")
        .sortWithinPartitions("subject", "vector_date", "version")
        .mapInArrow(partial(_sum, schema=about.arrow_schema.remove_metadata()), about.ddl)
    )


def _check(weights: Mapping[str, float], owned_within_days: int) -> None:
    where = "conf: jobs.subject_vectors"
    for kind, weight in weights.items():
        if kind not in (*LOOKED, PURCHASE) or weight < 0 or weight * 4 != round(weight * 4):
            known = "detail, basket and purchase, each a multiple of 1/4"
            raise ConfigError(f"{where}.weights.{kind} = {weight} cannot be: give {known}.")
    if owned_within_days > LONGEST_OWNED:
        raise ConfigError(
            f"{where}.owned_within_days = {owned_within_days} cannot be: {LONGEST_OWNED} days are read."
        )


def _with_vectors(dealt: DataFrame, product_vectors: DataFrame) -> DataFrame:
    """Add each product's vector as of the day; one without is left out."""
    held = changes.valid(product_vectors, "product_id").select(
        F.col("product_id").alias("_of"), "version", "vector", "valid_from", "valid_until"
    )
    day = F.col("vector_date")
    of_the_day = (
        (F.col("product_id") == F.col("_of")) & (day >= F.col("valid_from")) & (day < F.col("valid_until"))
    )
    return dealt.join(held, of_the_day, how="inner").select(
        "subject", "vector_date", "version", "weight", "vector"
    )


def _sum(batches: Iterator[pa.RecordBatch], *, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows in gathered(batches, ROWS_AT_ONCE):
        yield from _sums(rows.combine_chunks(), schema).to_batches()


def _sums(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add up rows of equal subject, day and version, which follow each other."""
    same = np.zeros(rows.num_rows, dtype=np.int64)
    for name in ("subject", "vector_date", "version"):
        codes = rows[name].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        same |= np.diff(codes, prepend=-1) != 0
    starts = np.flatnonzero(same)
    weight = rows["weight"].to_numpy()
    vectors = rows["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    # Products of a grid and quarters: the sums are exact, whatever the order of a subject's rows.
    weighed = vectors.reshape(rows.num_rows, -1).astype(np.float64) * weight[:, None]
    sums = np.add.reduceat(weighed, starts)
    first = pa.array(starts)
    columns = {
        name: rows[name].take(first) for name in ("subject", "subject_bucket", "vector_date", "version")
    }
    columns["weight"] = pa.array(np.add.reduceat(weight, starts))
    columns["sums"] = maps.lists(sums, len(starts))
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


JOB = Job(
    build,
    reads=(
        Days("outcomes", before=LONGEST_OWNED),
        Days("identities", before=LONGEST_OWNED),
        Days("order_lines"),
        Until("product_vectors"),
        Until("consents"),
    ),
    writes="subject_vectors",
)

if __name__ == "__main__":
    JOB.main()
