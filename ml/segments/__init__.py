"""Segments: k-means on scaled features, how many segments, how sure, and what sets each apart."""

from ml.segments.choice import Choice, Quality, evaluate, suggest
from ml.segments.explain import describe_tree, differences, name_in_words
from ml.segments.kmeans import Clusters, assign, fit
from ml.segments.matching import match
from ml.segments.scaling import Scaling, apply_scaling, fit_scaling

__all__ = [
    "Choice",
    "Clusters",
    "Quality",
    "Scaling",
    "apply_scaling",
    "assign",
    "describe_tree",
    "differences",
    "evaluate",
    "fit",
    "fit_scaling",
    "match",
    "name_in_words",
    "suggest",
]
