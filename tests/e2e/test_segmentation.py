"""A person approves segments in a browser: only then do they exist, with the names that were entered."""

import requests

from jobs.house import process
from tests.e2e.nights import LAST, rows

NAMES = {0: "regulars", 1: "gone quiet"}


def test_segments_exist_once_a_person_approved_them_in_the_browser(api, person, lived_in, lake_etl):
    body = {"logical_date": None, "conf": {"k": "2-3"}, "dag_run_id": "by_hand"}
    api.call("POST", "dags/segmentation/dagRuns", json=body)
    assert process.wait_until(
        lambda: api.task_states("segmentation", "by_hand")["approval"] == "awaiting_input",
        lambda: api.run_state("segmentation", "by_hand") != "failed",
        seconds=600,
    ), api.failure("segmentation", "by_hand")
    fitted = rows(lived_in, "segmentations", "k", "as_of_date", "subjects")
    # The newest day whose features are there.
    assert [(row["k"], row["as_of_date"]) for row in sorted(fitted, key=lambda row: row["k"])] == [
        (2, LAST),
        (3, LAST),
    ]
    assert rows(lived_in, "segments") == []
    assert requests.get(f"{api.address}/vitrine/reports", timeout=30, proxies={"http": ""}).status_code == 401

    entered = {"chosen_k": "2", "names": "\n".join(NAMES.values()), "why": "they need other pages"}
    title = person.answer("segmentation", "by_hand", "approval", "Approve", **entered)
    assert title == "Segments rfm, 20 August 2017 · Vitrine"
    assert api.wait("segmentation", "by_hand", seconds=600) == "success", api.failure(
        "segmentation", "by_hand"
    )

    [verdict] = [row for row in rows(lived_in, "releases") if row["kind"] == "segmentation"]
    assert (verdict["name"], verdict["verdict"]) == ("rfm", "yes")
    assert (verdict["decided_by"], verdict["why"]) == (api.login, "they need other pages")
    assert verdict["version"].endswith("-k2")
    segments = rows(lived_in, "segments")
    assert len(segments) == fitted[0]["subjects"]
    assert {(row["segment"], row["name"]) for row in segments} == set(NAMES.items())
    assert {row["segmentation_version"] for row in segments} == {verdict["version"]}
