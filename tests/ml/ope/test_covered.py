"""Pages drawn under rules are judged without bias: exact over all slates and all looks of a small page."""

from itertools import product

import numpy as np
import pytest

from ml.draw import DrawRule
from ml.ope.covered import UNSURE, counts, sure_from, unsure
from ml.ope.judged import LOOKS, Judged
from ml.ope.prefixes import along_prefixes
from ml.ope.slates import Exposures, Slates, cascade_dr, looked_at, position_based, reward_interaction_ips
from ml.rank.ruled import slate_propensities
from ml.rank.rules import Rules
from tests.ml.rank.given import Given
from tests.ml.rank.test_ruled import alike, slates_of

K, POSITIONS = 6, 4
APPEAL = np.array([0.6, 0.2, 0.5, 0.3, 0.9, 0.1])
LOGGING, TARGET = np.array([0.0, 0.3, 0.6, 0.2, 0.4, 0.1]), np.array([0.7, 0.1, 0.2, 0.5, 0.3, 0.6])
RULE = DrawRule(0.5, 0.02)
STOPS = np.array([0.1, 0.15, 0.2, 0.25, 0.3])  # how many positions somebody looks at, from none to all
SEEN = 1 - np.cumsum(STOPS)[:-1]
THEMES = [0, 0, 1, 1, 2, 2]


def given(**rules: object) -> Given:
    return Given(K, POSITIONS, THEMES, eligible=np.ones(K, bool), **rules)


FREE = given()
PAGES = {
    "no rules": FREE,
    "a cap": given(caps={0: 1}),
    "caps of all": given(caps={0: 1, 1: 1, 2: 2}),
    "a pin first": given(pins={0: 3}),
    "a pin within": given(pins={2: 5}),
    "pins and caps": given(pins={0: 4, 2: 0}, caps={1: 1, 2: 1}),
    "a block": given(blocked=[(0, 2), (1, 4)]),
    "a pin that blocks": given(pins={1: 3}, blocked=[(3, 4)], caps={0: 1}),
    "spacing": given(spacing=1),
    "spacing around a pin": given(spacing=1, pins={1: 2}, caps={2: 1}),
    "all but one pinned": given(pins={0: 1, 1: 3, 3: 5}, caps={0: 1}),
}


def bound(page: Given, kind: str = "none") -> Rules:
    return page.rules(kind=kind, strength=0.3, likeness=alike(K))


def chances(scores: np.ndarray, rules: Rules, orders: np.ndarray) -> np.ndarray:
    """(orders, K) conditional probabilities, as exact as they are drawn."""
    wide = np.tile(scores, (len(orders), 1))
    everyone = np.ones(wide.shape, bool)
    return slate_propensities(wide, everyone, orders, rule=RULE, rules=rules).astype(float)


def exact(scores: np.ndarray, page: Given, kind: str) -> np.ndarray:
    """(widgets,) exposures of the target, by enumeration."""
    orders = np.array(slates_of(page))
    marginal = np.zeros((K, POSITIONS))
    for order, chance in zip(orders, chances(scores, bound(page, kind), orders).prod(axis=1), strict=True):
        marginal[order, np.arange(POSITIONS)] += chance
    return marginal @ (SEEN / SEEN[0])


def every(
    log: Given, target: Given, kind: str, rated: np.ndarray | None
) -> tuple[np.ndarray, Slates, Exposures, np.ndarray]:
    """Every slate and every look, with its probability; a widget that is seen earns its appeal."""
    orders = np.array(slates_of(log))
    cases = list(product(range(len(orders)), range(POSITIONS + 1)))
    order, looks = (np.array(part) for part in zip(*cases, strict=True))
    slates = orders[order]
    logged, wanted = (
        chances(scores, bound(page, kind), orders) for scores, page in ((LOGGING, log), (TARGET, target))
    )
    seen = np.arange(POSITIONS) < looks[:, None]
    found = Slates(np.where(seen, APPEAL[slates], 0.0), logged[order], wanted[order], seen)
    shown = exact(TARGET, target, kind)
    number = counts(
        slates, looked_at(slates >= 0, seen), logged[order], wanted[order], shown[slates],
        bound(log, kind), SEEN,
    )  # fmt: skip
    exposed = Exposures(shown[slates], counts=number)
    if rated is not None:
        modelled = np.full(len(slates), SEEN[0] * shown @ rated)
        exposed = Exposures(shown[slates], rated[slates], modelled, number)
    return logged.prod(axis=1)[order] * STOPS[looks], found, exposed, slates


@pytest.mark.parametrize("kind", ["none", "mmr"])
@pytest.mark.parametrize("name", PAGES)
def test_a_policy_under_the_same_rules_is_judged_without_bias(name: str, kind: str) -> None:
    page = PAGES[name]
    truth = SEEN[0] * exact(TARGET, page, kind) @ APPEAL
    for rated in (None, np.array([0.1, 0.9, 0.3, 0.3, 0.2, 0.0])):
        chance, slates, given, orders = every(page, page, kind, rated)
        assert chance.sum() == pytest.approx(1, abs=1e-12)
        assert chance @ position_based(slates, given).contributions == pytest.approx(truth, abs=1e-12)
        assert chance @ reward_interaction_ips(slates).contributions == pytest.approx(truth, abs=1e-12)
        if rated is not None:
            wide = np.tile(TARGET, (len(orders), 1))
            model = along_prefixes(
                wide, orders, RULE, np.tile(rated, (len(orders), 1)), SEEN, bound(page, kind)
            )
            assert chance @ cascade_dr(slates, *model).contributions == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize("log", PAGES)
