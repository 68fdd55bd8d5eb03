"""model_report: the report on a closing's models, for a person, and the same figures in MLflow.

Reads   models and model_values of the day; releases
Writes  reports/models/DAY.html in the data home, and an MLflow run of that name
On failure, mend the cause and clear the task: a rerun writes the same file and the same MLflow run.
"""

import sys

import pyarrow.dataset as ds

from jobs import runs, shell
from jobs.config import Config
from jobs.model_gate import DECIDER
from jobs.model_page import render
from jobs.publish import Stopped
from jobs.releases import MODEL
from jobs.reports import keep
from jobs.runs import Run
from jobs.shell import Ask
from jobs.tables import Tables

READS = ("models", "model_values", "releases")
SIMULATED = (
    "baskets that their publisher calls simulated from real shopping patterns, replayed as web sessions."
    " Roles and regions are simulated. A reward is how well a page lists what a household was about to buy;"
    " it is no uplift of sales."
)


def run_report(ask: Ask, config: Config) -> Run:
    """Write the report of the last day, and return the run's manifest.

    Raises
    ------
    Stopped
        When no model of the day was measured.

    """
    tables, day = Tables(config.tables), ask.days[-1]
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("model_report", ask, config, versions) as manifest:
        of_day = ds.field("as_of_date") == day
        models = tables.read("models", of_day, version=versions["models"]).to_pylist()
        values = tables.read("model_values", of_day, version=versions["model_values"]).to_pylist()
        if not values:
            raise Stopped(f"No model as of {day} was measured: run models and model_values for it first.")
        mine = of_day & (ds.field("kind") == MODEL) & (ds.field("decided_by") == DECIDER)
        releases = tables.read("releases", mine, version=versions["releases"]).to_pylist()
        note = SIMULATED if config.ids.demo_key else ""
        html = render(day, models, values, releases, note=note)
        measures = {
            f"{row['name']}.{row['learner']}.{row['metric']}": row["value"]
            for row in values
            if row["slice"] == row["class"] == "all"
        }
        tags = {f"{row['name']}.verdict": f"{row['verdict']}: {row['why']}" for row in releases}
        target = keep(config, "models", str(day), html, experiment="model_reports", measures={0: measures},
                      tags=tags)  # fmt: skip
        manifest.rows_in, manifest.rows_out, manifest.status = len(values), 1, "published"
    sys.stdout.write(f"The report is {target}.\n")
    return manifest


JOB = shell.Command(run_report, "model_report", __doc__)

if __name__ == "__main__":
    JOB.main()
