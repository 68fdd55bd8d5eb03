"""product_vectors: one row per product and day on which its catalogue entry changed.

Vectors of a version are fitted once, on the catalogue as of the day that conf/ names: other products are
folded in by the same fit, which is made again from that day's catalogue when it is needed, alike to the bit,
in whatever order days are loaded. A day without changes costs nothing.

Reads   products, of every day
Writes  product_vectors, partition changed_date
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import maps
from jobs.config import ConfigError
from jobs.contracts import contract
from jobs.shell import Job, State
from jobs.sources import changes
from ml.vectors import CatalogueVectors, documents

Batches = Iterator[pa.RecordBatch]


def build(
    products: DataFrame,
    *,
    days: Sequence[date],
    version: str,
    fitted_on: date,
    fitted_products: int,
    dimensions: int,
    texts: Sequence[str],
    attributes: Sequence[str],
    seed: int,
) -> DataFrame:
    """Fit on the catalogue of one day and give each product that changed its vector."""
    about = contract("product_vectors")
    changed = products.where(F.col("changed_date").isin(list(days)))
    if changed.isEmpty():
        return products.sparkSession.createDataFrame([], about.ddl)
    names = [*texts, *attributes]
    known = changes.valid(products, "product_id").where(
        (F.col("valid_from") <= F.lit(fitted_on))
        & (F.col("valid_until") > F.lit(fitted_on))
        & ~F.col("is_deleted")
    )
    # A bounded, seeded sample comes to the driver: what a product is chosen by has nothing to do with it.
    sample = (
        known.orderBy(F.xxhash64("product_id", F.lit(seed)), "product_id")
        .limit(fitted_products)
        .select(*names)
    )
    model = CatalogueVectors(dimensions, seed=seed)
    try:
        model.fit(_documents(sample.toArrow(), texts, attributes))
    except ValueError as error:
        raise ConfigError(f"conf: jobs.product_vectors, catalogue of {fitted_on}: {error}") from None
    return changed.select("product_id", "changed_date", "is_deleted", *names).mapInArrow(
        _kernel(model, texts, attributes, version, about.arrow_schema.remove_metadata()), about.ddl
    )


def _kernel(
    model: CatalogueVectors, texts: Sequence[str], attributes: Sequence[str], version: str, schema: pa.Schema
) -> Callable[[Batches], Batches]:
    def transform(batches: Batches) -> Batches:
        for batch in batches:
            vectors = model.transform(_documents(pa.Table.from_batches([batch]), texts, attributes))
            columns = {
                "version": pa.array([version] * batch.num_rows, pa.string()),
                "vector": maps.lists(vectors, batch.num_rows),
            }
            own = ("product_id", "changed_date", "is_deleted")
            columns |= {name: batch.column(name) for name in own}
            arrays = [columns[field.name].cast(field.type) for field in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return transform


def _documents(rows: pa.Table, texts: Sequence[str], attributes: Sequence[str]) -> list[str]:
    whole = {name: rows[name].to_pylist() for name in attributes}
    return documents([rows[name].to_pylist() for name in texts], whole)


JOB = Job(build, reads=(State("products"),), writes="product_vectors")

if __name__ == "__main__":
    JOB.main()
