"""releases: a person's answer becomes a verdict, or one sentence that says why it cannot be taken."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from jobs import runs
from jobs.config import load
from jobs.publish import Stopped
from jobs.releases import Release, newest, record, run_release
from jobs.segment_answer import verdict
from jobs.segment_request import request
from jobs.shell import Ask, with_arguments
from jobs.tables import Tables
from tests.jobs.conftest import SEGMENT_DAY, segment_spec

AT = datetime(2017, 11, 1, 12, tzinfo=UTC)
OPERATOR = {"id": "operator", "name": "operator"}
ASKED = request({"rfm": segment_spec()}, "rfm", seed=7)
SUGGESTED = ("core", "fading", "small", "rest")


def row(k: int, **more: Any) -> dict[str, Any]:
    about = {
        "segmentation_version": ASKED.version(SEGMENT_DAY, k),
        "request": ASKED.name(SEGMENT_DAY),
        "k": k,
        "is_suggested": k == 3,
        "reason": "k = 3: it is stable.",
        "silhouette": 0.4,
        "shuffled_silhouette": 0.2,
        "stability": 0.9,
        "smallest_share": 0.1,
    }
    return {**about, **more}


def profile(k: int, segment: int, against: str | None = None) -> dict[str, Any]:
    return {
        "segmentation_version": ASKED.version(SEGMENT_DAY, k),
        "segment": segment,
        "suggested_name": SUGGESTED[segment],
        "against": against,
    }


def tables(**more: Any) -> dict[str, list[dict[str, Any]]]:
    profiles = [profile(k, segment) for k in (2, 3, 4) for segment in range(k)]
    return {
        "segmentations": [row(k) for k in (2, 3, 4)],
        "segment_profiles": profiles,
        "releases": [],
        **more,
    }


def answered(
    option: str = "Approve", *, by: dict[str, str] | None = OPERATOR, rows: Any = None, **entered: Any
) -> Release:
    answer = {"chosen_options": [option], "params_input": entered, "responded_by_user": by}
    return verdict(
        rows or tables(),
        SEGMENT_DAY,
        "segmentation/manual__1",
        segmentation_specs={"rfm": segment_spec()},
        segmentation="rfm",
        seed=7,
        answer={**answer, "responded_at": AT.isoformat()},
    )


def test_an_empty_approval_takes_what_is_suggested() -> None:
    release = answered()
    assert (release.verdict, release.version) == ("yes", ASKED.version(SEGMENT_DAY, 3))
    assert (release.decided_by, release.decided_at, release.name) == ("operator", AT, "rfm")
    assert release.details == {"0": "core", "1": "fading", "2": "small"}
    assert release.measures["stability"] == 0.9
    assert release.why == "As suggested. k = 3: it is stable."
    assert release.dag_run == "segmentation/manual__1"


def test_another_k_and_names_may_be_chosen() -> None:
    release = answered(chosen_k=2, names=["Stammgäste ", "", "late"], why=" they differ ")
    assert release.version == ASKED.version(SEGMENT_DAY, 2)
    assert release.details == {"0": "Stammgäste", "1": "late"}
    assert release.why == "they differ"
    assert answered(chosen_k=4).why == "k = 4 was chosen by hand. Suggestion: k = 3: it is stable."


def test_a_rejection_and_silence_are_kept_too() -> None:
    refused = answered("Reject", why="k is too small")
    assert (refused.verdict, refused.version) == ("no", ASKED.name(SEGMENT_DAY))
    assert (refused.why, refused.decided_by, refused.details) == ("k is too small", "operator", {})
    silence = answered("Reject", by=None)
    assert (silence.verdict, silence.decided_by) == ("cannot tell", "time-out")
    assert silence.why == "Nobody answered in time."


OTHER = {
    "kind": "segmentation",
    "name": "rfm",
    "version": "rfm@2017-10-01-aaaaaa-k4",
    "verdict": "yes",
    "decided_by": "ana",
    "decided_at": datetime(2017, 10, 31, tzinfo=UTC),
}
CANNOT = {
    "a k that was not fitted": ({"chosen_k": 9}, "k = 9 was not fitted: choose one of 2, 3, 4."),
    "too few names": (
        {"names": ["a", "b"]},
        (
            f"2 names were given for the 3 segments of {ASKED.version(SEGMENT_DAY, 3)}: give one for each, in"
            " the report's order, or none to take those suggested."
        ),
    ),
    "a name twice": (
        {"names": ["a", "b", "A"]},
        "The name 'a' is given twice: each segment needs its own.",
    ),
    "no structure": (
        {"rows": tables(segmentations=[row(2), row(3, is_suggested=False)])},
        "No k was suggested, since there is no structure: to approve one anyway, enter chosen_k.",
    ),
    "two waited at once": (
        {"rows": tables(releases=[OTHER])},
        (
            f"{ASKED.version(SEGMENT_DAY, 3)} was compared with none, but rfm@2017-10-01-aaaaaa-k4 has been"
            " approved since, by ana: start the segmentation again, so that names and migration follow from"
            " it."
        ),
    ),
    "k is no number": (
        {"chosen_k": "four"},
        (
            "The answer cannot be read: params_input.chosen_k = 'four': Input should be a valid integer,"
            " unable to parse string as an integer."
        ),
    ),
    "nothing fitted": (
        {"rows": tables(segmentations=[])},
        f"Nothing was fitted for {ASKED.name(SEGMENT_DAY)}: run segmentations and segment_profiles first.",
    ),
}


@pytest.mark.parametrize(("entered", "sentence"), CANNOT.values(), ids=CANNOT)
def test_an_answer_that_cannot_be_taken_is_said(entered: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Stopped) as error:
        answered(**entered)
    assert str(error.value) == sentence


def test_the_version_it_was_compared_with_may_stand() -> None:
    profiles = [profile(3, segment, against=OTHER["version"]) for segment in range(3)]
    assert answered(rows=tables(releases=[OTHER], segment_profiles=profiles)).verdict == "yes"


def test_another_k_of_the_same_request_may_follow() -> None:
    earlier = {**OTHER, "version": ASKED.version(SEGMENT_DAY, 4)}
    assert answered(rows=tables(releases=[earlier])).version == ASKED.version(SEGMENT_DAY, 3)


def released(version: str, minute: int, verdict: str = "yes", **more: Any) -> Release:
    at = datetime(2017, 11, 1, 12, minute, tzinfo=UTC)
    about = {
        "kind": "model",
        "name": "churn",
        "as_of_date": date(2017, 10, 12),
        "why": "w",
        "decided_by": "gate",
    }
    return Release(**{**about, **more}, version=version, verdict=verdict, decided_at=at)


def test_a_verdict_is_kept_once_and_the_newest_yes_counts(home: Any) -> None:
    tables = Tables(str(home / "tables"))
    kept = [released("a", 1), released("b", 3), released("c", 2), released("d", 4, "no"), released("a", 1)]
    assert [record(tables, release) for release in kept] == [True, True, True, True, False]
    rows = tables.read("releases").to_pylist()
    assert sorted(row["version"] for row in rows) == ["a", "b", "c", "d"]
    found = newest(rows)["churn"]
    assert (found["version"], found["decided_at"]) == ("b", datetime(2017, 11, 1, 12, 3, tzinfo=UTC))
    assert newest(rows, "no")["churn"]["version"] == "d"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"kind": "banner"}, "A verdict is on a policy, model or segmentation, not on a 'banner'."),
        ({"verdict": "maybe"}, "A verdict is yes, no or cannot tell, not 'maybe'."),
    ],
)
def test_an_unknown_kind_or_verdict_is_refused(more: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        released("a", 1, **more)
    assert str(error.value) == sentence


def test_the_job_records_the_answer_with_its_manifest(home: Any) -> None:
    config = load()
    tables = Tables(config.tables)
    asked = request(config.segmentation_specs, "rfm", seed=config.seed, k="2-3")
    about = {"request": asked.name(SEGMENT_DAY), "as_of_date": SEGMENT_DAY, "segmentation": "rfm"}
    version = {"segmentation_version": asked.version(SEGMENT_DAY, 2)}
    tables.append("segmentations", [{**row(2), **about, **version, "is_suggested": True}])
    tables.append("segment_profiles", [{**profile(2, number), **about, **version} for number in range(2)])
    answer = (
        '{"chosen_options": ["Approve"], "params_input": {"chosen_k": null, "names": ["x", "y"]},'
        ' "responded_by_user": {"id": "7", "name": "ana"}, "responded_at": "2017-11-01T12:00:00+00:00"}'
    )
    given = ["segmentation=rfm", 'k="2-3"', "roles=null", f"answer={answer}"]
    ask = Ask(SEGMENT_DAY, date(2017, 10, 13), "segmentation/1")
    statuses = [run_release(ask, with_arguments(config, "releases", given)).status for _ in range(2)]
    assert statuses == ["published", "unchanged"]
    (found,) = tables.read("releases").to_pylist()
    assert (found["version"], found["decided_by"], dict(found["details"])) == (
        version["segmentation_version"],
        "ana",
        {"0": "x", "1": "y"},
    )
    assert [run["output_version"] for run in runs.of_job(tables, "releases")] == [1, 1]
