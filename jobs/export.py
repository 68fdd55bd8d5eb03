"""exports: one row per generation of the store.

Reads   layouts that stand on a night (jobs.standing); product_lists and subject_features (the strongest
        categories) of it, widgets and products as of it; policies and bandit_statistics, for who has no
        layout of their own; segments, for feature flags
Writes  the dormant colour of the store, the pointer, exports
On failure, mend the cause and clear the task: readers stay on the live colour until a new one is verified,
and a rerun builds the same generation again, or confirms it.

A generation that is too far from the one before (`store.bounds` in conf/) is refused, and its row says why; a
person may accept it with `--with accept='why'`, which is kept.

A night older than the live generation's exports nothing; the live night again confirms it when nothing
differs, and exports nothing when something does: history is not rewritten. While the key of pseudonyms
changes (jobs/rotation.py), each subject's keys are there under both.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs import flag_rows, request_policies, rotation, runs, shell, telemetry
from jobs.config import Config, ConfigError, Page
from jobs.contracts import contract
from jobs.kinds import FILL_BASKET
from jobs.kinds import standing as of_moment
from jobs.merged import UnsortedError
from jobs.publish import Stopped
from jobs.runs import Run
from jobs.shell import Ask
from jobs.standing_rows import batches as stand_on
from jobs.store.aliases import under_both
from jobs.store.bounds import Bounds
from jobs.store.content import Inputs, newest
from jobs.store.errors import StoreError
from jobs.store.export import Exported, ExportError, Night, Refused, export
from jobs.store.variants import AT
from jobs.tables import Tables

__all__ = ["JOB", "READS", "ExportError", "Exported", "read_inputs", "run"]

READS = (
    "layouts", "subject_features", "product_lists", "widgets", "products", "policies", "bandit_statistics",
    "segments",
)  # fmt: skip
LIST_COLUMNS = ("list_key", "kind", "subject", "category", "products")
STRONGEST = ("subject", "category1", "category2")
ANOTHER_KEY = "the key of pseudonyms changes"


def run(
    config: Config,
    tables: Tables,
    day: date,
    *,
    versions: Mapping[str, int | None],
    run_id: str,
    at: datetime,
    accept: str = "",
    step: Callable[[str], None] = lambda _: None,
    again: bool = False,
) -> Exported:
    """Export a night's layouts from the tables at these versions, and keep its row in `exports`.

    `accept` is why a person wants the generation though it is beyond the bounds of conf/. `again` exports the
    live night once more, under further pseudonyms; no value that readers have may change.
    """
    exported = tables.read("exports", columns=["generation"])["generation"].to_pylist()
    content = json.dumps({"day": day.isoformat(), "versions": {name: versions.get(name) for name in READS}})
    night = Night(
        day,
        config.business_time_zone,
        config.store.valid_nights,
        at,
        run_id,
        blake2b(content.encode(), digest_size=16).hexdigest(),
        {name: _rules(page) for name, page in config.pages.items()},
        Bounds(**config.store.bounds.model_dump(), late_days=config.late_days),
        accept or (ANOTHER_KEY if again else ""),
    )
    inputs = read_inputs(tables, day, versions, config, again=again)
    if not again:  # then they stay as readers have them
        policies = request_policies.of_night(config, partial(_reader, tables, versions), day)
        inputs = replace(inputs, policies=policies)
    if rotation.has_names(config):
        inputs = under_both(inputs, rotation.names_path(config))
    try:
        done = export(
            config.store_url,
            night,
            inputs,
            terms=config.store_terms,
            numbered_after=max(exported, default=0),
            step=step,
            again=again,
        )
    except Refused as refused:
        _note(tables, refused.row)
        raise
    if done.live.generation not in exported:
        tables.append("exports", [done.row()])
    return done


def _rules(page: Page) -> str:
    drawn = f"{page.positions} positions, temperature {page.temperature:g}, floor {page.floor:g}"
    drawn += "" if page.moment == FILL_BASKET else f", {page.moment}"
    drawn += "" if page.goals is None else f", {page.goals.in_words}"
    return drawn if page.rules is None else f"{drawn}, {page.rules.in_words}"


def _note(tables: Tables, refused: Mapping[str, Any]) -> None:
    """Keep the row of a generation that was refused, once however often it is tried."""
    same = ("layout_date", "inputs", "why", "verified")
    rows = tables.read("exports").to_pylist()
    if not any(all(row.get(name) == refused[name] for name in same) for row in rows):
        tables.append("exports", [refused])


def read_inputs(
    tables: Tables, day: date, versions: Mapping[str, int | None], config: Config, *, again: bool = False
) -> Inputs:
    """Open what an export reads, without Spark; nobody who asked to be forgotten, as of now, is in it."""
    forgotten = tables.read("erasures", columns=["subject"])["subject"].combine_chunks()
    own = ds.field("kind") == "own"
    of_day, of_features = ds.field("list_date") == day, ds.field("feature_date") == day
    present = ~ds.field("subject").isin(forgotten)
    shared = _reader(tables, versions, "product_lists", LIST_COLUMNS, of_day & ~own).read_all()
    products = newest(_as_of(tables, "products", versions, day), "product_id", "changed_date")
    main = sorted({config.variants.of(page)[0] for page in config.pages.values()} - {""})
    return Inputs(
        layouts=lambda columns: _kept_as(
            _standing(tables, versions, _with_variant(columns), day, forgotten), columns, main
        ),
        variants={
            name: told
            for name, page in config.pages.items()
            if (told := config.variants.told(page, config.business_time_zone))
        },
        bought={
            name: page.bought_products.days for name, page in config.pages.items() if page.bought_products
        },
        strongest=_reader(tables, versions, "subject_features", STRONGEST, of_features & present),
        own_lists=_reader(tables, versions, "product_lists", LIST_COLUMNS, of_day & own & present),
        shared_lists=shared,
        widgets=of_moment(
            newest(_as_of(tables, "widgets", versions, day), "widget", "changed_date"),
            {name: page.moment for name, page in config.pages.items()},
            config.kinds,
        ),
        products=products.filter(pc.fill_null(products["is_merchandise"], True)),
        flags=flag_rows.rules(config),
        # Again, flags are those that readers have, whatever conf/ says by now.
        who=flag_rows.who(config, partial(_reader, tables, versions), day, present, whatever=again),
    )


def _with_variant(columns: Sequence[str]) -> list[str]:
    return [*columns, "variant"] if "page" in columns else list(columns)


def _kept_as(rows: pa.RecordBatchReader, columns: Sequence[str], main: Sequence[str]) -> pa.RecordBatchReader:
    """Name the page of a layout after the variant that it is of, if that is not its main one."""
    schema = pa.schema([rows.schema.field(name) for name in columns])
    if "page" not in columns:
        return rows

    def named(batch: pa.RecordBatch) -> pa.RecordBatch:
        variant = pc.fill_null(batch["variant"], "")
        is_own = pc.is_in(variant, pa.array(["", *main]))
        pages = pc.if_else(is_own, batch["page"], pc.binary_join_element_wise(batch["page"], variant, AT))
        return batch.set_column(batch.schema.get_field_index("page"), "page", pages).select(list(columns))

    return pa.RecordBatchReader.from_batches(schema, map(named, rows))


def _standing(
    tables: Tables,
    versions: Mapping[str, int | None],
    columns: Sequence[str],
    day: date,
    forgotten: pa.Array,
) -> pa.RecordBatchReader:
    """Stream the layouts that stand on the night, of nobody who asked to be forgotten."""
    schema = _schema("layouts", columns)
    batches = stand_on(tables, day, versions, columns, forgotten) if versions["layouts"] is not None else ()
    return pa.RecordBatchReader.from_batches(
        schema, (_whole(batch, schema) for batch in batches if len(batch))
    )


def _as_of(tables: Tables, name: str, versions: Mapping[str, int | None], day: date) -> pa.Table:
    columns = tuple(contract(name).columns)
    return _reader(tables, versions, name, columns, ds.field("changed_date") <= day).read_all()


def _reader(
    tables: Tables,
    versions: Mapping[str, int | None],
    name: str,
    columns: Sequence[str],
    where: ds.Expression,
) -> pa.RecordBatchReader:
    """Stream rows in the contract's types; a table without a version is not there yet."""
    schema = _schema(name, columns)
    if versions[name] is None:
        return pa.RecordBatchReader.from_batches(schema, [])
    dataset = tables.open(name, versions[name]).to_pyarrow_dataset()
    there = [column for column in columns if column in dataset.schema.names]
    batches = dataset.to_batches(columns=there, filter=where)
    return pa.RecordBatchReader.from_batches(
        schema, (_whole(batch, schema) for batch in batches if len(batch))
    )


