"""gate: each night a verdict on every policy of a page, whether it may go live.

A candidate is compared with the live policy on the servings since it entered, or since the live one changed,
whichever came last: that log only grows, and its bounds hold over all nights of looking (ml.ope.gate). Of
several that may go live, the one whose 95 % interval begins highest does. The live spec's own refit of the
night inherits its release while its scores move by less than conf's `gate.refit_change`; else readers keep
the last one that did. A serving counts once nothing may come of it any more. A comparison that is undecided
for longer than judgements are kept (400 days) loses its oldest days, and no longer only grows.

Reads   judgements and policies up to the last day, releases
Writes  releases: of kind policy, the rows of the days; those of nights that readers have seen stay
On failure, mend the cause and clear the task: a rerun gives the same verdicts. Until then the
live policy stays.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import inputs, runs, shell, store
from jobs.config import Config
from jobs.contracts import contract
from jobs.deciding import Known, decide
from jobs.live import POLICY, LivePolicies
from jobs.releases import Release
from jobs.runs import Run
from jobs.shell import Ask, Buckets, Until
from jobs.spark import session
from jobs.tables import Tables

READS = ("judgements", "policies")


def run_gate(ask: Ask, config: Config) -> Run:
    """Decide on the days' policies, and return the run's manifest."""
    tables = Tables(config.tables)
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("gate", ask, config, versions) as manifest:
        spark, days = session(config), ask.days
        frames = {name: inputs.open_read(spark, Until(name), days, config, versions) for name in READS}
        files = Buckets(("judgements",), before=None)
        buckets = inputs.open_read(spark, files, days, config, versions)
        earlier = tables.read("releases", ds.field("kind") == POLICY).to_pylist()
        served = store.live(config.store_url)
        # What readers have seen was decided then: it is not decided anew.
        kept = {row["as_of_date"] for row in earlier if served and row["as_of_date"] <= served.layout_date}
        left = [day for day in days if day not in kept]
        found: list[Release] = []
        known = _known(frames, config) if left else Known({}, {})
        for _, page in sorted(config.pages.items()):
            before = LivePolicies.of(page, [row for row in earlier if left and row["as_of_date"] < left[0]])
            if left:
                found += decide(
                    buckets, page, config.specs, known, before, left, config.gate,
                    zone=config.business_time_zone, hours=config.reward_hours,
                )  # fmt: skip
        _write(tables, found, left, ask.dag_run)
        manifest.output, manifest.output_version = "releases", tables.version("releases")
        manifest.rows_in = manifest.rows_out = len(found)
        manifest.status = "published" if left else "unchanged"
    return manifest


def _known(frames: Mapping[str, DataFrame], config: Config) -> Known:
    digests = {spec.digest: name for name, spec in config.specs.items()}
    own = F.col("spec_digest").isin(sorted(digests))
    entered = frames["judgements"].where(own).groupBy("spec").agg(F.min("decision_date").alias("first"))
    fitted: dict[str, dict[date, dict[str, Any]]] = {}
    columns = ("spec", "spec_digest", "fitted_date", "policy_version", "widgets", "n", "theta", "covariance")
    for row in frames["policies"].where(own).select(*columns).collect():
        fitted.setdefault(row["spec"], {})[row["fitted_date"]] = row.asDict()
    return Known({row["spec"]: row["first"] for row in entered.collect()}, fitted)


def _write(tables: Tables, found: Sequence[Release], days: Sequence[date], dag_run: str | None) -> None:
    if not days:
        return
    rows = [{**release.row(), "dag_run": dag_run} for release in found]
    listed = ", ".join(f"'{day}'" for day in days)
    batch = pa.Table.from_pylist(rows, schema=contract("releases").arrow_schema)
    tables.replace("releases", batch, f"kind = '{POLICY}' AND as_of_date IN ({listed})")


JOB = shell.Command(run_gate, "gate", __doc__)

if __name__ == "__main__":
    JOB.main()
