"""Ranking on request, for who has no layout: by the live policy's coefficients, on what little is known.

A subject of whom nothing is known has the context of a page's default variant: every feature missing. On top
come what widgets are like to anybody, the calendar, and what the request or the store tells:

    role, region         role/NAME, region/NAME are 1, their others 0
    recent categories    share/WIDGET of widgets with a category: (times named + 2 · anybody's) / (names + 2),
                         as for so many visits; ml.features.history
    own products         has_orders is 1
    variant              variant/PART is 1 for its parts, as phone

Scores are expected rewards, θ·x, weighed for the page's goals; there is no exploration bonus, for that wants
the covariances. Slates are drawn as at night, under the page's rules, from the widgets that are for the role,
region and variant that are known; filters are silent, for nothing tells when something was bought or seen.
The numbers depend on the seed, the subject, the page, its variant, the day that is served and nothing else:
so whoever asks again is drawn the same, and what is drawn when more is known differs only where scores and
widgets do.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jobs.config import Feature
from jobs.epochs import EPOCH_ZERO
from jobs.request_steering import Steered
from jobs.store.errors import BrokenValue
from jobs.variants import VARIANT, parts_of
from ml.bandits.fixed import Fixed
from ml.bandits.policy import Flags, Floats
from ml.draw import DrawRule
from ml.features import assemble, column_names, scaled
from ml.features.history import PRIOR_VISITS
from ml.features.sets import MISSING
from ml.features.values import calendar
from ml.randomness import subject_keys, uniform
from ml.rank import ruled
from ml.reasons import EXPLORED, PINNED, part_columns, phrase, reasons

FORMAT = 2
PURPOSE = "request"
MOST_KNOWN = 100_000
BY_REQUEST = "request:"
ONE_OF = ("role/", "region/")


class Known(NamedTuple):
    """What a request or the store tells of a subject; empty where it does not."""

    role: str = ""
    region: str = ""
    recent: tuple[str, ...] = ()
    has_orders: bool = False
    variant: str = ""


class Ranking(NamedTuple):
    """A drawn slate, position after position, as `layouts` has it; and the widgets and rules behind it."""

    widgets: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    reasons: tuple[str, ...]
    draw_id: str
    policy_version: str
    candidates: list[str]
    rules: str | None


@dataclass(frozen=True)
class _Set:
    context: list[Feature]
    action: list[Feature]


class _Plain(Fixed):
    """Coefficients applied to a row at a time: without blocks of rows, threads and their locks."""

    def scores(
        self, contexts: Floats, action_contexts: Floats | None = None, *, columns: Flags | None = None
    ) -> NDArray[np.float32]:
        """Return (n, k) expected rewards; `columns` (k, d) are the features that count, None for all."""
        theta = self.theta_ if columns is None else self.theta_ * columns
        shared = contexts.shape[1]
        scores = np.einsum("nd,kd->nk", contexts, theta[:, :shared])
        if action_contexts is not None:
            scores = scores + np.einsum("nkd,kd->nk", action_contexts, theta[:, shared:])
        return scores.astype(np.float32)


class Ranker:
    """Ranks one page, from the value of its key `policy:PAGE`; `categories` are what widgets show, by name.

    Raises
    ------
    BrokenValue
        When the value cannot be read, or needs a later reader.

    """

    def __init__(self, value: bytes, categories: Mapping[str, str]) -> None:
        try:
            about = json.loads(value)
            if about["format"] > FORMAT:
                raise ValueError(
                    f"it needs a reader of format {about['format']}, and this one knows {FORMAT}"
                )
            self.page, self.candidates = str(about["page"]), list(about["candidates"])
            self.version = BY_REQUEST + str(about["policy_version"])
            self._positions, self._seed = min(about["positions"], len(self.candidates)), about["seed"]
            self._features = _Set(
                *([Feature(**one) for one in about[part]] for part in ("context", "action"))
            )
            self._static: dict[str, float] = about["static"]
            self._model = _Plain(np.array(about["theta"], dtype=np.float64), DrawRule(**about["rule"]))
            self._context, self._action = self._anybody()
            Fixed.scores(self._model, self._context, self._action)  # says which shapes do not fit
            self._steered = Steered(about, self.candidates)
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenValue(f"What ranks a page on request cannot be read: {error}.") from None
        self._common = hashlib.blake2b(value, digest_size=16)
        self._shown = {widget: categories.get(widget, "") for widget in self.candidates}
        self._places = _places(self._features, self.candidates)
        self._known: dict[tuple[bool, int, float], np.float32] = {}
        self._parts = part_columns(self._features.context, self._features.action, self.candidates)

    def rank(self, subject: str, day: date, known: Known) -> Ranking | None:
        """Draw a subject's page for the day that is served; None where its rules leave them nothing."""
        known = known._replace(variant=known.variant or self._steered.main)
        may = self._steered.may(known.role, known.region, known.variant)
        if may is None:
            return None
        context, action = self._contexts(day, known)
        numbers = uniform(
            self._seed,
            np.repeat(subject_keys([subject]), self._positions),
            page=self.page,
            purpose=f"{PURPOSE} {known.variant}" if known.variant else PURPOSE,
            position=np.arange(self._positions),
            epoch=(day - EPOCH_ZERO).days,
        )
        scores = self._model.scores(context, action)
        wanted, rule = self._steered.wanted(scores), self._model.rule
        slates, propensities = ruled.draw(
            wanted, may.eligible, rule=rule, uniforms=numbers[None, :], rules=self._steered.rules
        )
        there = slates[0] >= 0  # under rules a page may be shorter than it could be
        slates, propensities = slates[:, there], propensities[:, there]
        under = self._steered.name(may, known.variant)
        return Ranking(
            tuple(self.candidates[column] for column in slates[0]),
            tuple(scores[0, slates[0]].tolist()),
            tuple(propensities[0].tolist()),
            self._reasons(context, action, wanted, slates),
            self._draw_id(subject, day, under, [context, action, slates, propensities]),
            self.version,
            may.candidates,
            may.rules,
        )

    def _reasons(
        self,
        context: NDArray[np.float32],
        action: NDArray[np.float32],
        wanted: Floats,
        slates: NDArray[np.int32],
    ) -> tuple[str, ...]:
        parts = reasons(self._model, context, action, wanted, slates, self._parts)[0]
        words = (*self._parts, EXPLORED)
        return tuple(
            PINNED if self._steered.is_pinned(column) else phrase(self.candidates[column], words[part])
            for column, part in zip(slates[0], parts, strict=True)
        )

    def _anybody(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        unknown = np.array([np.nan])
        columns = {
            name: np.array([self._static[name]]) if name in self._static else unknown
            for name in column_names(self._features, self.candidates)
        }
        return assemble(columns, self._features, self.candidates, rows=1)

    def _contexts(self, day: date, known: Known) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        context, action = self._context.copy(), self._action.copy()
        for name, value in self._values(day, known):
            for arm, column in self._places.get(name, ()):
                x = self._scaled(arm is None, column, value)
                if arm is None:
                    context[0, column] = x
                else:
                    action[0, arm, column] = x
        return context, action

    def _scaled(self, is_shared: bool, column: int, value: float) -> np.float32:
        """Return a feature's number for a value; what requests tell is much the same, so it is kept."""
        asked = (is_shared, column, value)
        found = self._known.get(asked)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            feature = (self._features.context if is_shared else self._features.action)[column]
            told = 0.0 if feature.name.startswith(MISSING) else value
            found = self._known[asked] = scaled(np.array([told]), feature)[0]
        return found

    def _values(self, day: date, known: Known) -> Iterable[tuple[str, float]]:
        """Yield what is known, by the names of features."""
        the_day = np.array([(day - timedelta(1) - EPOCH_ZERO).days])
        yield from ((name, float(value[0])) for name, value in calendar(the_day, (1,)).items())
        for prefix, chosen in zip(ONE_OF, (known.role, known.region), strict=True):
            if chosen:
                names = (name for name in self._places if name.startswith(prefix))
                yield from ((name, float(name == prefix + chosen)) for name in names)
        if known.has_orders:
            yield "has_orders", 1.0
        if known.variant:
            parts = parts_of(known.variant)
            names = (name for name in self._places if name.startswith(VARIANT))
            yield from ((name, float(name.removeprefix(VARIANT) in parts)) for name in names)
        if known.recent:
            visits = len(known.recent)
            for widget, category in self._shown.items():
                name = f"share/{widget}"
                if category and (anybody := self._static.get(name)) is not None:
                    count = known.recent.count(category)
                    yield name, (count + PRIOR_VISITS * anybody) / (visits + PRIOR_VISITS)

    def _draw_id(self, subject: str, day: date, under: str, content: Sequence[NDArray[Any]]) -> str:
        """Name the draw after all that it was drawn from and what was drawn, as jobs/drawing.py does."""
        name = self._common.copy()
        name.update(f"|{PURPOSE}|{day}|{subject}|{under}".encode())
        for part in content:
            name.update(part.tobytes())
        return name.hexdigest()


def _places(features: _Set, candidates: Sequence[str]) -> dict[str, list[tuple[int | None, int]]]:
    """Return where each value goes: columns of the context, or an arm's columns of the action context."""
    found: dict[str, list[tuple[int | None, int]]] = {}
    for column, feature in enumerate(features.context):
        found.setdefault(feature.name.removeprefix(MISSING), []).append((None, column))
    for column, feature in enumerate(features.action):
        for arm, widget in enumerate(candidates):
            name = feature.name.removeprefix(MISSING).replace("{widget}", widget)
            found.setdefault(name, []).append((arm, column))
    return found
