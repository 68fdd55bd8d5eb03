"""model_gate: after a closing, whether each of its models becomes champion, with the reasons in words.

Reads   model_values and models of the day; releases and closings
Writes  releases: of kind model, a row for each candidate of the day; MLflow's registry mirrors it
On failure, mend the cause and clear the task: a version that has its verdict keeps it. Until then the
champion stays.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds

from jobs import model_registry, runs, shell
from jobs.champions import champion, verdict
from jobs.closing_periods import periods
from jobs.config import Config
from jobs.example_arrays import expand
from jobs.judged_models import ALL
from jobs.model_specs import ModelSpec
from jobs.nights import end_of
from jobs.publish import Stopped
from jobs.releases import MODEL, Release, record
from jobs.runs import Run
from jobs.shell import Ask
from jobs.tables import Tables
from ml.classify.decide import Evidence, Rules, decide

READS = ("model_values", "models", "closings")
DECIDER = "model_gate"

Row = Mapping[str, Any]


def decided(
    day: date,
    models: Sequence[Row],
    values: Sequence[Row],
    releases: Sequence[Row],
    closing_ends: Iterable[date],
    specs: Mapping[str, ModelSpec],
    *,
    zone: str,
    dag_run: str | None = None,
) -> list[Release]:
    """Return the verdicts on the day's candidates that have none yet, by name."""
    found = []
    ends = sorted(set(closing_ends))
    for model in sorted(models, key=lambda row: row["name"]):
        if not (model["is_candidate"] and model["is_current"]):
            continue
        mine = [row for row in releases if row["kind"] == MODEL and row["name"] == model["name"]]
        judged = [row for row in mine if row["as_of_date"] == day and row["decided_by"] == DECIDER]
        if any(row["version"] == model["model_version"] for row in judged):
            continue
        spec = specs.get(model["name"]) or ModelSpec.model_validate_json(model["spec"])
        own = [row for row in values if row["model_version"] == model["model_version"]]
        evidence = evidence_of(model, own, mine, ends, spec)
        said = decide(evidence, rules_of(spec))
        found.append(
            Release(
                kind=MODEL,
                name=model["name"],
                version=model["model_version"],
                as_of_date=day,
                verdict=said.verdict,
                why=said.why,
                decided_by=DECIDER,
                # Trained anew on changed examples, it is judged after the one before it.
                decided_at=end_of(day, zone) + timedelta(seconds=len(judged)),
                details={"against": evidence.against, "closing_id": model["closing_id"]},
                measures=_measures(own, model["algorithm"]),
                dag_run=dag_run,
            )
        )
    return found


def evidence_of(
    model: Row, values: Sequence[Row], releases: Sequence[Row], ends: Sequence[date], spec: ModelSpec
) -> Evidence:
    """Put together what a verdict on a candidate rests on."""
    day = model["as_of_date"]
    before = verdict(releases, spec.name, day - timedelta(1))
    newest = verdict(releases, spec.name, date.max)
    has_champion = before is not None
    metric = "change_from_champion" if has_champion else "change_from_last_period"
    changes = {row["slice"]: _three(row) for row in values if row["metric"] == metric}
    lacks = sorted(row["slice"].removeprefix("feature/") for row in values if row["metric"] == "lacks")
    problem = None
    if lacks:
        more = f" and {len(lacks) - 3} more" if len(lacks) > 3 else ""
        problem = (
            f"The champion {champion(releases, spec.name, day - timedelta(1))} needs features that"
            f" closing_examples no longer has ({', '.join(lacks[:3])}{more}), so nothing can be compared with"
            " it. Bring them back, or promote this one by hand: vitrine model promote"
            f" {spec.name} {model['model_version']}"
        )
    error = [
        row["value"]
        for row in values
        if row["metric"] == "calibration_error" and row["learner"] == model["algorithm"]
        and row["slice"] == ALL and row["class"] == ALL
    ]  # fmt: skip
    psi = {row["slice"].removeprefix("feature/"): row["value"] for row in values if row["metric"] == "psi"}
    grows = set(expand(spec.bounds.grows, list(psi)))
    return Evidence(
        closing=day,
        against=str(before["version"]) if before else "last period's behaviour",
        has_champion=has_champion,
        champion_closing=newest["as_of_date"] if newest else None,
        closings_since=sum(before["as_of_date"] < end <= day for end in ends) if before else 0,
        change=changes.pop(ALL, None),
        calibration_error=error[0] if error else None,
        slices=changes,
        drift={name: value for name, value in psi.items() if name not in grows},
        problem=problem,
    )


