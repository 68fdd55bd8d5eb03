"""Normal numbers that are looked up, not consumed: Φ⁻¹ of the uniform numbers of `ml.randomness`, compiled.

    normal(subject, purpose, epoch) = Φ⁻¹(uniform(seed, subject, page, purpose, position 0, epoch))

Φ⁻¹ by Wichura 1988: Algorithm AS 241, the percentage points of the normal distribution (PPND16, to 1e-15).
A source makes them a few rows at a time, so that subjects × arms of them are never held together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
from numpy.typing import NDArray

from ml.randomness import stream_key

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_DROPPED, _PLACE = np.uint64(6), np.uint64(26)

# Wichura's coefficients by where |p - 1/2| lies: numerator and denominator, highest powers first.
_CENTRE = np.array(
    [
        [
            2.5090809287301226727e3,
            3.3430575583588128105e4,
            6.7265770927008700853e4,
            4.5921953931549871457e4,
            1.3731693765509461125e4,
            1.9715909503065514427e3,
            1.3314166789178437745e2,
            3.3871328727963666080e0,
        ],
        [
            5.2264952788528545610e3,
            2.8729085735721942674e4,
            3.9307895800092710610e4,
            2.1213794301586595867e4,
            5.3941960214247511077e3,
            6.8718700749205790830e2,
            4.2313330701600911252e1,
            1.0,
        ],
    ]
)
_MIDDLE = np.array(
    [
        [
            7.74545014278341407640e-4,
            2.27238449892691845833e-2,
            2.41780725177450611770e-1,
            1.27045825245236838258e0,
            3.64784832476320460504e0,
            5.76949722146069140550e0,
            4.63033784615654529590e0,
            1.42343711074968357734e0,
        ],
        [
            1.05075007164441684324e-9,
            5.47593808499534494600e-4,
            1.51986665636164571966e-2,
            1.48103976427480074590e-1,
            6.89767334985100004550e-1,
            1.67638483018380384940e0,
            2.05319162663775882187e0,
            1.0,
        ],
    ]
)
_FAR = np.array(
    [
        [
            2.01033439929228813265e-7,
            2.71155556874348757815e-5,
            1.24266094738807843860e-3,
            2.65321895265761230930e-2,
            2.96560571828504891230e-1,
            1.78482653991729133580e0,
            5.46378491116411436990e0,
            6.65790464350110377720e0,
        ],
        [
            2.04426310338993978564e-15,
            1.42151175831644588870e-7,
            1.84631831751005468180e-5,
            7.86869131145613259100e-4,
            1.48753612908506148525e-2,
            1.36929880922735805310e-1,
            5.99832206555887937690e-1,
            1.0,
        ],
    ]
)


@dataclass(frozen=True)
class Normals:
    """A standard normal number for each of n subjects and m purposes.

    keys : (n,) uint64, subject keys from `ml.randomness.subject_keys`.
    streams : (m, 2) uint64, the key words of each purpose's stream.
    epochs : (n,) uint64, draw epochs.
    """

    keys: NDArray[np.uint64]
    streams: NDArray[np.uint64]
    epochs: NDArray[np.uint64]

    @classmethod
    def of(
        cls,
        seed: int,
        keys: NDArray[np.uint64],
        *,
        page: str,
        purposes: Sequence[str],
        epoch: int | NDArray[np.integer],
    ) -> Self:
        """Name the numbers: a stream for each purpose, a number in it for each subject and epoch."""
        words = [stream_key(seed, page, purpose) for purpose in purposes]
        streams = np.array(words, dtype=np.uint64).reshape(len(words), 2)
        epochs = np.ascontiguousarray(np.broadcast_to(np.asarray(epoch, dtype=np.uint64), keys.shape))
        return cls(np.ascontiguousarray(keys), streams, epochs)

    @property
    def shape(self) -> tuple[int, int]:
        """Subjects and purposes."""
        return len(self.keys), len(self.streams)

    def rows(self, rows: slice) -> NDArray[np.float32]:
        """Return the (rows, m) numbers of some subjects."""
        numbers = np.empty((len(self.keys[rows]), len(self.streams)), dtype=np.float32)
        first, second = np.ascontiguousarray(self.streams.T)
        _fill(self.keys[rows], first, second, self.epochs[rows], numbers)
        return numbers


@numba.njit(cache=True, nogil=True, inline="always")
def uniform_of(low, high, epoch, position, k0, k1):  # type: ignore[no-untyped-def]
    """Return the uniform number of one counter: the compiled twin of `ml.randomness.uniform`."""
    x0, x1, x2, x3 = low, high, epoch, position
    for _ in range(10):
        product0 = _MULTIPLIER_0 * x0
        product1 = _MULTIPLIER_1 * x2
        x0 = (product1 >> _SHIFT) ^ x1 ^ k0
        x1 = product1 & _LOW
        x2 = (product0 >> _SHIFT) ^ x3 ^ k1
        x3 = product0 & _LOW
        k0 = (k0 + _WEYL_0) & _LOW
        k1 = (k1 + _WEYL_1) & _LOW
    bits = ((x0 >> _DROPPED) << _PLACE) | (x1 >> _DROPPED)
    return (np.float64(bits) + 0.5) * 2.0**-52


@numba.njit(cache=True, nogil=True)
def normal_of(p):  # type: ignore[no-untyped-def]
    """Return Φ⁻¹(p) for 0 < p < 1."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * _ratio(_CENTRE, r)
    r = np.sqrt(-np.log(p if q < 0 else 1.0 - p))
    tail = _ratio(_MIDDLE, r - 1.6) if r <= 5.0 else _ratio(_FAR, r - 5.0)
    return -tail if q < 0 else tail


@numba.njit(cache=True, nogil=True, inline="always")
def _ratio(coefficients, r):  # type: ignore[no-untyped-def]
    """Return the ratio of two polynomials of degree 7, highest powers first."""
    above = coefficients[0, 0]
    below = coefficients[1, 0]
    for power in range(1, 8):
        above = above * r + coefficients[0, power]
        below = below * r + coefficients[1, power]
    return above / below


@numba.njit(cache=True, nogil=True)
def _fill(keys, streams0, streams1, epochs, numbers):  # type: ignore[no-untyped-def]
    """Fill rows in three plain loops each, of which the processor does several steps at once."""
    columns = numbers.shape[1]
    uniforms = np.empty(columns)
    for row in range(numbers.shape[0]):
        low, high, epoch = keys[row] & _LOW, keys[row] >> _SHIFT, epochs[row]
        for column in range(columns):
            k0, k1 = streams0[column], streams1[column]
            uniforms[column] = uniform_of(low, high, epoch, np.uint64(0), k0, k1)
        for column in range(columns):
            q = uniforms[column] - 0.5
            numbers[row, column] = q * _ratio(_CENTRE, 0.180625 - q * q)
        for column in range(columns):
            if abs(uniforms[column] - 0.5) > 0.425:
                numbers[row, column] = normal_of(uniforms[column])
