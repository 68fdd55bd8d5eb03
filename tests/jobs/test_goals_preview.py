"""A preview of goals: values at logged servings against plain formulas, the front, and what it says."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs import goals_command, goals_log, goals_preview, page_goals
from jobs.config import load
from jobs.goals_page import about, lines, render, told_after
from jobs.goals_preview import Example, pareto
from jobs.tables import Tables
from ml.bandits import statistics
from ml.draw import first_position_probabilities
from ml.ope.intervals import Interval

LAST = date(2017, 10, 12)
DAYS = 3
WIDGETS = ["bestsellers", "category:cheese", "category:soup", "trending"]
THEMES = ["what others buy", "grocery", "grocery", "what others buy"]
WORTHS = np.array([[0.4, 0.4, 0.4, 0.8], [0.3, 0.3, 0.3, 0.1], [20.0, 90, 40, 10], [0.9, 0.5, 0.25, 1.0]])
SUBJECTS = 40


def rows(config: Any, spec: str, page: str, positions: int, *, worths: bool = True) -> dict[str, list[dict]]:
    """A log drawn uniformly; cheese earns most money, trending most clicks."""
    policy = config.policies[spec]
    features = config.feature_sets[policy.feature_set]
    rng = np.random.default_rng(3)
    k, width = len(WIDGETS), features.width
    shared = len(features.context)
    theta = np.zeros((k, width))
    theta[:, 0] = [0.9, 0.6, 0.5, 0.4]
    covariance = statistics.pack(np.stack([1e-12 * np.eye(width)] * k))
    made: dict[str, list[dict]] = {name: [] for name in ("feedback", "contexts", "policies", "widgets")}
    for day in range(DAYS + 1):
        fitted = LAST - timedelta(day)
        made["policies"].append(
            {"policy_version": f"{spec}@{fitted}", "fitted_date": fitted, "page": page, "spec": spec,
             "spec_digest": policy.digest, "widgets": WIDGETS, "theta": theta.ravel(),
             "covariance": covariance.ravel(), "common": [], "worths": WORTHS.ravel() if worths else None}
        )  # fmt: skip
    made["widgets"] = [
        {"widget": name, "changed_date": date(2017, 1, 1), "pages": [page], "is_deleted": False,
         "theme": theme, "core_theme": theme, "intent": "discover", "created_date": date(2017, 1, 1)}
        for name, theme in zip(WIDGETS, THEMES, strict=True)
    ]  # fmt: skip
    for day in range(DAYS):
        then = LAST - timedelta(day)
        for number in range(SUBJECTS):
            slate = rng.permutation(k)[:positions]
            draw_id = f"d{day}-{number}"
            subject = f"k1-{number:016x}{number:016x}"
            context = np.zeros(shared, np.float32)
            context[0] = 1.0
            made["contexts"].append(
                {"draw_id": draw_id, "decision_date": then, "subject": subject, "subject_bucket": number % 2,
                 "page": page, "feature_set": features.name, "candidates": WIDGETS, "context": context,
                 "action_context": np.zeros(k * (width - shared), np.float32), "is_served": True}
            )  # fmt: skip
            for position, column in enumerate(slate):
                click = float(rng.random() < [0.3, 0.2, 0.2, 0.5][column])
                basket = click * float(rng.random() < 0.5)
                made["feedback"].append(
                    {"decision_id": draw_id, "position": position, "decision_date": then,
                     "served_at": datetime(then.year, then.month, then.day, 1, tzinfo=UTC),
                     "subject": subject, "subject_bucket": number % 2, "role": "customer", "draw_id": draw_id,
                     "page": page, "widget": WIDGETS[column], "propensity": 1.0 / (k - position),
                     "policy_version": f"{spec}@x", "is_seen": True, "reward": max(3 * basket, click),
                     "rewards": {"click": click, "basket": basket, "detail": click,
                                 "revenue": basket * [100.0, 900, 400, 50][column]}}
                )  # fmt: skip
    return made


def logged(tmp_path: Any, monkeypatch: Any, page: str, spec: str, **more: Any) -> Any:
    monkeypatch.setenv("VITRINE_HOME", str(tmp_path))
    config = load(overlays="demo,test")
    config = config.model_copy(
        update={"pages": {page: config.pages[page].model_copy(update={"policy": spec})}}
    )
    positions = more.pop("positions", config.pages[page].positions)
    for table, made in rows(config, spec, page, positions, **more).items():
        Tables(config.tables).append(table, made)
    at = datetime(LAST.year, LAST.month, LAST.day, tzinfo=UTC)
    monkeypatch.setattr(goals_log.runs, "newest_day", lambda *_, **__: at.date() + timedelta(1))
    return config


@pytest.fixture
def start(tmp_path: Any, monkeypatch: Any) -> Any:
    return logged(tmp_path, monkeypatch, "start", "linucb-start")


def test_one_position_is_judged_by_the_doubly_robust_formula(start: Any) -> None:
    log = goals_log.read(start, start.pages["start"], 28, 1000)
    assert (log.spec, log.rows.num_rows) == ("linucb-start", DAYS * SUBJECTS)
    weights = {"click": 1.0, "revenue": 2.0}
    found = goals_preview.preview(log, weights)
    values = np.array([0.9, 0.6, 0.5, 0.4])
    goods = {
        "reward": values,
        **{name: values * WORTHS[row] for row, name in enumerate(page_goals.OF_REWARD)},
    }
    assert found.goals.differences["revenue"] == pytest.approx(float(f"{goods['revenue'].std():.3g}"))
    everyone = np.ones((1, 4), bool)

    def probabilities(by: np.ndarray) -> np.ndarray:
        return first_position_probabilities(by[None], everyone, temperature=0.03, floor=0.0175)[0]

    steered = found.goals.differences["reward"] * sum(
        weight * goods[name] / found.goals.differences[name] / 3 for name, weight in weights.items()
    )
    by_goal = {change.goal: change for change in found.changes}
    assert set(by_goal) == {"reward", "click", "quality", "revenue", "freshness"}
    shown = np.array([WIDGETS.index(row[0]) for row in log.rows["widgets"].to_pylist()])
    columns = {"reward": "rewards", "click": "click", "quality": "basket", "revenue": "revenue"}
    for goal, column in columns.items():
        earned = np.array([row[0] for row in log.rows[column].to_pylist()])
        model = goods[goal]

        def value(pi: np.ndarray, earned: np.ndarray = earned, model: np.ndarray = model) -> float:
            return float(pi @ model + np.mean(pi[shown] / 0.25 * (earned - model[shown])))

        now, then = value(probabilities(values)), value(probabilities(steered))
        assert by_goal[goal].now == pytest.approx(now, rel=1e-4)
        assert by_goal[goal].then == pytest.approx(then, rel=1e-3)
        assert by_goal[goal].difference.value == pytest.approx(then - now, rel=1e-2, abs=1e-3)
    # Drawn 8 times a visit, from the same numbers: near what is exact.
    exact = probabilities(steered) @ WORTHS[3]
    assert by_goal["freshness"].then == pytest.approx(exact, abs=0.02)
    assert by_goal["freshness"].difference.upper < 0  # money lies in what is old


def test_what_is_of_a_sample_says_so_and_has_its_intervals(start: Any) -> None:
    log = goals_log.read(start, start.pages["start"], 28, 1000)
    whole, sample = (goals_preview.preview(log, {"click": 1.0}, grid_rows=rows) for rows in (1000, 30))
    clicks = next(change for change in whole.changes if change.goal == "click")
    assert whole.points[-1].changes["click"] == clicks.difference
    asked = sample.points[-1].changes["click"]
    assert asked.lower < asked.value < asked.upper
    assert (asked != clicks.difference, sample.of_grid) == (True, 30)
    said = "over a sample, 30 visits of whole subjects (for the weights asked, the last row, the table above"
    text, html = "\n".join(lines(sample)), render(sample, "")
    for page in (text, html):
        assert said in page.replace("Over a", "over a")
        assert about(asked) in page
    assert (
        f"<title>click=1: reward {about(sample.points[-1].changes['reward'])}, click {about(asked)}" in html
    )


def test_what_it_says_is_for_people(start: Any, tmp_path: Any, capsys: Any) -> None:
    goals_command.show(start, "start", "click=1,revenue=2", 28, 1000, tmp_path / "goals.html")
    told = capsys.readouterr().out
    assert "Page start, policy linucb-start: 120 visits of 40 subjects" in told
    assert "Weights of now: reward=1. Tried: click=1,revenue=2." in told
    assert "surely less" in told
    assert "Other weights, over all 120 visits, as above: change of each goal" in told
    assert told.count("    before  ") == 10
    # What it prints to copy is what a page's file takes.
    copied = told.split("goals:\n")[1].split("\n\n")[0]
    assert "weights: {click: 1, revenue: 2}" in copied
    html = (tmp_path / "goals.html").read_text(encoding="utf-8")
    assert html.count("<article") == 10
    assert "http" not in html
    assert "simulated" in html


def test_several_positions_pay_for_likeness_and_vary_more(tmp_path: Any, monkeypatch: Any) -> None:
    config = logged(tmp_path, monkeypatch, "home", "linucb-home", positions=2)
    page = config.pages["home"].model_copy(update={"positions": 2, "temperature": 0.3})
    config = config.model_copy(update={"pages": {"home": page}})
    log = goals_log.read(config, page, 28, 1000)
    found = goals_preview.preview(log, {"reward": 1.0, "diversity": 1.0}, grid_rows=30)
    by_goal = {change.goal: change for change in found.changes}
    assert by_goal["diversity"].difference.lower > 0
    assert found.of_grid < found.servings
    assert [dict(point.weights) for point in found.points][-1] == {"reward": 1.0, "diversity": 1.0}
    assert [dict(point.weights) for point in found.points].count({"reward": 1.0, "diversity": 1.0}) == 1
    told = about(found.points[-1].changes["reward"])
    assert told in "\n".join(lines(found))
    assert told in render(found, "a note")
    assert render(found, "a note").count("<figure") == 1


def test_a_change_is_told_with_how_sure_it_is() -> None:
    assert about(Interval(0.25, 0.125, 0.375, 0.06)) == "+0.250 ± 0.125"
    assert about(Interval(0.25, 0.25, 0.25, 0.0)) == "+0.250"


def test_some_of_the_subjects_are_whole(start: Any) -> None:
    log = goals_log.read(start, start.pages["start"], 28, 10)
    assert log.rows.num_rows == 9
    assert len(set(log.rows["subject"].to_pylist())) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("click=-1", "--weights: weight of 'click' is -1, but a weight is a number of 0 or more."),
        ("click=0,revenue=0", "--weights: all weights are 0: give at least one goal a weight above 0."),
        ("click", "--weights: 'click' is no weight; write them as click=1,revenue=0.5."),
        ("click=one", "--weights: 'click=one' is no weight; write them as click=1,revenue=0.5."),
        ("", "--weights: '' is no weight"),
        ("click=1,click=2", "--weights names 'click' twice"),
        ("clicks=1", "--weights: weight of 'clicks': there is no such goal, only reward, click"),
        ("click=inf", "--weights: weight of 'click' is inf"),
    ],
)
def test_weights_that_cannot_be_are_told_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(goals_command.WeightsError) as error:
        goals_command.parse(text)
    assert str(error.value).startswith(told)


def test_a_preview_that_cannot_be_says_why(start: Any, tmp_path: Any) -> None:
    for page, weights, told in (
        ("hom", "click=1", "There is no page 'hom'"),
        ("start", "reward=1,diversity=1", "page start has one position: there is no diversity to weigh"),
    ):
        with pytest.raises(goals_command.WeightsError, match=told):
            goals_command.show(start, page, weights, 28, 1000, tmp_path / "x.html")


def test_a_log_without_worths_or_rewards_says_what_to_do(tmp_path: Any, monkeypatch: Any) -> None:
    config = logged(tmp_path, monkeypatch, "start", "linucb-start", worths=False)
    with pytest.raises(goals_log.NoLog, match="run policies for these days first"):
        goals_log.read(config, config.pages["start"], 28, 1000)
    constant = config.pages["start"].model_copy(update={"policy": "category1-start"})
    with pytest.raises(goals_log.NoLog, match="without expecting a reward"):
        goals_log.read(config, constant, 28, 1000)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=12))
def test_the_front_is_who_loses_to_nobody(points: list[tuple[int, ...]]) -> None:
    plain = [
        not any(all(b >= a for a, b in zip(one, other, strict=True)) and other != one for other in points)
        for one in points
    ]
    assert pareto(np.array(points)).tolist() == plain


def test_who_is_new_and_who_moved_is_marked() -> None:
    example = Example("s", "customer", ["trending", "bestsellers"], ["bestsellers", "category:soup"])
    assert list(told_after(example)) == ["Best sellers (+1)", "+ Soup"]
