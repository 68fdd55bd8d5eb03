"""segment_report: the HTML report of a segmentation, for the person who decides; the same in MLflow.

Reads   segmentations and segment_profiles of the day
Writes  reports/segments/REQUEST.html in the data home, and an MLflow run of the request's name
On failure, mend the cause and clear the task: a rerun writes the same file and the same MLflow run.

The last line of its output is JSON: what the task that asks a person shows.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from jobs import runs, shell
from jobs.config import Config, Segmentation
from jobs.publish import Stopped
from jobs.reports import keep
from jobs.runs import Run
from jobs.segment_page import render
from jobs.segment_request import Request, request
from jobs.shell import Ask
from jobs.tables import Tables

READS = ("segmentations", "segment_profiles")
MEASURES = ("silhouette", "shuffled_silhouette", "stability", "stability_low", "calinski_harabasz",
            "davies_bouldin", "smallest_share", "inertia")  # fmt: skip
SIMULATED = (
    "baskets that their publisher calls simulated from real shopping patterns, replayed as web sessions;"
    " roles, devices and what was shown are simulated too."
)


def ask_for(
    segmentation_specs: Mapping[str, Segmentation],
    *,
    segmentation: str,
    seed: int,
    k: int | str | None = None,
    roles: list[str] | None = None,
    columns: list[str] | None = None,
) -> Request:
    """Put the request together from what the run was given."""
    return request(segmentation_specs, segmentation, seed=seed, k=k, roles=roles, columns=columns)


def run_report(ask: Ask, config: Config, told: dict[str, Any]) -> Run:
    """Write the report, put into `told` what the person is told, and return the run's manifest.

    Raises
    ------
    Stopped
        When the request was not fitted and profiled.

    """
    tables = Tables(config.tables)
    asked = ask_for(config.segmentation_specs, **shell.bind(ask_for, "segment_report", config))
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("segment_report", ask, config, versions) as manifest:
        name = asked.name(ask.days[-1])
        models, profiles = (
            tables.read(table, ds.field("request") == name, version=versions[table]).to_pylist()
            for table in READS
        )
        if not models or not profiles:
            raise Stopped(
                f"{name} was not fitted and profiled: run segmentations and segment_profiles first."
            )
        spec = config.segmentation_specs[asked.spec]
        meanings = {feature.name: feature.meaning or feature.name for feature in spec.features}
        note = SIMULATED if config.ids.demo_key else ""
        html = render(models, profiles, meanings=meanings, note=note)
        measures = {int(row["k"]): {measure: float(row[measure]) for measure in MEASURES} for row in models}
        tags = {"reason": models[0]["reason"], "as_of": str(models[0]["as_of_date"])}
        target = keep(config, "segments", name, html, experiment="segmentation", measures=measures, tags=tags)
        manifest.rows_in, manifest.rows_out, manifest.status = len(models) + len(profiles), 1, "published"
    told.update(summary(models, profiles, target))
    return manifest


def summary(
    models: Sequence[Mapping[str, Any]], profiles: Sequence[Mapping[str, Any]], target: Path
) -> dict[str, Any]:
    """Return what the person who is asked sees beside the question."""
    suggested = next((row for row in models if row["is_suggested"]), None)
    of_suggested = [
        row
        for row in profiles
        if suggested and row["segmentation_version"] == suggested["segmentation_version"]
    ]
    return {
        "request": models[0]["request"],
        "as_of": models[0]["as_of_date"].isoformat(),
        "report": f"segments/{target.name}",
        "reason": models[0]["reason"],
        "suggested": suggested["k"] if suggested else None,
        "fitted": sorted(row["k"] for row in models),
        "segments": [
            {
                "segment": row["segment"],
                "name": row["suggested_name"],
                "subjects": row["subjects"],
                "share": f"{row['share']:.0%}",
                "revenue": f"{row['revenue_share'] or 0:.0%}",
            }
            for row in sorted(of_suggested, key=lambda row: int(row["segment"]))
        ],
    }


class Report:
    """The job as the command line runs it."""

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Run it."""
        told: dict[str, Any] = {}
        shell.main(lambda ask, config: run_report(ask, config, told), "segment_report", __doc__, arguments)
        sys.stdout.write(json.dumps(told) + "\n")


JOB = Report()

if __name__ == "__main__":
    JOB.main()
