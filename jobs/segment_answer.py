"""A person's answer about a segmentation, checked against what was fitted: plain rows in, a verdict out.

An answer is what Airflow keeps of a human-in-the-loop task: chosen_options (Approve or Reject), params_input
(chosen_k: empty for the suggested one; names: one by segment in the report's order, empty for those
suggested; why), responded_by_user and responded_at. After a time-out nobody responded: that is a verdict of
cannot tell.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from pydantic import Field, ValidationError

from jobs.config import Segmentation, Strict
from jobs.publish import Stopped
from jobs.releases import APPROVED, REFUSED, SEGMENTATION, UNDECIDED, Release, newest
from jobs.segment_request import request

READS = ("segmentations", "segment_profiles", "releases")
APPROVE = "Approve"
MEASURES = ("silhouette", "shuffled_silhouette", "stability", "smallest_share")

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


class Choices(Strict):
    """What the person entered."""

    chosen_k: int | None = None
    names: list[str] | None = None
    why: str | None = None


class Answer(Strict, extra="ignore"):
    """The answer as Airflow keeps it."""

    chosen_options: list[str] = Field(min_length=1, max_length=1)
    params_input: Choices = Choices()
    responded_by_user: dict[str, Any] | None = None
    responded_at: datetime

    @property
    def by(self) -> str:
        """Who answered."""
        user = self.responded_by_user or {}
        return str(user.get("name") or user.get("id") or "nobody")


def verdict(
    rows: Rows,
    day: date,
    dag_run: str | None,
    *,
    segmentation_specs: Mapping[str, Segmentation],
    segmentation: str,
    seed: int,
    answer: dict[str, Any],
    k: int | str | None = None,
    roles: list[str] | None = None,
    columns: list[str] | None = None,
) -> Release:
    """Turn an answer into a verdict.

    Raises
    ------
    Stopped
        When the answer cannot be taken: a k that was not fitted, names that are too few or given twice, or
        another version was approved since, so that names and migration in the report are out of date.

    """
    asked = request(segmentation_specs, segmentation, seed=seed, k=k, roles=roles, columns=columns)
    name = asked.name(day)
    fitted = {row["k"]: row for row in rows["segmentations"] if row["request"] == name}
    if not fitted:
        raise Stopped(f"Nothing was fitted for {name}: run segmentations and segment_profiles first.")
    said = _answer(answer)
    when = said.responded_at.astimezone(UTC)
    release = partial(
        Release, SEGMENTATION, asked.segmentation, as_of_date=day, decided_at=when, dag_run=dag_run
    )
    why = (said.params_input.why or "").strip()
    if said.chosen_options != [APPROVE]:
        if said.responded_by_user is None:
            told = "Nobody answered in time."
            return release(version=name, verdict=UNDECIDED, why=told, decided_by="time-out")
        told = why or "Rejected without a reason."
        return release(version=name, verdict=REFUSED, why=told, decided_by=said.by)
    chosen = fitted[_chosen(said.params_input.chosen_k, fitted)]
    version = chosen["segmentation_version"]
    profiles = [row for row in rows["segment_profiles"] if row["segmentation_version"] == version]
    others = [row for row in rows["releases"] if not row["version"].startswith(name)]
    _require_current(profiles, others, asked.segmentation, version)
    names = _names(said.params_input.names or [], profiles, version)
    return release(
        version=version,
        verdict=APPROVED,
        why=why or _why(chosen),
        decided_by=said.by,
        details={str(number): text for number, text in enumerate(names)},
        measures={measure: float(chosen[measure]) for measure in MEASURES},
    )


def _answer(answer: Mapping[str, Any]) -> Answer:
    try:
        return Answer.model_validate(answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Stopped(f"The answer cannot be read: {where} = {first['input']!r}: {first['msg']}.") from None


def _chosen(k: int | None, fitted: Mapping[int, Mapping[str, Any]]) -> int:
    if k is None:
        suggested = [number for number, row in fitted.items() if row["is_suggested"]]
        if not suggested:
            raise Stopped(
                "No k was suggested, since there is no structure: to approve one anyway, enter chosen_k."
            )
        return suggested[0]
    if k not in fitted:
        raise Stopped(f"k = {k} was not fitted: choose one of {', '.join(map(str, sorted(fitted)))}.")
    return k


def _names(given: Sequence[str], profiles: Sequence[Mapping[str, Any]], version: str) -> list[str]:
    ordered = sorted(profiles, key=lambda row: row["segment"])
    names = [name.strip() for name in given if name.strip()]
    if not names:
        names = [row["suggested_name"] for row in ordered]
    if len(names) != len(ordered):
        raise Stopped(
            f"{len(names)} names were given for the {len(ordered)} segments of {version}: give one for each,"
            " in the report's order, or none to take those suggested."
        )
    folded = [name.casefold() for name in names]
    for name in names:
        if folded.count(name.casefold()) > 1:
            raise Stopped(f"The name {name!r} is given twice: each segment needs its own.")
    return names


def _require_current(
    profiles: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    segmentation: str,
    version: str,
) -> None:
    """Refuse when the last approved of other requests is not the one that the profile was compared with."""
    if not profiles:
        raise Stopped(f"{version} has no profile: run segment_profiles first.")
    last = newest(row for row in others if row["kind"] == SEGMENTATION).get(segmentation)
    against = profiles[0]["against"]
    if last and last["version"] != against:
        compared = f"was compared with {against}" if against else "was compared with none"
        raise Stopped(
            f"{version} {compared}, but {last['version']} has been approved since, by {last['decided_by']}:"
            " start the segmentation again, so that names and migration follow from it."
        )


def _why(chosen: Mapping[str, Any]) -> str:
    if chosen["is_suggested"]:
        return f"As suggested. {chosen['reason']}"
    return f"k = {chosen['k']} was chosen by hand. Suggestion: {chosen['reason']}"
