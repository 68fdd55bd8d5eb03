"""Features: what is known of a subject at the end of a day, and the contexts made of it."""

from ml.features.history import Block, Declaration, History, lift, two_strongest
from ml.features.population import MICRO, RECENT_DAYS, Population, population_as_of
from ml.features.sets import MISSING, Feature, FeatureSet, assemble, column_names, scaled
from ml.features.values import RECENT_MEAN, STRONGEST, Values, values_as_of

__all__ = [
    "MICRO",
    "MISSING",
    "RECENT_DAYS",
    "RECENT_MEAN",
    "STRONGEST",
    "Block",
    "Declaration",
    "Feature",
    "FeatureSet",
    "History",
    "Population",
    "Values",
    "assemble",
    "column_names",
    "lift",
    "population_as_of",
    "scaled",
    "two_strongest",
    "values_as_of",
]
