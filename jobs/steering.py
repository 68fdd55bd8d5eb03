"""A page's rules, bound to the candidates of a draw: as text beside the draw, and as what the draw takes.

The text holds all that the rules said, by columns of the draw's candidates: a log tells by itself what its
rules allowed, whatever conf/ or a widget's labels say later. Equal texts are equal rules.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs import bound_rules
from jobs.config import ConfigError
from jobs.labels import LABELS
from jobs.page_filters import Spoken, give_way
from jobs.page_specs import Page, PageRules
from jobs.variants import parts_of
from ml.rank.rules import KINDS, NO_CAP, NOBODY, Rules

Labels = Mapping[str, Mapping[str, Any]]

MOST_ELSEWHERE = 2_000
"""Candidates of a draw whose rules came from elsewhere."""


def eligible(
    page: Page, candidates: Sequence[str], role: str | None, region: str | None, variant: str = ""
) -> tuple[str, ...]:
    """Return the candidates that are for someone of this role and region, on this variant, in their order."""
    audiences, parts = page.rules.eligible if page.rules else {}, parts_of(variant)
    return tuple(
        widget
        for widget in candidates
        if widget not in audiences or audiences[widget].has(role, region, parts)
    )


def audience(
    page: Page, candidates: Sequence[str], rows: pa.RecordBatch, variant: str = ""
) -> NDArray[np.bool_]:
    """Return (n, k) for which of some subjects, rows with `role` and `region`, a candidate is."""
    found = np.ones((rows.num_rows, len(candidates)), dtype=np.bool_)
    if page.rules and page.rules.eligible:
        who = list(zip(rows["role"].to_pylist(), rows["region"].to_pylist(), strict=True))
        of = {one: np.isin(candidates, eligible(page, candidates, *one, variant)) for one in set(who)}
        found = np.array([of[one] for one in who]).reshape(found.shape)
    return found


@dataclass(frozen=True, eq=False)
class May:
    """Who may stand on the pages of n subjects, of k candidates.

    rules : those of the page, bound to all candidates; `eligible` (n, k) says whom each subject may see.
    texts : (n,) the rules bound to the candidates that a subject may see, as beside its draw.
    filtered : (n,) what the page's filters say, as WIDGET: WHY; None for a page without filters.
    """

    rules: Rules
    eligible: NDArray[np.bool_]
    texts: pa.DictionaryArray
    filtered: pa.ListArray | None

    def filter(self, wanted: pa.BooleanArray) -> "May":
        """Return some of the subjects."""
        filtered = None if self.filtered is None else self.filtered.filter(wanted)
        return May(
            self.rules,
            self.eligible[wanted.to_numpy(zero_copy_only=False)],
            self.texts.filter(wanted),
            filtered,
        )

    def alike(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        """Yield the texts, and the subjects that have each: who may see the same."""
        codes = np.asarray(self.texts.indices)
        order = np.argsort(codes, kind="stable")
        for at in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
            if len(at):
                yield self.texts.dictionary[int(codes[at[0]])].as_py(), at


def may_stand(
    page: Page, candidates: Sequence[str], labels: Labels, rows: pa.RecordBatch, variant: str = ""
) -> May:
    """Tell who may stand on the pages of subjects, given their `role`, `region` and `lately`.

    Whom the rules leave nothing is eligible for nothing.
    """
    of_page, text = page.steered, bind(page, candidates, labels)
    if of_page is None or text is None:
        raise ValueError(f"page {page.page} has no rules")
    rules = read(text)
    eligible, filtered = audience(page, candidates, rows, variant), None
    if (said := spoken(page, candidates, labels, rows["lately"])) is not None:
        against = said.against & eligible
        filtered = said.words(against)
        eligible = give_way(eligible, against, rules.stands, page.positions)
    eligible = eligible & np.any(eligible & rules.stands, axis=1, keepdims=True)
    groups, whose = np.unique(eligible, axis=0, return_inverse=True)
    texts = bind_each(page, of_page, candidates, labels, groups)
    codes = pa.array(whose.ravel().astype(np.int32))
    return May(rules, eligible, pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.string())), filtered)


def spoken(page: Page, candidates: Sequence[str], labels: Labels, lately: pa.MapArray) -> Spoken | None:
    """Return what the page's filters say of some subjects; None for a page without filters."""
    if page.rules is None or not page.rules.filters.text:
        return None
    pinned = list(page.rules.pins.values())
    return Spoken(page.rules.filters, page.page, candidates, labels, lately, pinned=pinned)


def filters_of(text: str | None) -> dict[str, Any]:
    """Return the filters that rules which were bound had."""
    return dict(json.loads(text).get("filters", {})) if text else {}


def bind(page: Page, candidates: Sequence[str], labels: Labels) -> str | None:
    """Return the page's rules over these candidates as text; None for a page without rules.

    What a rule says of a widget that is no candidate is left out.
    """
    if page.steered is None:
        return None
    return bind_each(page, page.steered, candidates, labels, np.ones((1, len(candidates)), dtype=np.bool_))[0]


