"""What a generation holds: all keys and values in key order, from the tables. For the export only.

Everything that grows with users is streamed: sorted by DuckDB with a bound on memory, encoded a batch at a
time. Catalogue, widgets and the lists of the whole shop are bounded, and held.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.store import keys
from jobs.store.bounds import Figures, PageFigures
from jobs.store.codec import encode_names
from jobs.store.encode import COLUMNS, NAMED, EncodeError, NameBook, encode
from jobs.store.errors import StoreError
from jobs.store.flags import FlagSet, Who, read_flags
from jobs.store.pages import PERSONAL
from jobs.store.walks import Pair

ROWS = 50_000
SAMPLES_A_BATCH = 8
SORT_MEMORY = "512MB"
WIDGET_FIELDS = (
    "kind",
    "pages",
    "category",
    "theme",
    "core_theme",
    "intent",
    "size",
    "page_context",
    "purpose",
)
# Rewards are summed as integers, so that the sum does not depend on the order of rows.
REWARD_UNIT = 2.0**-20
TILE_FIELDS = ("name", "department", "category", "type", "brand", "size")


class TwoRows(StoreError):
    """Two rows of the inputs are for one key."""


@dataclass(frozen=True)
class Inputs:
    """Rows to export: one night's layouts and lists, and the newest row of each widget and product.

    `layouts` opens these columns of the night's layouts: first those with names, then all.
    `strongest` holds each subject's category1 and category2, `policies` by page what ranks it on request.
    `flags` is the value of the key `versions`; `who` holds subject, role, region and segments (a list), where
    any rule asks for them. `variants` says by page which it has (variants.py), `bought` of how many days what
    was bought stands last in its carousels.
    """

    layouts: Callable[[Sequence[str]], pa.RecordBatchReader]
    strongest: pa.RecordBatchReader
    own_lists: pa.RecordBatchReader
    shared_lists: pa.Table
    widgets: pa.Table
    products: pa.Table
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bought: Mapping[str, int] = field(default_factory=dict)
    who: pa.RecordBatchReader | None = None


@dataclass
class Content:
    """A walk over a generation's keys and values; what it saw stands in its fields when it is done."""

    inputs: Inputs
    book: NameBook
    scratch: str
    defaults: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    _rewards: dict[str, list[int]] = field(default_factory=dict)
    _specs: dict[str, set[str]] = field(default_factory=dict)

    def figures(self, rules: Mapping[str, str]) -> Figures:
        """Return what is told of each page, whose rules are given in words."""
        return {
            page: PageFigures(
                layouts=count,
                reward=total * REWARD_UNIT / count,
                terms={
                    "policy": ", ".join(sorted(self._specs[page])),
                    "rules": rules.get(page, ""),
                    "choice of widgets": _choice(self.inputs.widgets, page),
                },
            )
            for page, (count, total) in sorted(self._rewards.items())
        }

    def pairs(self) -> Iterator[Pair]:
        """Yield every key and value but the heartbeat, in order of keys.

        Raises
        ------
        TwoRows
            When two rows have one key.

        """
        before = b""
        for key, value in self._sections():
            if key <= before:
                raise TwoRows(f"Two rows are for the key {key.decode()}: mend the table that they come from.")
            before = key
            yield key, value

    def _sections(self) -> Iterator[Pair]:
        yield from self._draws()
        yield from _lists(self.inputs.shared_lists)
        yield keys.NAMES, encode_names(self.book.names())
        yield from _own(self.inputs, self.scratch)
        for page, widgets in sorted(_choices(self.inputs.widgets).items()):
            of_page = {
                "variants": self.inputs.variants.get(page),
                "bought_days": self.inputs.bought.get(page),
            }
            said = {name: value for name, value in of_page.items() if value}
            yield keys.page_key(page), _json({"candidates": widgets} | said)
        for page, policy in sorted(self.inputs.policies.items()):
            yield keys.policy_key(page), _json(policy)
        yield from _entities("product", self.inputs.products, "product_id", TILE_FIELDS)
        if self.inputs.flags:
            yield keys.VERSIONS, (value := _json(self.inputs.flags))
            yield from _versions(self.inputs.who, read_flags(value), self.scratch)
        yield from _entities("widget", self.inputs.widgets, "widget", WIDGET_FIELDS)

    def _draws(self) -> Iterator[Pair]:
        for batch in self.inputs.layouts(NAMED):
            self.book.see(batch)
        self.book.close()
        schema = pa.schema([("key", pa.binary()), ("value", pa.binary())])
        encoded = pa.RecordBatchReader.from_batches(schema, map(self._encoded, self.inputs.layouts(COLUMNS)))
        yield from _pairs(_ordered(encoded, "key", self.scratch))

    def _encoded(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        values = encode(batch, self.book)
        self._sample(batch)
        self._value(batch)
        return pa.RecordBatch.from_arrays([_draw_keys(batch), values], ["key", "value"])

    def _value(self, batch: pa.RecordBatch) -> None:
        """Add up what the layouts of subjects are expected to earn, and note the specs that drew them."""
        subjects = batch.filter(pc.invert(pc.starts_with(batch["subject"], keys.DEFAULT_PREFIX)))
        for page in pc.unique(subjects["page"]).to_pylist():
            rows = subjects.filter(pc.equal(subjects["page"], page))
            scores = pc.list_flatten(rows["scores"]).to_numpy().astype(np.float64)
            if not np.isfinite(scores).all():
                raise EncodeError(f"layouts.scores of page {page} holds what is no number.")
            of_page = self._rewards.setdefault(page, [0, 0])
            of_page[0] += len(rows)
            of_page[1] += int(np.rint(scores / REWARD_UNIT).astype(np.int64).sum())
            versions = pc.unique(rows["policy_version"]).to_pylist()
            self._specs.setdefault(page, set()).update(version.partition("@")[0] for version in versions)

    def _sample(self, batch: pa.RecordBatch) -> None:
        places = np.unique(np.linspace(0, len(batch) - 1, SAMPLES_A_BATCH).astype(int))
        self.samples += batch.take(pa.array(places)).to_pylist()
        is_default = pc.starts_with(batch["subject"], keys.DEFAULT_PREFIX)
        for entry in pc.value_counts(batch["page"].filter(is_default)).to_pylist():
            self.defaults[entry["values"]] = self.defaults.get(entry["values"], 0) + entry["counts"]


def _choices(widgets: pa.Table) -> dict[str, list[str]]:
    """Return the widgets that each page chooses from."""
    found: dict[str, list[str]] = {}
    for row in widgets.select(["widget", "pages"]).sort_by("widget").to_pylist():
        for page in row["pages"] or ():
            found.setdefault(page, []).append(row["widget"])
    return found


def _choice(widgets: pa.Table, page: str) -> str:
    """Return a name for the widgets that a page may show."""
    of_page = _choices(widgets).get(page, [])
    return f"{len(of_page)} ({blake2b(_json(of_page), digest_size=4).hexdigest()})"


def newest(changes: pa.Table, key: str, changed: str) -> pa.Table:
    """Return of a change table the newest row of each entity, without those that were deleted then."""
    if not len(changes):
        return changes
    ordered = changes.sort_by([(key, "ascending"), (changed, "ascending")]).combine_chunks()
    names = ordered[key]
    is_last = pa.concat_arrays(
        [pc.not_equal(names[:-1], names[1:]).combine_chunks(), pa.array([True])]
        if len(names) > 1
        else [pa.array([True])]
    )
    kept = ordered.filter(is_last)
    return kept.filter(pc.invert(pc.fill_null(kept["is_deleted"], False)))


def _draw_keys(batch: pa.RecordBatch) -> pa.BinaryArray:
    subject = batch["subject"]
    own = pc.binary_join_element_wise("layout", batch["page"], subject, ":")
    return pc.if_else(pc.starts_with(subject, keys.DEFAULT_PREFIX), subject, own).cast(pa.binary())


def _pairs(batches: Iterable[pa.RecordBatch]) -> Iterator[Pair]:
    for batch in batches:
        yield from zip(batch["key"].to_pylist(), batch["value"].to_pylist(), strict=True)


@contextmanager
def bounded(scratch: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an engine that sorts and joins rows of any number in bounded memory, spilling to `scratch`."""
    settings: dict[str, Any] = {"memory_limit": SORT_MEMORY, "temp_directory": scratch, "threads": 2}
    with duckdb.connect(config=settings) as connection:
        connection.execute("set enable_progress_bar = false")
        yield connection


def _ordered(rows: pa.RecordBatchReader, by: str, scratch: str) -> Iterator[pa.RecordBatch]:
    """Sort rows of any number by a text column, in bounded memory, spilling to `scratch`."""
    with bounded(scratch) as connection:
        yield from connection.from_arrow(rows).order(by).to_arrow_reader(ROWS)


def _lists(lists: pa.Table) -> Iterator[Pair]:
    """Yield the shop's lists: a category's under its own name, whatever the list's key is."""
    found = {}
    for row in lists.select(["list_key", "kind", "category", "products"]).to_pylist():
        name = f"category:{row['category']}" if row["kind"] == "category" else row["list_key"]
        found[f"list:{name}".encode()] = _json(row["products"])
    yield from sorted(found.items())


def _versions(who: pa.RecordBatchReader | None, flags: FlagSet, scratch: str) -> Iterator[Pair]:
    """Yield the versions that rules give subjects, where chance alone would give others."""
    if who is None:
        return
    schema = pa.schema([("key", pa.binary()), ("value", pa.binary())])
    decided = (_decided(batch, flags, schema) for batch in who)
    yield from _pairs(_ordered(pa.RecordBatchReader.from_batches(schema, decided), "key", scratch))


def _decided(batch: pa.RecordBatch, flags: FlagSet, schema: pa.Schema) -> pa.RecordBatch:
    columns = (batch[name].to_pylist() for name in ("subject", "role", "region", "segments"))
    rows = [
        (keys.versions_key(subject), _json(versions))
        for subject, role, region, segments in zip(*columns, strict=True)
        if (versions := flags.differing(subject, Who(role, region, tuple(segments or ()))))
    ]
    return pa.RecordBatch.from_arrays(
        [pa.array([row[place] for row in rows], pa.binary()) for place in (0, 1)], schema=schema
    )


def _entities(kind: str, rows: pa.Table, key: str, fields: Sequence[str]) -> Iterator[Pair]:
    for batch in rows.select([key, *fields]).sort_by(key).to_batches(max_chunksize=ROWS):
        for row in batch.to_pylist():
            name = row.pop(key)
            yield (
                f"{kind}:{name}".encode(),
                _json({label: value for label, value in row.items() if value is not None}),
            )


def _own(inputs: Inputs, scratch: str) -> Iterator[Pair]:
    """Yield each subject's strongest categories and own products, all under one key; nobody's first."""
    if members := _nobody(inputs):
        yield b"own:", _object(members)
    found = chain(map(_strongest_members, inputs.strongest), map(_list_members, inputs.own_lists))
    schema = pa.schema([("subject", pa.string()), ("member", pa.string())])
    subject = ""
    members = []
    for batch in _ordered(pa.RecordBatchReader.from_batches(schema, found), "subject, member", scratch):
        for name, member in zip(batch["subject"].to_pylist(), batch["member"].to_pylist(), strict=True):
            if members and name != subject:
                yield f"own:{subject}".encode(), _object(members)
                members = []
            subject = name
            members.append(member)
    if members:
        yield f"own:{subject}".encode(), _object(members)


def _nobody(inputs: Inputs) -> list[str]:
    """Return what a subject without a history shows: the first categories among the best sellers."""
    lists = inputs.shared_lists
    best = lists.filter(pc.equal(lists["list_key"], "bestsellers"))["products"].to_pylist()
    wanted = pc.is_in(inputs.products["product_id"], value_set=pa.array(best[0] if best else [], pa.string()))
    sold = inputs.products.filter(wanted).select(["product_id", "category"])
    category = dict(zip(*sold.to_pydict().values(), strict=True))
    ordered = dict.fromkeys(category[product] for product in (best[0] if best else []) if product in category)
    return [f"{_text(widget)}:{_text(name)}" for widget, name in zip(PERSONAL, ordered, strict=False)]


def _strongest_members(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return members "category1":"CATEGORY" and "category2":"CATEGORY"."""
    parts = []
    for widget in PERSONAL:
        known = batch.filter(pc.is_valid(batch[widget]))
        member = pc.binary_join_element_wise(_text(widget), _quoted(known[widget]), ":")
        parts.append(pa.RecordBatch.from_arrays([known["subject"], member], ["subject", "member"]))
    return pa.concat_batches(parts)


def _list_members(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return each list as a member "CATEGORY":["product id",...]."""
    lists = batch["products"]
    quoted = pa.ListArray.from_arrays(_offsets(lists), _quoted(pc.list_flatten(lists)))
    joined = pc.binary_join(quoted, ",")
    member = pc.binary_join_element_wise(_quoted(batch["category"]), ":[", joined, "]", "")
    return pa.RecordBatch.from_arrays([batch["subject"], member], ["subject", "member"])


def _offsets(lists: pa.ListArray) -> pa.Int32Array:
    counts = pc.list_value_length(lists).to_numpy()
    return pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))


def _quoted(texts: pa.StringArray) -> pa.StringArray:
    coded = texts.dictionary_encode()
    return pa.array(map(_text, coded.dictionary.to_pylist()), pa.string()).take(coded.indices)


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


def _json(content: Any) -> bytes:
    return _text(content).encode()


def _object(members: Sequence[str]) -> bytes:
    return f"{{{','.join(members)}}}".encode()
