"""Product vectors from catalogue text and attributes: TF-IDF, then a truncated singular value decomposition.

Latent semantic analysis (Deerwester, Dumais, Furnas, Landauer and Harshman 1990): with X the products'
TF-IDF rows of length 1 (Salton and Buckley 1988) and X ≈ U Σ Vᵀ of rank d, a product's vector is its row of
X V, scaled to length 1, so that a dot product is a cosine. A product that comes later is folded in by the
same V.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import TfidfVectorizer

Floats = NDArray[np.float64]

GRID = 2.0**-16
"""Components are multiples of this: sums by weights that are multiples of 1/4 are exact in any order."""
WORD = re.compile(r"[^\W_]+")


class CatalogueVectors:
    """TF-IDF and truncated SVD, fitted on documents.

    Deterministic: the decomposition is Lanczos's (ARPACK), exact to rounding and begun at a seeded vector;
    each singular vector's largest component is made positive; components are rounded to GRID.

    Args:
        dimensions: d.
        least_products: terms of fewer products are left out.
        most_terms: only so many of the most frequent terms are kept, which bounds the memory.
        seed: of the decomposition's first vector.

    Attributes:
        components_: V, (terms, d).
        singular_values_: Σ, largest first, (d,).

    """

    def __init__(
        self, dimensions: int, *, least_products: int = 2, most_terms: int = 20_000, seed: int = 0
    ) -> None:
        self.dimensions = dimensions
        self.least_products = least_products
        self.most_terms = most_terms
        self.seed = seed

    def fit(self, texts: Sequence[str]) -> "CatalogueVectors":
        """Fit on documents, as `documents` gives them.

        Raises:
            ValueError: there are no more products, or no more terms, than dimensions.

        """
        self.terms_ = TfidfVectorizer(
            analyzer=str.split, lowercase=False, min_df=self.least_products, max_features=self.most_terms
        )
        try:
            rows = self.terms_.fit_transform(texts)
        except ValueError:  # no term is in enough products
            rows = None
        smallest = 0 if rows is None else min(rows.shape)
        if smallest <= self.dimensions:
            raise ValueError(
                f"{len(texts)} products with {smallest} terms or rows to tell them apart cannot be given"
                f" {self.dimensions} dimensions: lower `dimensions`, or fit on more products."
            )
        start = np.random.default_rng(self.seed).standard_normal(smallest)
        _, values, transposed = svds(rows, k=self.dimensions, v0=start, solver="arpack")
        order = np.argsort(-values, kind="stable")
        components = transposed[order].T
        largest = np.abs(components).argmax(axis=0)
        self.components_: Floats = components * np.sign(components[largest, np.arange(self.dimensions)])
        self.singular_values_: Floats = values[order]
        return self

    def transform(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return vectors of length 1, (n, d); all zero where no term is known."""
        projected = np.asarray(self.terms_.transform(texts) @ self.components_)
        length = np.linalg.norm(projected, axis=1, keepdims=True)
        unit = np.divide(projected, length, out=np.zeros_like(projected), where=length > 1e-9)
        return np.asarray(np.round(unit / GRID) * GRID, dtype=np.float32)


def documents(
    texts: Sequence[Sequence[str | None]], attributes: Mapping[str, Sequence[str | None]]
) -> list[str]:
    """Return each product's terms: the words of its texts, and one term for each attribute.

    texts: columns of free text. attributes: columns by name, whose values count as a whole: `brand=private`.
    """
    columns = [*texts, *attributes.values()]
    if not columns:
        return []
    found = []
    for row in zip(*columns, strict=True):
        words = [word for text in row[: len(texts)] if text for word in WORD.findall(text.lower())]
        whole = zip(attributes, row[len(texts) :], strict=True)
        words += [f"{name}={'_'.join(value.lower().split())}" for name, value in whole if value]
        found.append(" ".join(words))
    return found


def weighted_mean(sums: Floats, weights: Floats) -> Floats:
    """Return Σ w v / Σ w, (n, d), of sums Σ w v (n, d) and weights Σ w (n,); NaN where there is no weight."""
    known = weights > 0
    mean: Floats = np.where(known[:, None], sums / np.where(known, weights, 1.0)[:, None], np.nan)
    return mean
