"""Drawing, a row at a time: what cannot be scored, and that no row looks at those beside it."""

from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from jobs.config import FeatureSet, Policy
from jobs.contracts import contract
from jobs.drawing import PageRules, draw_pages
from jobs.staging import accept
from tests.jobs.test_page_filters import CANDIDATES, DAY, KNOWN, LABELS, page, subjects

ABOUT = FeatureSet.model_validate(
    {
        "name": "f",
        "page": "home",
        "action": [],
        "context": [{"name": "intercept"}, {"name": "sales", "missing": 0.0}],
    }
)
SPEC = Policy(name="p", page="home", algorithm="linucb", feature_set="f", ridge=1.0, alpha=0.1)


def drawn(sales: list[float]) -> pa.RecordBatch:
    """Draw five rows, the last a default, whose subjects spent so much."""
    theta = np.random.default_rng(2).normal(size=10)
    row = {"policy_version": "p@1", "spec_digest": SPEC.digest, "widgets": CANDIDATES, "worths": None,
           "theta": theta, "covariance": np.tile([1.0, 0.0, 1.0], 5)}  # fmt: skip
    rules = PageRules(page(), SPEC, ABOUT, 1, "live", {DAY: row}, {DAY: CANDIDATES}, {DAY: LABELS})
    rows = subjects(KNOWN)
    names = pa.array(["s0", "s1", "s2", "s3", "default:home:00"])
    maps = pa.array([[("sales", value)] for value in sales], rows.schema.field("features").type)
    for name, values in (("subject", names), ("features", maps)):
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    (found,) = draw_pages(iter([rows]), rules=[rules], schema=contract("layouts").arrow_schema)
    return found


def test_who_cannot_be_scored_is_refused_and_told_and_a_default_is_drawn_from_equals(
    spark: SparkSession,
) -> None:
    broken, whole = drawn([1.0, np.inf, 2.0, 3.0, np.inf]), drawn([1.0, 1.0, 2.0, 3.0, 1.0])
    rows, sound = broken.to_pylist(), whole.to_pylist()
    assert [rows[at] for at in (0, 2, 3)] == [sound[at] for at in (0, 2, 3)]
    assert np.isnan(rows[1]["scores"]).all()
    assert rows[4]["scores"] == [0.0] * 3
    assert np.allclose(rows[4]["propensities"], [1 / 5, 1 / 4, 1 / 3])
    judged = accept(spark.createDataFrame(pa.Table.from_batches([broken])), contract("layouts"), [DAY])
    reasons: dict[str, Any] = {
        row["subject"]: row["_reason"] for row in judged.select("subject", "_reason").collect()
    }
    assert [name for name, why in reasons.items() if why] == ["s1"]
    assert reasons["s1"].startswith("a score is a number")
