"""products: one row per product and day on which something about it changed.

Reads   the lake's products that arrived on the interval's days
Writes  products, partition changed_date (the day of arrival)
On failure, mend the cause and clear the task: a rerun replaces the same partitions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.config import Ids
from jobs.shell import Job, Lake
from jobs.sources import changes, records
from jobs.sources.hits import Door
from jobs.sources.records import Field, Record

PRODUCT = Record(
    (
        Field("product_id"),
        Field("name"),
        Field("department"),
        Field("category"),
        Field("type"),
        Field("brand"),
        Field("size"),
        Field("manufacturer"),
        Field("is_deleted", "boolean", optional=True),
    )
)


def build(
    products: DataFrame, *, ids: Ids, excluded_departments: list[str], excluded_categories: list[str]
) -> DataFrame:
    """Take over the changes of each day; what lies in an excluded group, or in none, is no merchandise."""
    arrived = records.parse(products, PRODUCT, Door(ids.key, ids.key_id))
    excluded = F.col("department").isin(excluded_departments) | F.col("category").isin(excluded_categories)
    grouped = F.col("category").isNotNull() & F.col("type").isNotNull()
    changed = arrived.select(
        "product_id",
        F.col("arrival_date").alias("changed_date"),
        "name",
        "department",
        "category",
        "type",
        "brand",
        "size",
        "manufacturer",
        (grouped & ~F.coalesce(excluded, F.lit(False))).alias("is_merchandise"),
        F.coalesce("is_deleted", F.lit(False)).alias("is_deleted"),
        *changes.NOTES,
    )
    return changes.newest(changed, "product_id", "changed_date")


JOB = Job(build, reads=(Lake("products"),), writes="products")

if __name__ == "__main__":
    JOB.main()
