"""Sections of the report on policies: which widgets of a policy nothing is known of."""

from jobs.policy_charts import heat
from jobs.policy_sections import Shown, support
from ml.ope.summary import OTHERS


def test_only_what_was_never_logged_is_marked() -> None:
    first = {"linucb": {"a": 0.5, "new": 0.46, OTHERS: 0.04}}
    told = support(Shown({}, first, {"a": 0.75, "b": 0.25}, {}))
    rows = told.removesuffix("</tbody></table></div>").split("<tr>")[2:]
    assert rows == [
        f"<th>a</th>{heat('75.0%', 1.0)}{heat('50.0%', 0.5 / 0.75)}</tr>",
        f"<th>b</th>{heat('25.0%', 0.25 / 0.75)}{heat('0.0%', 0.0)}</tr>",
        f"<th>new</th>{heat('0.0%', 0.0)}{heat('46.0%', 0.46 / 0.75, is_bad=True)}</tr>",
        f"<th>where below 1 % of a serving</th><td>–</td>{heat('4.0%', 0.04 / 0.75)}</tr>",
    ]
