"""The rule: each way to a yes, a no and a cannot tell, in words."""

from dataclasses import replace
from datetime import date

import pytest

from ml.classify.decide import Evidence, Rules, decide

RULES = Rules(margin=0.01, stale_closings=3, calibration=0.05, slice_fall=0.1, drift=0.5)
BETTER = Evidence(
    closing=date(2017, 5, 21),
    against="churn@2017-04-23-a",
    has_champion=True,
    champion_closing=date(2017, 4, 23),
    closings_since=1,
    change=(-0.03, -0.05, -0.01),
    calibration_error=0.02,
    slices={"role/customer": (-0.02, -0.05, 0.01), "role/direct": (0.04, -0.1, 0.2)},
    drift={"recency": 0.05, "visits": 0.11},
)
AS_GOOD = (-0.001, -0.01, 0.008)


def test_better_and_all_bounds_hold() -> None:
    found = decide(BETTER, RULES)
    assert found.verdict == "yes"
    assert found.why == (
        "Better: loss -3.0% against churn@2017-04-23-a (95 % interval -5.0% to -1.0%). Bounds hold:"
        " calibrated to 0.020; of 2 slices role/direct gains least (+4.0%); largest drift is visits's (PSI"
        " 0.11)."
    )


@pytest.mark.parametrize(
    ("more", "verdict", "words"),
    [
        ({"change": (0.02, 0.01, 0.03)}, "no", "Worse: loss +2.0%"),
        ({"change": (0.0, -0.03, 0.03)}, "cannot tell", "Neither better nor surely as good"),
        ({"change": AS_GOOD}, "no", "As good, not better"),
        ({"change": AS_GOOD, "closings_since": 1}, "no", "is 1 closing old, which is no reason"),
        ({"change": AS_GOOD, "closings_since": 3}, "no", "is 3 closings old, which is no reason"),
        ({"change": AS_GOOD, "closings_since": 4}, "yes", "the champion is 4 closings old, more than 3"),
        ({"calibration_error": 0.06}, "no", "not calibrated: predictions are off by 0.060"),
        ({"calibration_error": None}, "yes", "Better"),
        (
            {"slices": {"region/x": (0.2, 0.1, 0.3)}},
            "no",
            "But region/x falls: loss +20.0% (+10.0% to +30.0%)",
        ),
        ({"drift": {"recency": 0.8}}, "no", "drifted beyond 0.5: recency (PSI 0.80)"),
        ({"champion_closing": date(2017, 6, 18)}, "no", "before the champion's (2017-06-18)"),
        ({"change": None, "problem": "No feature."}, "cannot tell", "No feature."),
        ({"change": None}, "cannot tell", "no closing that both models"),
        ({"has_champion": False, "change": (0.0, -0.1, 0.1)}, "cannot tell", "the plain baseline"),
        ({"has_champion": False, "change": (0.1, 0.05, 0.15)}, "no", "the plain baseline"),
        ({"has_champion": False, "champion_closing": None}, "yes", "Better"),
    ],
)
def test_each_rule_decides(more: dict[str, object], verdict: str, words: str) -> None:
    found = decide(replace(BETTER, **more), RULES)  # type: ignore[arg-type]
    assert found.verdict == verdict
    assert words in found.why
