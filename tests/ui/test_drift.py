"""The page Drift: what moved comes first, for everyone and by segment, and says how far."""

from datetime import timedelta
from typing import Any

import pytest

from jobs.ui import drift
from jobs.ui.view import Table, View, render
from tests.ui.given import NIGHT, ODD
from tests.ui.test_views import blocks, texts

BOUNDS = {"watch": 0.1, "alarm": 0.25}


def row(name: str, psi: float, ago: int = 0, **more: Any) -> dict[str, Any]:
    """Return a comparison of a feature, everyone's since training."""
    level = "alarm" if psi >= 0.25 else "watch" if psi >= 0.1 else "steady"
    about = {"kind": "feature", "who": "everyone", "against": "training", "n": 9, "shift": 2 * psi}
    day = NIGHT - timedelta(ago)
    return {**about, "drift_date": day, "against_date": day - timedelta(28), "name": name, "psi": psi,
            "level": level, **more}  # fmt: skip


def shown(view: View, title: str = "Features") -> Table:
    found = blocks(view)[f"{title} that have moved"]
    assert isinstance(found, Table)
    return found


def test_what_moved_comes_first_for_everyone_and_by_segment() -> None:
    rows = [
        row("recency", 0.15),
        row("recency", 0.3, who="rare"),
        row("visits", 0.4),
        row("visits", 0.05, who="rare"),
        row("sales", 0.02),
        # Two champions: the training that is further away.
        row("visits", 0.2, against_date=NIGHT),
        row("basket", 0.12, against="last period", shift=1e9),
        row("old", 0.11, shift=None),
    ]
    view = drift.view(rows, [row("visits", 0.1, 1), row("visits", 0.4)], (), BOUNDS,
                      {"visits": "visits so far"}.get)  # type: ignore[arg-type]  # fmt: skip
    table = shown(view)
    away = str(NIGHT - timedelta(28))
    assert texts(table) == [
        ["visits", "training", "alarm", "0.40", "0.8", "0.05"],
        ["recency", "training", "alarm, in segments", "0.15", "0.3", "0.30"],
        ["basket", "last period", "watch", "0.12", "over 100", "–"],
        ["old", "training", "watch", "0.11", "–", "–"],
    ]
    assert table.heads[-1] == "rare"
    assert [(cell.kind, cell.small) for cell in table.rows[0][:4]] == [
        ("", "visits so far"), ("", away), ("bad", ""), ("bad", ""),
    ]  # fmt: skip
    assert 'aria-label="visits against training: index of 2 nights"' in table.rows[0][3].svg
    assert "1 are steady and left out" in table.note
    assert dict(view.facts) == {"day": str(NIGHT), "compared": "5", "alarm": "1", "watched": "3"}
    assert view.lead.startswith("Something has moved far.")


def test_what_grows_by_nature_is_shown_and_not_counted() -> None:
    view = drift.view([row("tenure", 0.7), row("recency", 0.1)], [], ["tenure"], BOUNDS)
    assert [cells[:3] for cells in texts(shown(view))] == [
        ["recency", "training", "watch"], ["tenure", "training", "grows by nature"],
    ]  # fmt: skip
    assert (dict(view.facts)["alarm"], dict(view.facts)["watched"]) == ("0", "1")
    assert view.lead.startswith("Something begins to move")


@pytest.mark.parametrize(("kind", "title"), [("score", "Predictions"), ("reward", "Rewards")])
def test_predictions_and_rewards_are_parts_of_their_own(kind: str, title: str) -> None:
    view = drift.view([row("churn/churn", 0.2, kind=kind), row("recency", 0.0)], [], (), BOUNDS)
    assert texts(shown(view, title))[0][0] == "churn/churn"
    assert shown(view).none == "all 1 that were compared are steady."
    assert view.lead.startswith("Something begins to move")


def test_a_page_of_much_drift_is_short_and_escapes_its_words() -> None:
    rows = [row(f"{ODD}{n:02d}", 0.3 + n / 100, who=who) for n in range(40) for who in ("everyone", ODD)]
    view = drift.view(rows, [], (), BOUNDS)
    assert len(shown(view).rows) == 30
    assert "10 more have moved less." in shown(view).note
    html = render(view)
    assert ODD not in html
    assert 'class="bad"' in html
