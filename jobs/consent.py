"""Consent: of whom something may be kept and learned for the configured purpose, as of a day.

Who did not grant it is only counted: `events` keeps the row without any id, all that is personal leaves it
out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.config import Consent
from jobs.copies import codes
from jobs.pieces import Ints
from jobs.sources import changes
from jobs.sources.hits import NOBODY


@dataclass(frozen=True)
class Answers:
    """Who answered otherwise than by default, for which days: plain arrays, to travel to the tasks.

    They are known by the last 64 bits of their pseudonym, as ids of events are. Packed they are six or seven
    bytes an answer, so that those of ten million subjects go to every task, by Spark Connect, too.

    tails: (answers,) uint64, sorted.
    first, until: (answers,) int32, days since 1970: that of the answer, and that of the next one.
    """

    by_default: bool
    tails: npt.NDArray[np.uint64]
    first: npt.NDArray[np.int32]
    until: npt.NDArray[np.int32]

    def granted(self, subjects: pa.Array, days: Ints) -> npt.NDArray[np.bool_]:
        """Whether each subject agreed, as of its day: (rows,); by default who never answered."""
        # Of nobody there is no answer, either.
        numbers, distinct = codes(pc.if_else(pc.equal(subjects, NOBODY), None, subjects))
        tails = _tails(distinct)
        # One place more: of rows without a subject, whose number is -1.
        begin, end = (
            np.append(np.searchsorted(self.tails, tails, side), 0)[numbers] for side in ("left", "right")
        )
        told = np.zeros(len(days), bool)
        answered = np.flatnonzero(begin < end)
        while len(answered):
            at, day = begin[answered], days[answered]
            told[answered] |= (self.first[at] <= day) & (day < self.until[at])
            begin[answered] += 1
            answered = answered[begin[answered] < end[answered]]
        return told != self.by_default

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel packed: what follows a tail is near it, and most answers hold for ever."""
        steps = np.diff(self.tails, prepend=np.uint64(0))
        return _sent, (self.by_default, *map(_packed, (steps, self.first, self.until)))


def answers(consents: DataFrame, consent: Consent) -> Answers:
    """Collect the answers of all days: what comes too late, and is turned away, may be of any."""
    held = _answered(consents, consent).where(_tells(consent))
    found = held.select("answered", "valid_from", "valid_until").toArrow()
    # Chunk by chunk: as Python's texts, all would take a hundred bytes each.
    tails = np.concatenate([np.empty(0, np.uint64), *map(_tails, found["answered"].chunks)])
    first, until = (found[name].cast(pa.int32()).to_numpy() for name in ("valid_from", "valid_until"))
    order = np.argsort(tails, kind="stable")
    return Answers(consent.by_default, tails[order], first[order], until[order])


def _packed(numbers: npt.NDArray[Any]) -> tuple[str, int, bytes]:
    """Compress numbers, all their first bytes together, then all their second ones."""
    planes = np.ascontiguousarray(numbers.view(np.uint8).reshape(-1, numbers.itemsize).T)
    return numbers.dtype.str, planes.size, pa.compress(planes.tobytes(), codec="zstd", asbytes=True)


def _sent(by_default: bool, *packed: tuple[str, int, bytes]) -> Answers:
    planes = [
        np.frombuffer(pa.decompress(one, size, "zstd", asbytes=True), np.uint8) for _, size, one in packed
    ]
    steps, first, until = (
        np.ascontiguousarray(plane.reshape(np.dtype(kind).itemsize, -1).T).view(kind).reshape(-1)
        for plane, (kind, *_) in zip(planes, packed, strict=True)
    )
    return Answers(by_default, np.cumsum(steps, dtype=np.uint64), first, until)


def _tails(subjects: pa.Array) -> npt.NDArray[np.uint64]:
    """The last 64 bits of pseudonyms."""
    digits = "".join(changes.tails(subjects).to_pylist())
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


def with_consent(
    rows: DataFrame, consents: DataFrame, consent: Consent, *, subject: str, day: str
) -> DataFrame:
    """Add `is_consented`: the subject's newest answer as of the day, else conf's `consent.by_default`."""
    telling = _answered(consents, consent).where(_tells(consent))
    of_the_day = (
        (F.col(subject) == F.col("answered"))
        & (F.col(day) >= F.col("valid_from"))
        & (F.col(day) < F.col("valid_until"))
    )
    answered = rows.join(telling, of_the_day, how="left")
    is_consented = F.coalesce("is_granted", F.lit(consent.by_default)).alias("is_consented")
    return answered.select(*rows.columns, is_consented)


def without_refusals(
    rows: DataFrame, consents: DataFrame, consent: Consent, *, subject: str, day: str
) -> DataFrame:
    """Leave out whose newest answer as of the day is a no: whoever has rows here said yes before."""
    refused = _answered(consents, consent).where(~F.col("is_granted"))
    of_the_day = (
        (F.col(subject) == F.col("answered"))
        & (F.col(day) >= F.col("valid_from"))
        & (F.col(day) < F.col("valid_until"))
    )
    return rows.join(refused, of_the_day, how="left_anti")


def _tells(consent: Consent) -> Column:
    """Whether an answer is another than the default, which needs no row."""
    return F.col("is_granted") != F.lit(consent.by_default)


def _answered(consents: DataFrame, consent: Consent) -> DataFrame:
    asked = consents.where(F.col("purpose") == consent.purpose)
    return changes.valid(asked, "subject").select(
        F.col("subject").alias("answered"), "is_granted", "valid_from", "valid_until"
    )