def bind_each(
    page: Page, rules: PageRules, candidates: Sequence[str], labels: Labels, groups: NDArray[np.bool_]
) -> list[str]:
    """Return for each of some groups of candidates (g, k) the rules of a page, bound to these alone.

    Under filters hardly two subjects have the same candidates, so what groups share is computed once.
    """
    columns = np.cumsum(groups, axis=1) - 1
    coded = {label: _codes([labels.get(widget, {}).get(label) for widget in candidates]) for label in LABELS}
    within = {label: _codes_within(codes, groups) for label, codes in coded.items()}
    themes = sorted({labels.get(widget, {}).get("theme") or "" for widget in candidates} - {""})
    place = {widget: column for column, widget in enumerate(candidates)}
    pinned = [place.get(rules.pins.get(at + 1, ""), NOBODY) for at in range(page.positions)]
    blocked = [(place[one], place[other]) for one, other in rules.blocked if {one, other} <= place.keys()]
    filters, alike = rules.filters.text, [rules.diversity.kind, rules.diversity.strength]
    texts = []
    for number, group in enumerate(groups):
        column = columns[number].tolist()
        own = {label: codes[number, group].tolist() for label, codes in within.items()}
        known = {code for code, there in zip(coded["theme"], group, strict=True) if there}
        bound: dict[str, Any] = {
            "pins": [column[at] if at != NOBODY and group[at] else NOBODY for at in pinned],
            "themes": own["theme"],
            "caps": [rules.caps.get(theme) for code, theme in enumerate(themes) if code in known],
            "spacing": rules.spacing,
            "blocked": sorted(
                sorted((column[one], column[other])) for one, other in blocked if group[one] and group[other]
            ),
        }
        if filters:
            bound["filters"] = filters
        if alike[0] != "none":
            bound |= {"diversity": alike, "labels": list(own.values())}
        texts.append(json.dumps(bound, separators=(",", ":")))
    return texts


def _codes_within(codes: Sequence[int], groups: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the values of each group (g, k) anew, in their order: those that it lacks are left out."""
    columns = np.array(codes, dtype=np.int64)
    there = np.stack(
        [groups[:, columns == code].any(axis=1) for code in range(max(codes, default=NOBODY) + 1)]
        or [np.zeros(len(groups), dtype=np.bool_)],
        axis=1,
    )
    return np.where(columns == NOBODY, NOBODY, (np.cumsum(there, axis=1) - 1)[:, columns])


@lru_cache(maxsize=1024)
def read(text: str) -> Rules:
    """Return what a draw takes of rules that were bound.

    Raises
    ------
    ConfigError
        When the text holds none.

    """
    bound = bound_rules.parse(text)
    k = len(bound.themes)
    kind, strength = bound.diversity
    try:
        if any(len(codes) != k for codes in bound.labels or ()):
            raise ValueError("labels are not of as many candidates as themes")
        blocked = np.zeros((k, k), dtype=np.bool_)
        for one, other in bound.blocked:
            blocked[one, other] = blocked[other, one] = True
        return Rules(
            np.array(bound.pins, dtype=np.int32),
            np.array(bound.themes, dtype=np.int32),
            np.array([NO_CAP if cap is None else cap for cap in bound.caps], dtype=np.int32),
            bound.spacing,
            blocked,
            KINDS[kind],
            strength,
            None if bound.labels is None else likeness(bound.labels),
        )
    except (IndexError, ValueError, MemoryError) as error:
        raise bound_rules.unreadable(str(error)) from None


def is_about(text: str, candidates: int) -> bool:
    """Tell whether a text that came from elsewhere holds rules about so many candidates."""
    try:
        # Counted before anything is made of them: what is made grows with their square.
        if len(bound_rules.parse(text).themes) != candidates or candidates > MOST_ELSEWHERE:
            return False
        read(text)
    except ConfigError:
        return False
    return True


def likeness(codes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return the (k, k) share of their labels that two widgets have in common, 1 on the diagonal."""
    columns = np.array(codes)
    same = (columns[:, :, None] == columns[:, None, :]) & (columns >= 0)[:, :, None]
    shared = same.mean(axis=0)
    np.fill_diagonal(shared, 1.0)
    return np.asarray(shared)


def likeness_of(candidates: Sequence[str], labels: Labels) -> NDArray[np.float64]:
    """Return the likeness of candidates by their labels."""
    return likeness(
        [_codes([labels.get(widget, {}).get(label) for widget in candidates]) for label in LABELS]
    )


def unknown(page: Page, candidates: Sequence[str]) -> list[str]:
    """Say which rules name a widget that is none of the candidates."""
    named = page.rules.named if page.rules else {}
    return [
        f"rules.{rule} names {widget!r}" for widget, rule in sorted(named.items()) if widget not in candidates
    ]


def _codes(values: Sequence[str | None]) -> list[int]:
    known = {name: code for code, name in enumerate(sorted({value for value in values if value}))}
    return [known.get(value or "", NOBODY) for value in values]
