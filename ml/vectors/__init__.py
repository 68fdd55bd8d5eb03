"""Vectors: products by what their catalogue says of them, and means of them."""

from ml.vectors.catalogue import GRID, CatalogueVectors, documents, weighted_mean

__all__ = ["GRID", "CatalogueVectors", "documents", "weighted_mean"]
