"""Segments: planted clusters are found, noise is called noise, and neither split nor threads matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from ml.segments import (
    Quality,
    apply_scaling,
    assign,
    describe_tree,
    differences,
    evaluate,
    fit,
    fit_scaling,
    match,
    name_in_words,
    suggest,
)

CENTERS = np.array([[0.0, 0.0], [8.0, 8.0], [16.0, 2.0]])


def planted(n: int = 900, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three round clusters of a half, a third and a sixth of the rows, in random order."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.repeat([0, 1, 2], [n // 2, n // 3, n // 6]))
    return CENTERS[label] + rng.normal(size=(len(label), 2)), label


def test_planted_clusters_are_found_largest_first():
    x, label = planted()
    made = fit(x, 3, seed=1)
    assert np.abs(made.centers - CENTERS).max() < 0.2
    assert made.sizes.tolist() == [450, 300, 150]
    assert adjusted_rand_score(label, made.labels) == 1.0
    within = sum(((x[label == k] - x[label == k].mean(axis=0)) ** 2).sum() for k in range(3))
    assert made.inertia == pytest.approx(within, rel=1e-9)


def test_starts_on_few_rows_are_refined_on_all(monkeypatch):
    x, _ = planted(9000)
    made = fit(x, 3, seed=1)
    # Lloyd's fixed point on all rows, not on the first five thousand.
    assert np.allclose(made.centers, [x[made.labels == k].mean(axis=0) for k in range(3)], atol=1e-3)


def test_a_row_s_segment_depends_on_the_row_alone():
    rng = np.random.default_rng(0)
    raw = np.exp(rng.normal(size=(4000, 5)))
    scaling = fit_scaling(raw, "abcde", ["auto"] * 5)
    centers = fit(apply_scaling(raw, scaling), 6, seed=3, starts=2).centers
    labels, distance = assign(apply_scaling(raw, scaling), centers)
    for parts in (7, 50, 4000):
        pieces = [assign(apply_scaling(part, scaling), centers) for part in np.array_split(raw, parts)]
        assert np.array_equal(np.concatenate([piece[0] for piece in pieces]), labels)
        assert np.array_equal(np.concatenate([piece[1] for piece in pieces]), distance)
    plain = np.sqrt(((apply_scaling(raw, scaling)[:, None] - centers[None]) ** 2).sum(axis=2))
    assert np.array_equal(plain.argmin(axis=1), labels)
    assert np.allclose(plain.min(axis=1), distance, rtol=1e-12)


def test_any_number_of_threads_gives_the_same_bits():
    x = np.random.default_rng(5).normal(size=(6000, 4))
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(fit(x, 5, 7, starts=2).centers)
    assert np.array_equal(*found)


def test_scaling_corrects_skewness_and_is_frozen():
    rng = np.random.default_rng(1)
    raw = np.stack([np.exp(rng.normal(size=3000)), rng.normal(size=3000), rng.chisquare(1, 3000)], axis=1)
    scaling = fit_scaling(raw, ["money", "plain", "count"], ["auto", "auto", "sqrt"])
    assert scaling.transforms == ("log1p", "identity", "sqrt")
    z = apply_scaling(raw, scaling)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(z.std(axis=0), 1)
    assert abs(skew(z[:, 0])) < 0.25 * skew(raw[:, 0])
    assert np.array_equal(apply_scaling(raw[5:6], scaling), z[5:6])
    assert apply_scaling(np.array([[0.0, 0, 0]]), scaling)[0, 0] == -scaling.centers[0] / scaling.scales[0]


@pytest.mark.parametrize(
    ("values", "transform", "sentence"),
    [
        ([3.0, 3, 3], "auto", "The feature 'lines' is 3 for all 3 subjects: leave it out."),
        ([-1.0, 3, 4], "log1p", "The feature 'lines' has values below 0, which log1p does not take."),
    ],
)
def test_a_bad_feature_is_named(values, transform, sentence):
    with pytest.raises(ValueError) as error:
        fit_scaling(np.array(values)[:, None], ["lines"], [transform])
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("k", "sentence"),
    [
        (1, "k = 1 makes no segments: ask for at least 2."),
        (
            4,
            "k = 4 asks for more segments than there are different subjects (3): ask for fewer.",
        ),
    ],
)
def test_an_impossible_k_is_refused(k, sentence):
    with pytest.raises(ValueError) as error:
        fit(np.array([[0.0], [1.0], [2.0], [2.0]]), k, seed=0)
    assert str(error.value) == sentence


def measured(x: np.ndarray, ks: range = range(2, 6)) -> list[Quality]:
    return evaluate(x, [fit(x, k, seed=1) for k in ks], 1, bootstraps=6, shuffles=3)


def test_planted_structure_is_seen_and_its_k_suggested():
    x, _ = planted(600)
    found = {quality.k: quality for quality in measured(x)}
    choice = suggest(list(found.values()))
    assert choice.k == 3
    assert found[3].stability == 1.0
    assert found[3].silhouette > 0.75 > 0.6 > found[3].shuffled
    assert found[3].smallest_share == pytest.approx(1 / 6)
    assert choice.reason.startswith("k = 3: the most segments that come back when subjects are drawn anew")
    assert "The structure is clear" in choice.reason


def test_the_same_table_with_its_columns_shuffled_has_none():
    """Also where each column by itself falls into two heaps, so that silhouettes are high by chance."""
    x, _ = planted(600)
    rng = np.random.default_rng(9)
    shuffled = np.stack([rng.permutation(column) for column in x.T], axis=1)
    found = measured(shuffled)
    assert max(quality.silhouette for quality in found) > 0.5
    choice = suggest(found)
    assert choice.k is None
    assert choice.reason.startswith("No structure: the best silhouette is")
    assert "of columns shuffled by themselves" in choice.reason


def test_a_continuum_whose_columns_go_together_has_none_either():
    """One general factor beats its shuffled table, but its silhouette is below what counts as substantial."""
    rng = np.random.default_rng(2)
    x = 0.7 * rng.normal(size=(600, 1)) + rng.normal(size=(600, 12))
    found = measured(x)
    assert found[0].silhouette > found[0].shuffled + 0.02
    assert suggest(found).k is None
    assert "no substantial structure" in suggest(found).reason


def quality(k: int, **more: float) -> Quality:
    about = {
        "silhouette": 0.4,
        "shuffled": 0.2,
        "calinski_harabasz": 1.0,
        "davies_bouldin": 1.0,
        "stability": 0.9,
        "stability_low": 0.8,
        "smallest_share": 0.1,
    }
    return Quality(k, **{**about, **more})


@pytest.mark.parametrize(
    ("qualities", "k", "words"),
    [
        ([quality(2), quality(3), quality(4, stability=0.7)], 3, "k = 4 is not stable (0.70)"),
        (
            [quality(2, silhouette=0.5), quality(3, silhouette=0.45), quality(4, silhouette=0.35)],
            3,
            "k = 4 is less clear (silhouette 0.35)",
        ),
        ([quality(2), quality(3, smallest_share=0.01)], 2, "k = 3 has a segment of 1.0%"),
        ([quality(2), quality(3, silhouette=0.2)], 2, "k = 3 has no structure (silhouette 0.20)"),
        ([quality(2, stability=0.5), quality(3, stability=0.6)], 3, "the most stable, but not stable"),
        ([quality(2, smallest_share=0.01)], 2, "the smallest holds 1%"),
        ([quality(2, silhouette=0.6), quality(3, silhouette=0.3, stability=0.1)], 2, "structure is clear"),
    ],
)
def test_the_suggestion_says_why(qualities, k, words):
    choice = suggest(qualities)
    assert choice.k == k
    assert words in choice.reason


def test_segments_are_matched_by_overlap_and_names_stay():
    overlap = np.array([[5, 90, 0], [80, 10, 0], [0, 0, 4]])
    assert match(overlap) == {0: 1, 1: 0, 2: 2}
    # A fourth segment cut out of the first continues nobody.
    assert match(np.array([[60, 0], [0, 70], [40, 10]])) == {0: 0, 1: 1}
    assert match(np.zeros((3, 0), dtype=int)) == {}
    assert match(np.zeros((3, 2), dtype=int)) == {}


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6).flatmap(lambda k: st.permutations(range(k))))
def test_renumbered_segments_match_themselves(order):
    overlap = np.diag(np.arange(10, 10 + len(order)))[list(order)]
    assert match(overlap) == dict(enumerate(order))


def test_rules_and_names_say_what_sets_a_segment_apart():
    x, _ = planted(600)
    made = fit(x, 3, seed=1)
    means = differences(x / x.std(axis=0), made.labels, 3)
    assert np.allclose(means[1], (x[made.labels == 1] / x.std(axis=0)).mean(axis=0))
    centred = (x - x.mean(axis=0)) / x.std(axis=0)
    named = name_in_words(differences(centred, made.labels, 3), [("rare", "frequent"), ("small", "large")])
    assert named == ["rare, small", "large, frequent", "frequent"]
    rules = describe_tree(x, made.labels, ["visits", "sale"], 3, meanings={"visits": "visits a month"})
    assert rules[0].startswith("visits a month at most ")
    assert rules[2].startswith("visits a month above ")
    for rule in rules:
        assert rule.endswith(": holds 100% of the segment; 100% of those it names belong to it")


def test_equal_names_are_told_apart():
    words = [("few", "many"), ("small", "large"), ("old", "new")]
    means = np.array([[2.0, 1.5, 0.1], [2.0, 1.5, -1], [0.0, 0.1, 0.2], [2.0, 1.5, 0.1], [1.0, 0.0, 0.0]])
    assert name_in_words(means, words) == [
        "many, large",
        "many, large, old",
        "average",
        "many, large (2)",
        "many",
    ]


def test_few_subjects_are_measured_where_a_draw_has_fewer_different_rows_than_k():
    x = planted(14)[0]
    found = evaluate(x, [fit(x, k, seed=1) for k in range(2, 9)], 1, bootstraps=20, shuffles=3)
    assert [quality.k for quality in found] == list(range(2, 9))
    assert found[-1].stability_low == 0