@pytest.mark.parametrize("target", PAGES)
def test_under_other_rules_what_is_sure_is_judged_without_bias_and_the_rest_is_told(
    log: str, target: str
) -> None:
    rules, shown = bound(PAGES[log]), exact(TARGET, PAGES[target], "none")
    chance, slates, given, _ = every(PAGES[log], PAGES[target], "none", None)
    found = chance @ position_based(slates, given).contributions
    lost = unsure(shown[None], rules)[0]
    assert lost == pytest.approx(shown[sure_from(rules) == UNSURE].sum() / shown.sum())
    if lost == 0:
        assert found == pytest.approx(SEEN[0] * shown @ APPEAL, abs=1e-12)


def test_who_is_sure_follows_from_pins_and_what_they_shut_out() -> None:
    assert sure_from(bound(FREE)).tolist() == [0] * K
    assert sure_from(bound(PAGES["pins and caps"])).tolist() == [2, 1, 1, 1, 0, UNSURE]
    assert sure_from(bound(PAGES["spacing around a pin"])).tolist() == [0, 0, 1, UNSURE, 0, 0]
    all_pinned = given(pins={0: 3, 1: 2, 2: 1, 3: 0})
    assert sure_from(bound(all_pinned)).tolist() == [3, 2, 1, 0, UNSURE, UNSURE]


def test_without_rules_it_is_the_mean_over_positions() -> None:
    chance, slates, given, _ = every(FREE, FREE, "none", None)
    plain = position_based(slates, Exposures(given.logged)).contributions
    assert position_based(slates, given).contributions == pytest.approx(plain, abs=1e-12)
    assert chance @ plain == pytest.approx(SEEN[0] * exact(TARGET, FREE, "none") @ APPEAL, abs=1e-12)


def test_with_a_cap_the_positions_below_still_count() -> None:
    """Else one position in four would be used: under a cap of 1 for one theme the others' spread stays."""
    page = PAGES["a cap"]
    _, slates, given, orders = every(page, page, "none", None)
    looked = slates.seen.all(axis=1)
    assert given.counts is not None
    others = THEMES.index(1)
    at_last = looked & (orders[:, 3] == others)
    assert (given.counts[at_last, 3] > 0).all()
    capped = looked & (orders[:, 3] == 0)
    assert (given.counts[capped, 3] == 0).all()


def test_weights_are_1_in_the_mean_and_short_of_it_by_what_is_not_sure() -> None:
    for log, target in (("pins and caps", "pins and caps"), ("pins and caps", "no rules")):
        chance, slates, given, _ = every(PAGES[log], PAGES[target], "none", None)
        times = np.round(chance * 4e5).astype(int)
        row = np.repeat(np.arange(len(times)), times)
        judged = Judged(
            slates.propensities[row], slates.probabilities[row], {"reward": slates.rewards[row]}, row,
            seen=slates.seen[row], exposures=given.rows(row),
        )  # fmt: skip
        lost = unsure(exact(TARGET, PAGES[target], "none")[None], bound(PAGES[log]))[0]
        assert (lost > 0) == (target != log)
        # Who is not sure counts by its prefix, which the log's rules may never have allowed.
        assert 1 - lost - 5e-3 < judged.weights.mean() < 1 + 5e-3


def test_rows_of_logs_without_rules_keep_their_own_sum() -> None:
    _, slates, given, _ = every(FREE, FREE, "none", None)
    assert given.counts is not None
    mixed = given.counts.copy()
    mixed[::2] = np.nan
    found = position_based(slates, Exposures(given.logged, counts=mixed)).contributions
    plain = position_based(slates, Exposures(given.logged)).contributions
    assert np.array_equal(found[::2], plain[::2])
    assert found == pytest.approx(plain, abs=1e-12)


def test_days_with_and_without_rules_are_joined_each_as_it_was() -> None:
    days = []
    for page, has_rules in (("a cap", True), ("no rules", False)):
        _, slates, given, _ = every(PAGES[page], PAGES[page], "none", None)
        shown = given if has_rules else Exposures(given.logged)
        days.append(
            Judged(
                slates.propensities, slates.probabilities, {"reward": slates.rewards},
                np.arange(len(slates.rewards)), seen=slates.seen, exposures=shown,
            )
        )  # fmt: skip
    both = Judged.joined(days)
    worth, looks = both.terms("reward")["position-based IPS"], both.weighing()[LOOKS]
    apart = [(day.terms("reward")["position-based IPS"], day.weighing()[LOOKS]) for day in days]
    assert np.array_equal(worth.contributions, np.concatenate([each.contributions for each, _ in apart]))
    for part in ("numerator", "normaliser"):
        of_days = np.concatenate([getattr(each.parts[0], part) for _, each in apart])
        assert np.array_equal(getattr(looks.parts[0], part), of_days)
    # A look counts by what the log's rules made of its position, not by the mean over positions.
    assert days[0].exposures is not None
    assert days[0].exposures.counts is not None
    assert np.array_equal(apart[0][1].parts[0].numerator, days[0].exposures.counts.sum(axis=1))
