"""Why a layout looks as it does, position by position, in words: from its row of `layouts` alone.

Reads   layouts: the newest live night of a subject
Writes  nothing
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from jobs import steering
from jobs.config import Config
from jobs.scenarios import LIVE
from jobs.tables import Tables
from ml.rank.redundancy import add, nothing_yet
from ml.rank.rules import NONE, Rules, begin, options, place
from ml.reasons import PINNED

MOST_NAMED = 3
COLUMNS = (
    "layout_date", "page", "drawn_date", "policy_version", "widgets", "scores", "bonuses", "propensities",
    "reasons", "candidates", "rules",
)  # fmt: skip


def of_subject(config: Config, subject: str) -> Iterator[str]:
    """Explain a subject's pages of the newest night; one line says so when there are none."""
    mine = (ds.field("subject") == subject) & (ds.field("scenario") == LIVE)
    rows = Tables(config.tables).read("layouts", mine, list(COLUMNS)).to_pylist()
    if not rows:
        yield f"{subject} has no layout of their own: readers give them one of the page's defaults."
        return
    newest = max(row["layout_date"] for row in rows)
    for row in sorted(
        (row for row in rows if row["layout_date"] == newest), key=lambda row: str(row["page"])
    ):
        yield from explain(row)


def explain(row: Mapping[str, Any]) -> Iterator[str]:
    """Tell a page's positions: reward, exploration, what likeness cost, chance, and whom rules kept out."""
    yield f"{row['page']}, drawn on {row['drawn_date']} by {row['policy_version']}:"
    steps = [(0.0, "")] * len(row["widgets"])
    if row["rules"] is not None:
        steps = list(_under_rules(row, steering.read(row["rules"])))
    kind = json.loads(row["rules"]).get("diversity", ["none"])[0] if row["rules"] else "none"
    for number, (widget, (cost, kept_out)) in enumerate(zip(row["widgets"], steps, strict=True)):
        score, bonus, chance, why = (
            row[name][number] for name in ("scores", "bonuses", "propensities", "reasons")
        )
        if why == PINNED:
            told = f"pinned here, whatever else (its expected reward is {score:.3f})"
        else:
            told = f"{why}; expected reward {score:.3f}"
            told += f", {bonus:+.3f} for exploration" if abs(bonus) >= 5e-4 else ""
            told += f", {-cost:+.3f} for being like what stands above ({kind})" if cost >= 5e-4 else ""
            told += f"; drawn with a chance of {100 * chance:.{0 if chance >= 0.1 else 1}f} %"
        yield f"  {number + 1}. {widget}: {told}.{kept_out}"


def _under_rules(row: Mapping[str, Any], rules: Rules) -> Iterator[tuple[float, str]]:
    """Walk down the page: what likeness cost each widget, and a sentence about whom the rules kept out."""
    names, k = row["candidates"], len(row["candidates"])
    arrays, everyone = rules.arrays, np.ones(k, dtype=np.bool_)
    left, allowed = np.empty(k, dtype=np.bool_), np.empty(k, dtype=np.bool_)
    counts, cost, residual = np.empty(len(rules.caps), dtype=np.int64), np.empty(k), np.empty(k)
    components = np.empty((len(rules.pins), k))
    slate = np.full(len(rules.pins), -1, dtype=np.int32)
    begin(everyone, arrays, left, counts)
    nothing_yet(cost, residual, components)
    for position, widget in enumerate(row["widgets"]):
        chosen = names.index(widget)
        options(position, slate, everyone, arrays, left, allowed)
        # Pins have a place of their own: they are not missed here.
        missed = ~allowed & ~np.isin(np.arange(k), [*slate, *rules.pins])
        told = "" if chosen in rules.pins else _kept_out(names, missed)
        yield float(rules.strength * cost[chosen]), told
        slate[position] = chosen
        place(chosen, everyone, arrays, left, counts)
        if rules.kind != NONE:
            add(chosen, position, arrays, cost, residual, components)


def _kept_out(names: list[str], out: np.ndarray) -> str:
    found = [name for name, is_out in zip(names, out, strict=True) if is_out]
    if not found:
        return ""
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f" Rules kept out {', '.join(found[:MOST_NAMED])}{more}."
