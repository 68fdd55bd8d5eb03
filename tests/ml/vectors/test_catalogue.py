"""Catalogue vectors: the plain decomposition, the same every time, near where products are alike."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from ml.vectors import GRID, CatalogueVectors, documents, weighted_mean

NAMES = ["green tea", "black tea", "iced tea", "red wine", "white wine", "dry red wine", "oat milk", "milk"]
KINDS = ["TEA", "TEA", "TEA", "WINE", "WINE", "WINE", "MILK", "MILK"]
TEXTS = documents([NAMES * 3], {"category": KINDS * 3})


def test_documents_are_words_and_whole_attributes() -> None:
    found = documents([["Green tea, 8.5 OZ", None], ["x", "y"]], {"brand": ["Private Label", None]})
    assert found == ["green tea 8 5 oz x brand=private_label", "y"]
    assert documents([], {}) == []


def test_vectors_are_those_of_the_plain_decomposition() -> None:
    model = CatalogueVectors(3).fit(TEXTS)
    rows = TfidfVectorizer(analyzer=str.split, lowercase=False, min_df=2).fit_transform(TEXTS).toarray()
    _, values, transposed = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(model.singular_values_, values[:3])
    plain = transposed[:3].T * np.sign(transposed[:3].T[np.abs(transposed[:3].T).argmax(axis=0), range(3)])
    np.testing.assert_allclose(model.components_, plain, atol=1e-9)
    projected = rows @ plain
    expected = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(model.transform(TEXTS), expected, atol=GRID)


def test_they_are_the_same_in_any_split_and_lie_on_the_grid() -> None:
    model = CatalogueVectors(3, seed=1).fit(TEXTS)
    whole = model.transform(TEXTS)
    apart = np.concatenate(
        [CatalogueVectors(3, seed=2).fit(TEXTS).transform(TEXTS[k : k + 1]) for k in range(5)]
    )
    np.testing.assert_array_equal(whole[:5], apart)
    np.testing.assert_array_equal(whole / GRID, np.round(whole / GRID))
    assert not model.transform(["words=unknown"]).any()


def test_products_alike_are_near() -> None:
    cosine = CatalogueVectors(3).fit(TEXTS).transform(TEXTS[:8])
    cosine = cosine @ cosine.T
    alike = np.array(KINDS)[:, None] == np.array(KINDS)
    assert cosine[alike].min() > 0.7
    assert cosine[~alike].max() < 0.3


@pytest.mark.parametrize("texts", [[], ["a", "b"], ["a b c"] * 3])
def test_too_few_products_or_terms_are_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="lower `dimensions`, or fit on more products"):
        CatalogueVectors(3).fit(texts)


def test_a_mean_is_weighted() -> None:
    found = weighted_mean(np.array([[2.0, 6.0], [0.0, 0.0]]), np.array([4.0, 0.0]))
    np.testing.assert_array_equal(found, [[0.5, 1.5], [np.nan, np.nan]])
