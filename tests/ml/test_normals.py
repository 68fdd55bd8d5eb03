"""Normal numbers: Φ⁻¹ to the last digits, of exactly the numbers that ml.randomness has."""

import numpy as np
from scipy.special import ndtri

from ml.normals import Normals, normal_of
from ml.randomness import subject_keys, uniform

NAMES = [f"subject {number}" for number in range(400)]
WIDGETS = ["bakery", "trending", "dairy"]


def test_the_inverse_of_the_normal_distribution_is_exact_to_the_last_digits() -> None:
    places = np.concatenate([np.logspace(-16, -0.31, 400), 1 - np.logspace(-15, -0.31, 400), [0.5]])
    found = np.array([normal_of(place) for place in places])
    assert np.abs(found - ndtri(places)).max() < 2e-14


def test_numbers_are_those_of_the_uniform_streams() -> None:
    keys, epochs = subject_keys(NAMES), np.arange(400) % 7 + 17_000
    source = Normals.of(5, keys, page="home", purposes=WIDGETS, epoch=epochs)
    expected = np.stack(
        [ndtri(uniform(5, keys, page="home", purpose=name, position=0, epoch=epochs)) for name in WIDGETS], 1
    )
    assert source.shape == (400, 3)
    assert np.array_equal(source.rows(slice(None)), expected.astype(np.float32))
    assert np.array_equal(source.rows(slice(100, 130)), expected[100:130].astype(np.float32))


def test_an_arms_numbers_do_not_depend_on_the_other_arms() -> None:
    keys = subject_keys(NAMES)
    both = Normals.of(5, keys, page="home", purposes=WIDGETS, epoch=1).rows(slice(None))
    alone = Normals.of(5, keys, page="home", purposes=WIDGETS[2:], epoch=1).rows(slice(None))
    assert np.array_equal(both[:, 2:], alone)
    assert not np.array_equal(both[:, 0], both[:, 1])


def test_they_are_normal() -> None:
    keys = np.arange(200_000, dtype=np.uint64)
    numbers = Normals.of(1, keys, page="start", purposes=["a"], epoch=0).rows(slice(None))[:, 0]
    assert abs(numbers.mean()) < 0.01
    assert abs(numbers.std() - 1) < 0.01
    assert abs((numbers < 1.0).mean() - 0.8413) < 0.003
