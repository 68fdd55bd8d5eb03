"""What `vitrine goals preview` prints, and the report that it writes."""

import sys
from pathlib import Path

from jobs.config import Config
from jobs.goals_log import read
from jobs.goals_page import lines, render
from jobs.goals_preview import preview
from jobs.page import SIMULATED
from jobs.page_specs import check_weights


class WeightsError(ValueError):
    """Weights that cannot be; the sentence says why."""


def parse(text: str) -> dict[str, float]:
    """Return the weights of a text such as click=1,revenue=0.5.

    Raises
    ------
    WeightsError
        One sentence: what does not parse, a weight that cannot be, or none above 0.

    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        try:
            weight = float(value)
        except ValueError:
            weight = None
        if not (name and equals) or weight is None:
            raise WeightsError(
                f"--weights: {part.strip()!r} is no weight; write them as click=1,revenue=0.5."
            )
        if name in found:
            raise WeightsError(f"--weights names {name!r} twice; name each goal once.")
        found[name] = weight
    try:
        check_weights(found)
    except ValueError as error:
        raise WeightsError(f"--weights: {error}.") from None
    return found


def show(config: Config, page: str, weights: str, days: int, visits: int, output: Path | None) -> None:
    """Preview weights of a page: print what they gain and lose, and write the report."""
    if page not in config.pages:
        raise WeightsError(f"There is no page {page!r}; the pages are {', '.join(sorted(config.pages))}.")
    asked = parse(weights)
    log = read(config, config.pages[page], days, visits)
    try:
        found = preview(log, asked)
    except ValueError as error:
        raise WeightsError(f"{error}.".replace("..", ".")) from error
    target = output or config.home / "reports" / "goals" / f"{page}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render(found, SIMULATED if config.ids.demo_key is not None else ""), encoding="utf-8")
    sys.stdout.write("\n".join([*lines(found), "", f"The report: {target}"]) + "\n")