def _schema(name: str, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([contract(name).arrow_schema.field(column).remove_metadata() for column in columns])


def _whole(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return rows in a schema; columns that its contract gained since they were written are null."""
    if batch.schema.names == schema.names:
        return batch.cast(schema)
    there = set(batch.schema.names)
    columns = [
        batch[each.name].cast(each.type) if each.name in there else pa.nulls(len(batch), each.type)
        for each in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def run_export(ask: Ask, config: Config) -> Run:
    """Export the last night of an interval, and return the run's manifest.

    Raises
    ------
    Stopped
        The new generation is not fit to be shown, or cannot be made; the live one stands.

    """
    accept = _accept(config)
    tables = Tables(config.tables)
    versions = runs.resolve(tables, READS, ask.dag_run)
    with shell.recorded("export", ask, config, versions) as manifest:
        try:
            done = run(
                config,
                tables,
                ask.days[-1],
                versions=versions,
                run_id=manifest.run_id,
                at=manifest.started_at,
                accept=accept,
                step=telemetry.marks("export"),
            )
        except (StoreError, UnsortedError) as error:
            raise Stopped(str(error)) from None
        manifest.output, manifest.output_version = "exports", tables.version("exports")
        manifest.content_digest, manifest.rows_in = done.live.digest, done.live.layouts
        if done.outcome == "exported":
            manifest.status, manifest.rows_out = "published", done.live.layouts
        else:
            manifest.status, manifest.message = "unchanged", done.message
    sys.stdout.write(f"{done.message}\n")
    return manifest


def _accept(config: Config) -> str:
    """Return why a person wants this generation, whatever the bounds say."""
    own = config.jobs.get("export", {})
    if unknown := sorted(own.keys() - {"accept"}):
        raise ConfigError(f"export has no argument {unknown[0]}; it takes accept, the reason why.")
    return str(own.get("accept", "")).strip()


JOB = shell.Command(run_export, "export", __doc__)

if __name__ == "__main__":
    JOB.main()