def rules_of(spec: ModelSpec) -> Rules:
    """Return the bounds of conf/ as the mathematics takes them."""
    own = spec.bounds
    return Rules(own.margin, own.stale_closings, own.calibration, own.slice_fall, own.drift)


def run_gate(ask: Ask, config: Config) -> Run:
    """Decide about the models of each day, and return the run's manifest.

    Raises
    ------
    Stopped
        When a day has no models, or they were not measured.

    """
    tables = Tables(config.tables)
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("model_gate", ask, config, versions) as manifest:
        closings = tables.read("closings", version=versions["closings"]).to_pylist()
        for day in ask.days:
            of_day = ds.field("as_of_date") == day
            models = tables.read("models", of_day, version=versions["models"]).to_pylist()
            values = tables.read("model_values", of_day, version=versions["model_values"]).to_pylist()
            current = {row["model_version"] for row in models if row["is_candidate"] and row["is_current"]}
            if not current or not current <= {row["model_version"] for row in values}:
                raise Stopped(
                    f"The models as of {day} were not trained and measured: run models and model_values."
                )
            # Not a pinned version: a person may have rolled back while this run was under way.
            releases = tables.read("releases").to_pylist()
            ends = closing_ends(closings, day)
            said = decided(day, models, values, releases, ends, config.model_specs,
                           zone=config.business_time_zone, dag_run=ask.dag_run)  # fmt: skip
            manifest.rows_out += sum(record(tables, release) for release in said)
            _mirror(config, models, said, [*releases, *(release.row() for release in said)])
            for release in said:
                sys.stdout.write(f"{release.version}: {release.verdict}. {release.why}\n")
            if not said:
                sys.stdout.write(
                    f"The models as of {day} have their verdicts already: {', '.join(sorted(current))}.\n"
                )
            manifest.rows_in += len(values)
        manifest.output, manifest.output_version = "releases", tables.version("releases")
        manifest.status = "published" if manifest.rows_out else "unchanged"
    return manifest


def closing_ends(closings: Iterable[Row], day: date) -> list[date]:
    """Return the days on which closings ended up to a day, by the newest change of each."""
    known = periods(closings, before=day + timedelta(1))
    return [one.last_date for one in known if one.last_date <= day]


def _mirror(config: Config, models: Sequence[Row], said: Sequence[Release], releases: Sequence[Row]) -> None:
    by_version = {row["model_version"]: row for row in models}
    for release in said:
        told = {"verdict": release.verdict, "why": release.why, "decided_by": release.decided_by}
        model_registry.mirror(config, by_version[release.version], told, release.measures)
        model_registry.alias_champion(config, release.name, champion(releases, release.name, date.max))


def _measures(values: Sequence[Row], learner: str) -> dict[str, float]:
    """The candidate's figures of all rows, and its changes."""
    mine = [
        row for row in values if row["learner"] == learner and row["slice"] == ALL and row["class"] == ALL
    ]
    found = {row["metric"]: row["value"] for row in mine}
    for row in mine:
        if row["metric"].startswith("change_from") and row["low"] is not None:
            found |= {f"{row['metric']}_low": row["low"], f"{row['metric']}_high": row["high"]}
    return found


def _three(row: Row) -> tuple[float, float, float]:
    low, high = row["low"], row["high"]
    unsure = float("inf")
    return row["value"], -unsure if low is None else low, unsure if high is None else high


JOB = shell.Command(run_gate, "model_gate", __doc__)

if __name__ == "__main__":
    JOB.main()
