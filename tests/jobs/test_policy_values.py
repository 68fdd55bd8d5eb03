"""policy_values: the plain formulas over a day and over the window, for everyone and by role."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from jobs import policy_report, policy_values
from jobs.config import Gate
from jobs.policy_checks import at_go_live, by_night
from jobs.policy_page import render
from jobs.servings import by_spec
from jobs.tables import Tables
from tests.jobs import judged
from tests.jobs.given import rows
from tests.jobs.judged import FIRST, judgements
from tests.ml.ope.replays import visits

GIVEN = visits(9, households=40, days=4, daily=60)
LIVE = np.full((len(GIVEN.rewards), 4), 0.25)
LIVE[:, 0], LIVE[:, 1] = 0.4, 0.1
TARGET = GIVEN.policy(LIVE, 0.2)
LOG = judgements(GIVEN, LIVE, {"better": TARGET, "same": LIVE}, seed=1)
LAST = FIRST + timedelta(3)


@pytest.fixture(scope="module")
def found(spark, tmp_path_factory):
    buckets = judged.buckets(spark, Tables(str(tmp_path_factory.mktemp("tables"))), LOG)
    days = [LAST - timedelta(1), LAST]
    built = policy_values.build(
        buckets,
        days=days,
        business_time_zone="America/New_York",
        reward_hours=6,
        gate=Gate(goals=("revenue",)),
    )
    return rows(built)


def one(found, **wanted):
    (row,) = [row for row in found if all(row[name] == value for name, value in wanted.items())]
    return row


def plain(day=None, role=None, segment=None):
    """IPS and SNIPS by a loop."""
    above = below = count = 0
    for row in LOG.to_pylist():
        is_in = (
            row["spec"] == "better"
            and day in (None, row["decision_date"])
            and role in (None, row["role"])
            and segment in (None, *(row["segments"] or ()))
        )
        if is_in:
            weight = row["probabilities"][0] / row["propensities"][0]
            above, below, count = above + weight * row["rewards"][0], below + weight, count + 1
    return above / count, above / below, count


def test_values_are_those_of_the_plain_formula(found):
    about = {"spec": "better", "goal": "reward", "as_of_date": LAST}
    first = {"window": LAST - timedelta(27), "day": LAST}
    for day, since in ((None, first["window"]), (LAST, first["day"])):
        ips, snips, count = plain(day)
        for estimator, value in (("IPS", ips), ("SNIPS", snips)):
            row = one(found, **about, estimator=estimator, audience="everyone", first_date=since)
            assert row["value"] == pytest.approx(value, rel=1e-12)
            assert row["servings"] == count
            assert row["lower"] < value < row["upper"]
    direct = one(found, **about, estimator="SNIPS", audience="direct", first_date=first["window"])
    assert direct["value"] == pytest.approx(plain(role="direct")[1], rel=1e-12)
    core = one(found, **about, estimator="SNIPS", audience="rfm: core", first_date=first["window"])
    _, value, count = plain(segment="rfm: core")
    assert (core["value"], core["servings"]) == (pytest.approx(value, rel=1e-12), count)


def test_revenue_is_valued_where_conf_names_it(found):
    row = one(
        found, spec="better", goal="revenue", estimator="IPS", as_of_date=LAST, first_date=LAST,
        audience="everyone",
    )  # fmt: skip
    own = [row for row in LOG.to_pylist() if row["spec"] == "better" and row["decision_date"] == LAST]
    expected = [row["probabilities"][0] / row["propensities"][0] * row["revenue"][0] for row in own]
    assert row["value"] == pytest.approx(np.mean(expected), rel=1e-12)
    served = one(found, spec="logging (served)", goal="revenue", as_of_date=LAST, first_date=LAST)
    assert served["value"] == pytest.approx(np.mean([row["revenue"][0] for row in own]), rel=1e-12)
    (servings, *_) = by_spec(LOG).values()
    assert list(servings.judged.rewards) == ["reward", "detail", "basket"]


def test_what_was_served_is_a_value_of_its_own(found):
    row = one(
        found, spec="logging (served)", goal="basket", as_of_date=LAST, first_date=LAST, audience="everyone"
    )
    own = [row for row in LOG.to_pylist() if row["spec"] == "same" and row["decision_date"] == LAST]
    assert (row["estimator"], row["largest_weight"]) == ("observed", 1.0)
    assert row["value"] == pytest.approx(np.mean([row["basket"][0] for row in own]), rel=1e-12)


def test_a_day_at_a_time_gives_the_same_rows(found):
    work = policy_values._summaries("start", by_spec(LOG), days=[LAST], zone="America/New_York", hours=6)
    alone = [row for name, summary in work for row in policy_values._rows("start", name, summary)]
    of_last = [row for row in found if row["as_of_date"] == LAST and row["goal"] != "revenue"]
    key = ("spec", "estimator", "goal", "audience", "first_date")
    by_key = {tuple(row[name] for name in key): row["value"] for row in alone}
    assert {tuple(row[name] for name in key): row["value"] for row in of_last} == pytest.approx(
        by_key, rel=1e-9
    )


def test_a_range_is_its_days_though_what_was_drawn_is_known_on_two_nights():
    """Half of the servings come so late that they count a night later; a draw stands for its day."""
    log = LOG.to_pylist()
    for row in log[::2]:
        row["served_at"] += timedelta(hours=12)
    late = by_spec(pa.Table.from_pylist(log, schema=LOG.schema))

    def summaries(*days):
        return dict(policy_values._summaries("start", late, days=days, zone="America/New_York", hours=6))

    days = [FIRST + timedelta(number) for number in range(1, 4)]
    whole = summaries(*days)
    for day in days:
        alone = summaries(day)
        assert alone.keys() == {name for name in whole if name[3] == day}
        for name, summary in alone.items():
            pairs = zip(summary.tallies.calibrations(), whole[name].tallies.calibrations(), strict=True)
            assert all(vars(one) == pytest.approx(vars(other)) for one, other in pairs)


def test_the_report_tells_values_verdicts_and_what_came_of_a_prediction(found):
    silent = {"not_asked": "standard IPS (worth 9)"}
    night, details = LAST - timedelta(1), {"page": "start", "spec_digest": "x", "is_live": "yes"}
    went = {
        "as_of_date": night, "name": "better", "verdict": "yes",
        "why": "it beats the live policy; a <b> reason",
        "details": list({**details, "compared_from": "2017-09-01", **silent}.items()),
    }  # fmt: skip
    came = [row | {"spec": "better (served)"} for row in found if row["spec"] == "logging (served)"]
    checks, nights = at_go_live([*found, *came], [went]), by_night([*found, *came])
    since = one(came, as_of_date=LAST, first_date=LAST - timedelta(27), goal="reward", audience="everyone")
    predicted = one(
        found, spec="better", as_of_date=night, first_date=night - timedelta(27), goal="reward",
        audience="everyone", estimator="SNIPS",
    )  # fmt: skip
    check = next(each for each in checks if each.estimator == "SNIPS")
    assert (check.predicted, check.observed, check.days) == (predicted["value"], since["value"], 1)
    margin = 1.96 * (predicted["error"] ** 2 + since["error"] ** 2) ** 0.5
    assert check.margin == pytest.approx(margin, rel=1e-12)
    assert check.holds == (abs(predicted["value"] - since["value"]) <= margin)
    outcome = one(came, as_of_date=LAST, first_date=LAST, goal="reward", audience="everyone")
    (snips,) = [each for each in nights if each.estimator == "SNIPS"]
    ((day, difference, holds),) = snips.differences
    assert (day, difference) == (LAST, pytest.approx(predicted["value"] - outcome["value"], rel=1e-12))
    assert holds == (abs(difference) <= 1.96 * (predicted["error"] ** 2 + outcome["error"] ** 2) ** 0.5)
    counted = {
        ("start", spec): each
        for spec, each in policy_report.count("start", by_spec(LOG), live={"start": "same"})
    }
    shown = policy_report.shown_by_page(counted)
    assert sum(share for _, share in shown["start"].weights["better"]) == pytest.approx(1.0)
    assert sum(shown["start"].first["same"].values()) == pytest.approx(1.0)
    assert all(before == "bestsellers" for before, _, _ in shown["start"].moves["better"])
    html = render(LAST, found, [went], shown, checks, nights, note="simulated")
    assert "a &lt;b&gt; reason" in html.lower()
    assert "not asked, too few layouts alike: standard IPS (worth 9)" in html
    assert html.count("<svg") == 5
    assert "<h3>By segment of rfm</h3>" in html
    assert "<th>core</th>" in html
    for spec in ("better", "same"):
        row = one(
            found, spec=spec, as_of_date=LAST, first_date=LAST - timedelta(27), goal="reward",
            audience="everyone", estimator="IPS",
        )  # fmt: skip
        assert f"<th>{spec}</th><td>{row['effective_servings']:,.0f}" in html
        assert f"{row['open_share']:.1%}</td><td>{row['calibration']:.2g}</td></tr>" in html
    assert "<th>p of propensities</th>" in html
    assert "http" not in html.replace("http-equiv", "")
