"""Whether draws stand, asked of files: held against a plain search through the rows."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.contracts import contract
from jobs.drawn_before import Drawn
from jobs.merged import File
from jobs.standing_asked import EpochRow, counted, undrawn

NIGHT = date(2017, 11, 9)
OWN = [NIGHT - timedelta(back) for back in range(3)]
OWNS = [*OWN, NIGHT - timedelta(6)]
TERMS = {"home": "thome|direct|", "start": "tstart"}
NIGHTS = [NIGHT - timedelta(back) for back in (3, 2, 1)]
MAY = {night: frozenset(OWN[1:]) for night in NIGHTS[1:]}  # the oldest may not be leaned on
EPOCHS = [
    EpochRow(NIGHT, own, own, bit, page, 1 + bit, f"t{page}", page == "home")
    for bit, page in ((1, "home"), (2, "start"))
    for own in OWN
]
TONIGHT = pa.schema(
    [
        *((name, pa.date32()) for name in ("layout_date", "own_date")),
        ("subject", pa.string()),
        ("subject_bucket", pa.int32()),
        *((name, pa.string()) for name in ("role", "region")),
    ]
)


def drawn_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of three nights: subjects, days, terms and scenarios by chance; variants share a night."""
    found = []
    for night in NIGHTS:
        for number in np.flatnonzero(rng.random(40) < 0.6):
            for page in ("home", "start"):
                row = {
                    "layout_date": night,
                    "subject_bucket": int(number) % 2,
                    "subject": f"s{number:02d}",
                    "page": page,
                    "scenario": rng.choice(["live", "live", "live", "other"]),
                    "drawn_date": OWNS[number % 4] if rng.random() < 0.8 else OWN[rng.integers(3)],
                    "terms": rng.choice([TERMS[page], TERMS[page], "t" + page, "old"]),
                }
                found += [row | {"variant": variant} for variant in ("", "phone")]
    return found


def tonight(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Subjects of the night, some with a region, some of an own day that is none of the epochs'."""
    return [
        {
            "layout_date": NIGHT,
            "own_date": OWNS[number % 4],
            "subject": f"s{number:02d}",
            "subject_bucket": number % 2,
            "role": "direct",
            "region": rng.choice([None, None, "north"]),
        }
        for number in range(45)
    ]


def stands(row: dict[str, Any], epoch: EpochRow, before: list[dict[str, Any]]) -> bool:
    """Say it by the rule: of the page's newest live night, day and terms are those that are asked for."""
    own = [
        one
        for one in before
        if (one["subject"], one["page"], one["scenario"]) == (row["subject"], epoch.page, "live")
    ]
    if not own:
        return False
    newest = max(own, key=lambda one: one["layout_date"])
    terms = f"{epoch.terms}|{row['role']}|{row['region'] or ''}" if epoch.asks_who else epoch.terms
    may = newest["drawn_date"] in MAY.get(newest["layout_date"], ())
    return may and (newest["drawn_date"], newest["terms"]) == (epoch.feature_date, terms)


@pytest.mark.parametrize("batch_rows", [1, 4, 100])
@pytest.mark.parametrize("seed", range(4))
def test_what_stands_is_what_a_search_finds(tmp_path: Path, seed: int, batch_rows: int) -> None:
    rng = np.random.default_rng(seed)
    before, rows = drawn_rows(rng), tonight(rng)
    files: dict[int, list[File]] = {}
    for bucket in (0, 1):
        for night in NIGHTS:
            own = [one for one in before if (one["layout_date"], one["subject_bucket"]) == (night, bucket)]
            files.setdefault(bucket, []).append(File("layouts", night, f"{tmp_path}/{night}-{bucket}"))
            pq.write_table(
                pa.Table.from_pylist(own, contract("layouts").arrow_schema), files[bucket][-1].path
            )
    # A task reads one bucket's file, then the other's, then the first file's again, as a retry may.
    whole = [pa.Table.from_pylist(rows[bucket::2], TONIGHT) for bucket in (0, 1, 0)]
    batches = [batch for part in whole for batch in part.to_batches(max_chunksize=batch_rows)]
    asked = [
        (row, epoch)
        for place in (0, 1, 0)
        for row in rows[place::2]
        for epoch in EPOCHS
        if epoch.own_date == row["own_date"]
    ]
    drawn = Drawn(files, MAY)
    (counts,) = counted(iter(batches), epochs=EPOCHS, drawn=drawn)
    wanted: Counter[tuple[date, bool]] = Counter()
    for row, epoch in asked:
        wanted[epoch.feature_date, stands(row, epoch, before)] += epoch.variants
    told = counts.to_pylist()
    assert {(one["feature_date"], one["is_standing"]): one["layouts"] for one in told} == wanted
    assert {one["is_standing"] for one in told} == {False, True}
    made = pa.Table.from_batches(undrawn(iter(batches), epochs=EPOCHS, drawn=drawn)).to_pylist()
    found = Counter((one["subject"], one["page_bit"], one["feature_date"], one["region"]) for one in made)
    assert found == Counter(
        (row["subject"], epoch.page_bit, epoch.feature_date, row["region"])
        for row, epoch in asked
        if not stands(row, epoch, before)
    )


def test_without_any_earlier_layouts_nothing_stands() -> None:
    batch = pa.RecordBatch.from_pylist(tonight(np.random.default_rng(1))[:1], schema=TONIGHT)
    (counts,) = counted(iter([batch]), epochs=EPOCHS, drawn=Drawn({}, MAY))
    assert not any(row["is_standing"] for row in counts.to_pylist())
