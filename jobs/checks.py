"""Audit: what a run made is measured and judged by Great Expectations before anyone reads it.

Each check of a contract is an aggregate with bounds. All aggregates of a table are computed together, by
one Spark job over the few columns that they name; Great Expectations then holds the measured row against its
bounds. Digest, and whether keys repeat, come from reading the files whole (`jobs.read_back`), by hashes:
where those of all keys differ so do the keys, and where one repeats the keys themselves are counted.
"""

import importlib
import logging
import os
import re
import threading
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs import read_back
from jobs.contracts import Check, Contract
from jobs.read_back import Asked

ROWS = "rows"
REJECTED = "share of rejected rows"
DIGEST = "digest"
USUAL = ": as usual"
PART = r"(?:\w+|coalesce\(\w+, ''\))"
REPEATS = re.compile(rf"count\(\*\) - count\(distinct ({PART}(?:, {PART})*)\)")
"""A measure of rows without a key of their own; its group is the key."""
PARTS = re.compile(r"(coalesce\()?(\w+)(?:, ''\))?")
"""Of a key: whether a part may be missing, as an empty text, and its name."""


@dataclass(frozen=True)
class Finding:
    """A check that did not hold; `is_usual` where its contract knows what that is as a rule."""

    check: str
    measured: float
    bounds: Check
    is_usual: bool = False

    @property
    def stops(self) -> bool:
        """Whether the run must not publish."""
        return self.bounds.on_break == "stop"

    def __str__(self) -> str:
        low = "" if self.bounds.min is None else f" at least {self.bounds.min:g}"
        high = "" if self.bounds.max is None else f" at most {self.bounds.max:g}"
        why = f" ({self.bounds.usual.says})" if self.bounds.usual and self.is_usual else ""
        return f"'{self.check}' measured {self.measured:g}, expected{low}{high}{why}"


def preload() -> None:
    """Import Great Expectations beside the Spark work: the import takes longer than many a job."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    threading.Thread(target=importlib.import_module, args=("great_expectations",), daemon=True).start()


def measure(staged: DataFrame, folder: str, about: Contract) -> dict[str, Any]:
    """Compute rows, every check's aggregate and the content digest of the accepted rows, staged in a folder.

    The digest is the sum of row hashes: equal rows give an equal digest in any order and any split. Where a
    contract says how a file is sorted, its readers need that, so it is part of what is hashed.
    """
    measures = {name: check.measure for name, check in about.checks.items()}
    keys = {name: found[1] for name, said in measures.items() if (found := REPEATS.fullmatch(said))}
    unique, key = next(iter(keys.items()), (None, ""))
    aggregates = [
        F.expr(said).cast("double").alias(name) for name, said in measures.items() if name != unique
    ]
    aggregates += [
        F.expr(check.usual.when).alias(name + USUAL) for name, check in about.checks.items() if check.usual
    ]
    row = staged.agg(F.count("*").alias(ROWS), *aggregates).collect()[0].asDict()
    columns = {name: column.type for name, column in about.columns.items()}
    parts = {name: bool(may_lack) for may_lack, name in PARTS.findall(key)}
    asked = Asked(folder, columns, about.sort_by, [*parts], [name for name in parts if parts[name]])
    seen = read_back.seen(staged.sparkSession, asked, row[ROWS])
    row[DIGEST] = f"{seen.digest:016x}"
    if unique:
        is_sure = not (seen.keyless or seen.is_twice)
        exact = F.expr(measures[unique]).cast("double")
        row[unique] = 0.0 if is_sure else staged.agg(exact).collect()[0][0]
    return row


def judge(measured: dict[str, Any], rejected: int, about: Contract) -> list[Finding]:
    """Hold the measures, and the share of rejected rows, against the contract; return what does not hold."""
    share = rejected / (measured[ROWS] + rejected) if rejected else 0.0
    bounds = {REJECTED: Check(measure=REJECTED, max=about.max_rejected_share), **about.checks}
    frame = pd.DataFrame([{REJECTED: share, **{name: measured[name] for name in about.checks}}])
    broken = _expect(frame, bounds, about.table)
    return [
        Finding(name, float(frame[name].iloc[0]), bounds[name], bool(measured.get(name + USUAL)))
        for name in broken
    ]


def _expect(frame: pd.DataFrame, bounds: dict[str, Check], table: str) -> list[str]:
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_values_to_be_between import (
        ExpectColumnValuesToBeBetween,
    )
    from great_expectations.expectations.metadata_types import FailureSeverity

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas("audit").add_dataframe_asset(table)
    batch = asset.add_batch_definition_whole_dataframe("run").get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name=table)
    for name, check in bounds.items():
        suite.add_expectation(
            ExpectColumnValuesToBeBetween(
                column=name,
                min_value=check.min,
                max_value=check.max,
                severity=FailureSeverity.CRITICAL if check.on_break == "stop" else FailureSeverity.WARNING,
            )
        )
    results = batch.validate(suite, result_format="BOOLEAN_ONLY").results
    return [
        result.expectation_config.kwargs["column"]
        for result in results
        if result.expectation_config and not result.success
    ]
