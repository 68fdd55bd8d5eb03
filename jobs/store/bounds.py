"""Is a new generation like the one before? Its counts, its rewards and what changed must lie within bounds.

What changes for a reason (a policy went live, a page got other rules or widgets) changes everybody's layouts:
then the bounds do not hold for that page, and the reason is kept in `exports`. In the nights after it, and in
a shop's first, all its layouts are of days that late data rebuilds: then any may be others, but none gone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """How far a page may be from the night before.

    changed : share of the layouts of subjects that both nights have, which may be others
    gone : share of the subjects of the night before that may have none now
    reward : factor by which the mean expected reward of a layout may grow or shrink
    late_days : days before a night that late data may rebuild; `changed` holds once a page has older ones
    """

    changed: float = 1.0
    gone: float = 1.0
    reward: float = float("inf")
    late_days: int = 0


@dataclass
class PageFigures:
    """What the heartbeat says of a page: layouts, mean expected reward of one, and by which terms they came.

    `terms` are in words; where one of them is another, bounds do not hold. Fields stay these: readers of
    releases before this one take a heartbeat with any other for broken.
    """

    layouts: int = 0
    reward: float = 0.0
    terms: dict[str, str] = field(default_factory=dict)


@dataclass
class Moves:
    """What became of a page's layouts since the generation before."""

    new: int = 0
    changed: int = 0
    gone: int = 0


Figures = dict[str, PageFigures]
Ages = Mapping[str, int]
"""By page, how many nights ago it was first drawn by its terms; one without is older than anybody knows."""
UNTOLD: Ages = MappingProxyType({})


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in a sentence, and for which reasons bounds did not hold; empty where there is none."""

    problem: str = ""
    off: str = ""


def aged(ages: Ages, before: Figures, now: Figures, nights: int) -> dict[str, int]:
    """Return the ages of a generation's pages, given those of the one before it, so many nights older."""
    same = {page for page, of in now.items() if page in before and before[page].terms == of.terms}
    # A store of the release before tells no age: its pages stay without, and the bound holds at once.
    older = {page: ages[page] + nights for page in same if page in ages}
    return older | dict.fromkeys(now.keys() - same, 0)


def judge(
    before: Figures,
    now: Figures,
    moves: Mapping[str, Moves],
    nights: int,
    bounds: Bounds,
    *,
    ages: Ages = UNTOLD,
    accepted: str = "",
) -> Verdict:
    """Compare a generation with the one before it, made so many nights earlier, page by page.

    `ages` are those of its pages. `accepted` is why a person wants it whatever the bounds say.
    """
    if not before:
        return Verdict(off="there is no generation before it to compare with")
    problems, reasons = list[str](), list[str]()
    for page in sorted(before.keys() | now.keys()):
        if why := _reason(page, before.get(page), now.get(page)):
            reasons.append(why)
            continue
        of, moved = now[page], moves.get(page, Moves())
        if nights <= 1 and (others := _others(page, before[page], moved, bounds)):
            age = ages.get(page)
            if age is None or age > bounds.late_days:
                problems.append(others)
            else:
                reasons.append(f"{others}, as they may: {_young(age, bounds)}")
        problems += _beyond(page, before[page], of, moved, bounds)
    if nights > 1:
        reasons.append(f"the generation before it is {nights} nights older, so any layout may have changed")
    if problems and accepted:
        return Verdict(off="; ".join([f"accepted: {accepted}", *problems, *reasons]))
    return Verdict("; ".join(problems), "; ".join(reasons))


def _reason(page: str, before: PageFigures | None, now: PageFigures | None) -> str:
    """Return why a page may be wholly other than the night before, empty when it may not."""
    if before is None:
        return f"page {page} is new"
    if now is None:
        return f"page {page} is no more"
    for name in sorted(before.terms.keys() | now.terms.keys()):
        old, new = before.terms.get(name, ""), now.terms.get(name, "")
        if old != new:
            return f"page {page} has another {name}: {new} instead of {old}"
    return ""


def _others(page: str, before: PageFigures, moves: Moves, bounds: Bounds) -> str:
    """Say that too many layouts are others; empty when they are not."""
    stayed = before.layouts - moves.gone
    if moves.changed <= bounds.changed * stayed:
        return ""
    return _share(page, moves.changed, stayed, "layouts are others than the night before", bounds.changed)


def _young(age: int, bounds: Bounds) -> str:
    nights = f"{age} night{'' if age == 1 else 's'}"
    return (
        f"it has been drawn by its terms for {nights} only, and late data rebuilds the last"
        f" {bounds.late_days} days"
    )


def _beyond(page: str, before: PageFigures, now: PageFigures, moves: Moves, bounds: Bounds) -> Iterable[str]:
    if moves.gone > bounds.gone * before.layouts:
        yield _share(page, moves.gone, before.layouts, "subjects have no layout any more", bounds.gone)
    # Where nothing was expected (a policy that has learned nothing yet) anything is more.
    if before.reward and _factor(before.reward, now.reward) > bounds.reward:
        yield (
            f"on page {page} the mean expected reward of a layout went from {before.reward:.4g} to"
            f" {now.reward:.4g}, more than by the factor {bounds.reward:g}"
        )


def _factor(before: float, now: float) -> float:
    small, large = sorted((abs(before), abs(now)))
    return large / small if before * now > 0 else float("inf")


def _share(page: str, part: int, whole: int, what: str, bound: float) -> str:
    return f"on page {page} {part:,} of {whole:,} {what}, more than {bound:.0%}"


def read_figures(content: dict[str, Any]) -> Figures:
    """Read what a heartbeat says of its pages; what a later release says beside it is left out."""
    known = PageFigures.__dataclass_fields__
    return {
        page: PageFigures(**{name: value for name, value in figures.items() if name in known})
        for page, figures in content.items()
    }


def nights_between(before: str, now: date) -> int:
    """Return how many nights lie between a heartbeat's and another."""
    return (now - date.fromisoformat(before)).days
