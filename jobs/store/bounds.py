"""Is a new generation like the one before? Its counts, its rewards and what changed must lie within bounds.

What changes for a reason (a policy went live, a page got other rules or widgets) changes everybody's layouts:
then the bounds do not hold for that page, and the reason is kept in `exports`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """How far a page may be from the night before.

    changed : share of the layouts of subjects that both nights have, which may be others
    gone : share of the subjects of the night before that may have none now
    reward : factor by which the mean expected reward of a layout may grow or shrink
    """

    changed: float = 1.0
    gone: float = 1.0
    reward: float = float("inf")


@dataclass
class PageFigures:
    """What the heartbeat says of a page: layouts, mean expected reward of one, and by which terms they came.

    `terms` are in words; where one of them is another, bounds do not hold.
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


@dataclass(frozen=True)
class Verdict:
    """What is wrong, in a sentence, and for which reasons bounds did not hold; empty where there is none."""

    problem: str = ""
    off: str = ""


def judge(
    before: Figures, now: Figures, moves: dict[str, Moves], nights: int, bounds: Bounds, accepted: str = ""
) -> Verdict:
    """Compare a generation with the one before it, made so many nights earlier, page by page.

    `accepted` is why a person wants it whatever the bounds say.
    """
    if not before:
        return Verdict(off="there is no generation before it to compare with")
    problems, reasons = list[str](), list[str]()
    for page in sorted(before.keys() | now.keys()):
        if why := _reason(page, before.get(page), now.get(page)):
            reasons.append(why)
        else:
            problems += _beyond(page, before[page], now[page], moves.get(page, Moves()), nights, bounds)
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


def _beyond(
    page: str, before: PageFigures, now: PageFigures, moves: Moves, nights: int, bounds: Bounds
) -> Iterable[str]:
    stayed = before.layouts - moves.gone
    if nights <= 1 and moves.changed > bounds.changed * stayed:
        yield _share(page, moves.changed, stayed, "layouts are others than the night before", bounds.changed)
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
    """Read what a heartbeat says of its pages."""
    return {page: PageFigures(**figures) for page, figures in content.items()}


def nights_between(before: str, now: date) -> int:
    """Return how many nights lie between a heartbeat's and another."""
    return (now - date.fromisoformat(before)).days
