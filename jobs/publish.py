"""Write, audit, publish: how a built DataFrame becomes the content of its table's partitions.

1. Write: good and rejected rows go, in one pass, to Parquet files beside the table, where no reader looks.
2. Audit: the good rows are measured and judged; rejected ones go to quarantine with their reason.
3. Publish: one Delta transaction swaps the interval's partitions. Killed anywhere before it, the old rows
   stand; killed after it, a rerun publishes the same rows again.
"""

import json
from collections.abc import Collection
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyspark.sql import DataFrame, SparkSession

from jobs import checks, pieces, runs, staged_pieces, staging, volume
from jobs.checks import Finding
from jobs.contracts import Contract, contract
from jobs.read_back import Unlike
from jobs.runs import Run
from jobs.staging import Staged
from jobs.tables import Tables, discard, holds_files, located
from jobs.telemetry import step
from jobs.volume import Unusual

MOST_TOLD = 5
"""Kinds of things left out that a run's message names; the rest is summed up."""


class Stopped(RuntimeError):
    """A run stopped before it published; the sentence says what, where, and what to do."""


def publish(
    built: DataFrame,
    spark: SparkSession,
    tables: Tables,
    run: Run,
    *,
    is_bucketed: bool = False,
    quiet_days: Collection[date] = (),
) -> None:
    """Write, audit and publish; fill in the run's manifest.

    is_bucketed: whether each partition of `built` holds whole buckets, so that rows need no shuffle.
    quiet_days: on which few rows are no alarm.
    """
    about = contract(run.job)
    run.output = about.table
    tables.open(about.table)
    folder = f"data/{run.run_id}"
    staged = Staged(folder, f"{tables.path(about.table)}/{folder}")
    with step("write", table=about.table):
        if pieces.are(built):
            staged_pieces.write(built, about, run.days, staged)
        else:
            staging.write(staging.accept(built, about, run.days), about, staged, is_bucketed=is_bucketed)
    with step("quarantine", table=about.table):
        rejected, told = quarantine(staged, about, tables, run)
    discard(staged.bad)  # quarantine has them, with personal data redacted
    with step("audit", table=about.table):
        try:
            measured = checks.measure(_read(spark, staged.good, about), staged.good, about)
        except Unlike as error:
            discard(staged.path)
            raise Stopped(str(error)) from None
    run.rows_out, run.rows_rejected, run.content_digest = (
        measured[checks.ROWS],
        rejected,
        measured[checks.DIGEST],
    )
    run.rows_in = run.rows_out + rejected
    findings: list[Finding | Unusual] = [
        *checks.judge(measured, rejected, about),
        *volume.unusual(about, tables, staged.good, run.days, quiet_days),
    ]
    run.message = "; ".join([*(f"warning: {finding}" for finding in findings), *told])
    if stopping := [str(finding) for finding in findings if finding.stops]:
        discard(staged.path)
        raise Stopped(
            f"{'; '.join(stopping)} in {run.rows_in:,} rows of {run.days[0]} to {run.days[-1]}. Nothing was"
            f" published; see quarantine (table = '{about.table}') and mend the source, then run it again."
        )
    if unchanged := _same(tables, run):
        discard(staged.path)
        run.status, run.output_version = "unchanged", unchanged
        return
    if run.inputs.get(about.table, tables.version(about.table)) != tables.version(about.table):
        discard(staged.path)
        raise Stopped(
            f"Another run changed {about.table} while this one was at work, and its rows would be lost."
            " Nothing was published; run it again."
        )
    with step("publish", table=about.table):
        run.output_version = tables.publish(
            about.table, f"{folder}/rejected=false", days=run.days, run_id=run.run_id
        )
    run.status = "published"


def quarantine(staged: Staged, about: Contract, tables: Tables, run: Run) -> tuple[int, list[str]]:
    """Move rejected rows to `quarantine`, in place of what earlier runs of these days put there.

    Returns how many, and in words what else was left out.
    """
    rows, told = _rejected_rows(staged, about, run)
    earlier = tables.read("quarantine", ds.field("table") == about.table, ["quarantine_date"])
    old = {day for day in earlier["quarantine_date"].to_pylist() if day in set(run.days)}
    if rows.num_rows or old:
        listed = ", ".join(f"'{day}'" for day in sorted(set(run.days)))
        tables.replace("quarantine", rows, f"`table` = '{about.table}' AND quarantine_date IN ({listed})")
    return int(rows.num_rows), told


def _rejected_rows(staged: Staged, about: Contract, run: Run) -> tuple[pa.Table, list[str]]:
    schema = contract("quarantine").arrow_schema
    if not holds_files(staged.bad):
        return schema.empty_table(), []
    filesystem, base = located(staged.bad)
    files = ds.dataset(base, format="parquet", partitioning=None, filesystem=filesystem)
    found = files.to_table(filter=ds.field("_skipped").is_null())
    skipped = files.to_table(["_reason", "_skipped"], filter=ds.field("_skipped").is_valid())
    counts = skipped.group_by("_reason").aggregate([("_skipped", "sum")]).sort_by("_reason")
    by_count = sorted(counts.to_pylist(), key=lambda row: -row["_skipped_sum"])
    told = [f"{row['_skipped_sum']:,} {row['_reason']}" for row in by_count[:MOST_TOLD]]
    if more := by_count[MOST_TOLD:]:
        told.append(f"{sum(row['_skipped_sum'] for row in more):,} of {len(more)} further kinds left out")
    columns = {
        "table": pa.array([about.table] * found.num_rows),
        "quarantine_date": pc.fill_null(found["_day"], pa.scalar(run.days[0])) if run.days else found["_day"],
        "reason": found["_reason"],
        "source_file": found["_file"],
        "source_offset": found["_offset"],
        "row": [
            raw or _redacted(row, about)
            for raw, row in zip(found["_raw"].to_pylist(), found.to_pylist(), strict=True)
        ],
        "run_id": pa.array([run.run_id] * found.num_rows),
    }
    return pa.table({name: columns[name] for name in schema.names}).cast(schema), told


def _redacted(row: dict[str, object], about: Contract) -> str:
    shown = {
        name: "(redacted)" if name in about.personal else value
        for name, value in row.items()
        if value is not None and name in about.columns
    }
    return json.dumps(shown, default=str)


def _same(tables: Tables, run: Run) -> int | None:
    """Version of the table when its rows of these days are still those of an equal run."""
    done = [row for row in runs.of_job(tables, run.job) if row["status"] == "published"]
    last = next((row for row in reversed(done) if set(row["days"]) & set(run.days)), None)
    if not last or last["days"] != run.days or last["content_digest"] != run.content_digest:
        return None
    recorded = {row["run_id"] for row in done}
    since = tables.writers(run.job, after=last["output_version"])
    return tables.version(run.job) if all(writer in recorded for writer in since) else None


def _read(spark: SparkSession, path: str, about: Contract) -> DataFrame:
    return (
        spark.read.schema(about.ddl).parquet(path)
        if holds_files(path)
        else spark.createDataFrame(about.arrow_schema.empty_table(), about.ddl)
    )
