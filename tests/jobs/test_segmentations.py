"""segmentations: planted kinds are found and explained; what cannot be segmented is said in one sentence."""

from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.config import ConfigError
from jobs.publish import Stopped
from jobs.segment_request import request
from tests.jobs.conftest import SEGMENT_DAY, fit, planted, segment_spec
from tests.jobs.given import rows, table


def test_planted_kinds_are_found_measured_and_suggested(fitted: list[dict[str, Any]]) -> None:
    assert [row["k"] for row in fitted] == [2, 3, 4]
    three = fitted[1]
    assert three["is_suggested"]
    assert three["stability"] == 1.0
    assert three["smallest_share"] == pytest.approx(0.2)
    assert three["silhouette"] > 0.5 > three["shuffled_silhouette"]
    assert (three["subjects"], three["left_out"], three["sampled"]) == (300, 2, 300)
    assert three["reason"].startswith("k = 3: the most segments that come back")
    assert three["segmentation_version"] == f"{three['request']}-k3"
    assert three["request"].startswith("rfm@2017-10-12-")


def test_means_and_rules_are_those_of_the_kinds(fitted: list[dict[str, Any]]) -> None:
    three = fitted[1]
    means = np.array(three["means"]).reshape(3, 3)
    # Largest kind first: half of them frequent, then those who fade, then small baskets.
    assert np.allclose(means, [[2, 30, 20], [40, 4, 60], [5, 8, 5]], rtol=0.08)
    assert "visits_84 above" in three["rules"][0]
    assert "mean_sale above" in three["rules"][1] or "days since the last visit above" in three["rules"][1]
    assert all("holds 100% of the segment" in rule for rule in three["rules"])


def test_scaling_is_frozen_with_the_row(fitted: list[dict[str, Any]]) -> None:
    three = fitted[1]
    values = np.array([list(row["features"].values())[:3] for row in planted()[:300]])
    taken = {"log1p": np.log1p, "sqrt": np.sqrt, "identity": lambda column: column}
    z = np.stack([taken[name](values[:, j]) for j, name in enumerate(three["transforms"])], axis=1)
    assert np.allclose(z.mean(axis=0), three["centers"])
    assert np.allclose(z.std(axis=0), three["scales"])


def test_a_sample_is_seeded_and_the_same_on_any_split(spark: SparkSession, subjects: DataFrame) -> None:
    options = {"k": 3, "sample_rows": 100, "bootstraps": 1, "shuffles": 1}
    one, many = (rows(fit(spark, subjects.repartition(parts), **options)) for parts in (1, 13))
    assert one == many
    assert (one[0]["sampled"], one[0]["subjects"]) == (100, 300)


def test_other_requests_and_what_was_approved_are_handed_through(
    spark: SparkSession, fitted: list[dict[str, Any]], subjects: DataFrame
) -> None:
    mine = [{**row, "inertia": -1.0} for row in fitted]
    other = {
        **fitted[0],
        "segmentation": "tastes",
        "request": "tastes@x",
        "segmentation_version": "tastes@x-k2",
    }
    approved = {"kind": "segmentation", "verdict": "yes", "version": fitted[2]["segmentation_version"]}
    again = fit(
        spark,
        subjects,
        segmentations=table(spark, "segmentations", [*mine, other]),
        releases=table(spark, "releases", [approved]),
    )
    found = {row["segmentation_version"]: row["inertia"] for row in rows(again)}
    assert found == {
        **{row["segmentation_version"]: row["inertia"] for row in fitted[:2]},
        fitted[2]["segmentation_version"]: -1.0,
        "tastes@x-k2": fitted[0]["inertia"],
    }


NOT_SO = {
    "no such feature": (
        {"columns": ["visits_85", "recency"]},
        "There is no feature 'visits_85'; near are visits_84.",
    ),
    "constant": (
        {"columns": ["recency", "flat"]},
        "rfm as of 2017-10-12: The feature 'flat' is 1 for all 30 subjects: leave it out.",
    ),
    "NaN": (
        {"columns": ["recency", "gone"]},
        (
            "No subject has all of recency, gone on 2017-10-12: leave out the one without values, or say in"
            " conf/segmentations what stands for a missing one (missing: 0)."
        ),
    ),
    "empty role": (
        {"roles": ["recruiter"]},
        (
            "There is no subject of role recruiter in subject_features of 2017-10-12: name other roles, or"
            " another day."
        ),
    ),
    "k larger than subjects": (
        {"roles": ["consultant"], "k": 20, "columns": ["few"]},
        (
            "rfm:consultant as of 2017-10-12: k = 20 asks for more segments than there are different subjects"
            " (3): ask for fewer."
        ),
    ),
}


@pytest.mark.parametrize(("more", "sentence"), NOT_SO.values(), ids=NOT_SO)
def test_what_cannot_be_segmented_is_said(spark: SparkSession, more: dict[str, Any], sentence: str) -> None:
    subjects = planted(30)
    for number, row in enumerate(subjects):
        row["features"] = {**row["features"], "gone": float("nan"), "few": float(number % 3)}
    with pytest.raises(Stopped) as error:
        fit(spark, table(spark, "subject_features", subjects), **more)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"segmentation": "rfn"}, "There is no segmentation 'rfn'; conf/segmentations has rfm."),
        ({"k": "8-2"}, "rfm: k = '8-2' cannot be: give 2 to 20, the smaller number first."),
        ({"k": "many"}, "rfm: k = 'many' is neither a number of segments nor a range of them, as 2-8."),
        ({"columns": ["recency", "recency"]}, "The feature 'recency' is asked for twice."),
    ],
)
def test_a_request_that_cannot_be_is_refused(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        request({"rfm": segment_spec()}, **{"segmentation": "rfm", "seed": 1, **more})
    assert str(error.value) == sentence


def test_a_request_s_name_tells_what_differs() -> None:
    plain = request({"rfm": segment_spec()}, "rfm", seed=1)
    assert plain.counts == (2, 3, 4)
    assert plain.segmentation == "rfm"
    others = [
        request({"rfm": segment_spec()}, "rfm", seed=2),
        request({"rfm": segment_spec()}, "rfm", seed=1, k=3),
        request({"rfm": segment_spec()}, "rfm", seed=1, columns=["recency"]),
        request({"rfm": segment_spec()}, "rfm", seed=1, roles=["direct", "customer"]),
    ]
    assert len({asked.name(SEGMENT_DAY) for asked in [plain, *others]}) == 5
    assert others[3].segmentation == "rfm:customer+direct"


def test_proportions_divide_by_their_sum(spark: SparkSession) -> None:
    spec = segment_spec(
        features=[{"name": "share/cheese"}, {"name": "share/beef"}], proportions=True, needs=["recency"]
    )
    subjects = planted(60)
    for number, row in enumerate(subjects[:60]):
        cheese, volume = (0.8, 0.5, 0.2)[number % 3], 1 + number % 7
        row["widget_shares"] = {"cheese": cheese * volume, "beef": (1 - cheese) * volume}
    found = rows(fit(spark, table(spark, "subject_features", subjects), spec=spec, k=3))[0]
    means = np.array(found["means"]).reshape(3, 2)
    assert np.allclose(np.sort(means[:, 0]), [0.2, 0.5, 0.8])
    assert np.allclose(means.sum(axis=1), 1)
