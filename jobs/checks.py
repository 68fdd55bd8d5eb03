"""Audit: what a run made is measured and judged by Great Expectations before anyone reads it.

Each check of a contract is an aggregate with bounds. All aggregates of a table are computed together, by
one Spark job over the staged files; Great Expectations then holds the measured row against its bounds. So
the cost of checking is one scan, however many checks there are. Only whether keys repeat is asked apart, of
hashes: where they all differ so do the keys, and where one repeats the keys themselves are counted.
"""

import importlib
import logging
import os
import re
import threading
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs import repeats
from jobs.contracts import Check, Contract

ROWS = "rows"
REJECTED = "share of rejected rows"
DIGEST = "digest"
USUAL = ": as usual"
REPEATS = re.compile(r"count\(\*\) - count\(distinct ((?:[^()]|\([^()]*\))+)\)")
"""A measure of rows without a key of their own; its group is the key, in which calls do not nest."""
PARTS, MASK = (0, 22, 44), 2**22 - 1
"""Bits at which a row's hash is cut into short numbers: a long holds their sums over 2^41 rows."""


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


def measure(staged: DataFrame, about: Contract) -> dict[str, Any]:
    """Compute rows, every check's aggregate and the content digest of the accepted rows.

    The digest is the sum of row hashes: equal rows give an equal digest in any order and any split. Where a
    contract says how a file is sorted, its readers need that, so it is part of what is hashed.
    """
    measures = {name: check.measure for name, check in about.checks.items()}
    keys = {name: found[1] for name, said in measures.items() if (found := REPEATS.fullmatch(said))}
    # How many rows have a key: count(a, b) leaves out those with a null among them, as count(distinct) does.
    checks = [
        F.expr(f"count({keys[name]})" if name in keys else said).cast("double").alias(name)
        for name, said in measures.items()
    ]
    checks += [
        F.expr(check.usual.when).alias(name + USUAL) for name, check in about.checks.items() if check.usual
    ]
    row = staged.agg(F.count("*").alias(ROWS), *_digest(about), *checks).collect()[0].asDict()
    total = sum((row.pop(f"{DIGEST} {bit}") or 0) << bit for bit in PARTS)
    row[DIGEST] = f"{total % 2**64:016x}"
    for name, key in keys.items():
        hashes = staged.select(F.expr(f"xxhash64({key})"))
        is_sure = row[name] == row[ROWS] and not repeats.any_twice(hashes, row[ROWS])
        row[name] = 0.0 if is_sure else staged.agg(F.expr(measures[name]).cast("double")).collect()[0][0]
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


def _digest(about: Contract) -> list[Column]:
    """Sum each part of the rows' hashes: a sum of decimals, which would hold them whole, takes longer."""
    hashed = [F.lit(name) for name in about.sort_by]
    hashed += [_hashable(name, column.type) for name, column in about.columns.items()]
    parts = {bit: F.shiftrightunsigned(F.xxhash64(*hashed), bit) for bit in PARTS}
    return [F.sum(part.bitwiseAND(F.lit(MASK))).alias(f"{DIGEST} {bit}") for bit, part in parts.items()]


def _hashable(name: str, type_name: str) -> Any:
    column = F.col(f"`{name}`")
    # Not array_sort, which calls a comparator: wide maps took three times as long, and the order is the same.
    return F.sort_array(F.map_entries(column)) if type_name.startswith("map<") else column
