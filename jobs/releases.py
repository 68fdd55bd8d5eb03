"""releases: one row per verdict on a policy, model or segmentation; only what has a yes goes live.

A verdict is data: who or what decided, and when, come from the decider, so the same verdict recorded twice
is one row. `record` is for every job that decides. Run as a job, it records a person's answer about a
segmentation: `vitrine run releases --from DAY --with segmentation=rfm --with answer=JSON`.

Reads   segmentations and segment_profiles of the day, releases
Writes  releases, one row more
On failure, read the sentence: the answer cannot be taken. Clear the task that asked, and answer anew.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

import pyarrow.dataset as ds

from jobs import shell
from jobs.config import Config
from jobs.runs import Run
from jobs.shell import Ask
from jobs.tables import Tables

POLICY, MODEL, SEGMENTATION = "policy", "model", "segmentation"
APPROVED, REFUSED, UNDECIDED = "yes", "no", "cannot tell"


@dataclass(frozen=True)
class Release:
    """A verdict."""

    kind: str
    name: str
    version: str
    as_of_date: date
    verdict: str
    why: str
    decided_by: str
    decided_at: datetime
    details: dict[str, str] = field(default_factory=dict)
    measures: dict[str, float] = field(default_factory=dict)
    dag_run: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in (POLICY, MODEL, SEGMENTATION):
            raise ValueError(f"A verdict is on a policy, model or segmentation, not on a {self.kind!r}.")
        if self.verdict not in (APPROVED, REFUSED, UNDECIDED):
            raise ValueError(f"A verdict is yes, no or cannot tell, not {self.verdict!r}.")

    @property
    def release_id(self) -> str:
        """Hash of what makes it this verdict."""
        parts = (self.kind, self.version, self.verdict, self.decided_by, self.decided_at.isoformat())
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()

    def row(self) -> dict[str, Any]:
        """The verdict as a row of its table."""
        row = {**asdict(self), "release_id": self.release_id}
        return {**row, "details": list(self.details.items()), "measures": list(self.measures.items())}


def record(tables: Tables, release: Release) -> bool:
    """Keep a verdict; say whether it is new."""
    known = tables.read("releases", ds.field("release_id") == release.release_id, ["release_id"])
    if known.num_rows:
        return False
    tables.append("releases", [release.row()])
    return True


def promoted(tables: Tables) -> list[str]:
    """Return the versions of models that ever had a yes."""
    said_yes = (ds.field("kind") == MODEL) & (ds.field("verdict") == APPROVED)
    return [
        str(one) for one in tables.read("releases", said_yes, ["version"])["version"].unique().to_pylist()
    ]


def newest(rows: Iterable[Mapping[str, Any]], verdict: str = APPROVED) -> dict[str, Mapping[str, Any]]:
    """Return by name the row with that verdict that was decided last."""
    of_verdict = [row for row in rows if row["verdict"] == verdict]
    return {
        row["name"]: row for row in sorted(of_verdict, key=lambda row: (row["decided_at"], row["version"]))
    }


def run_release(ask: Ask, config: Config) -> Run:
    """Record the answer about a segmentation, and return the run's manifest.

    Raises
    ------
    Stopped
        The answer cannot be taken; nothing was recorded.

    """
    from jobs import segment_answer

    tables = Tables(config.tables)
    arguments = shell.bind(segment_answer.verdict, "releases", config)
    # Not the pinned versions: what was approved while this run waited must be seen.
    versions = {name: tables.version(name) for name in segment_answer.READS}
    with shell.recorded("releases", ask, config, versions) as manifest:
        release = segment_answer.verdict(
            {name: tables.read(name, version=version).to_pylist() for name, version in versions.items()},
            ask.days[-1],
            ask.dag_run,
            **arguments,
        )
        is_new = record(tables, release)
        manifest.output, manifest.output_version = "releases", tables.version("releases")
        manifest.content_digest, manifest.rows_in = release.release_id, 1
        manifest.rows_out = int(is_new)
        manifest.status = "published" if is_new else "unchanged"
    sys.stdout.write(f"{release.version}: {release.verdict}, by {release.decided_by}. {release.why}\n")
    return manifest


JOB = shell.Command(run_release, "releases", __doc__)

if __name__ == "__main__":
    JOB.main()
