"""Randomness that is looked up, not consumed: a pure function of who, what and when.

Every number is one block of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011: Parallel random numbers: as easy
as 1, 2, 3), so any partitioning, any number of workers and any order of work give the same draws.

    key     = blake2b-64 of (seed, page, purpose)
    counter = (low and high word of the subject's key, epoch, position)

A subject's key is the first 64 bits of its pseudonym's own hash; of any other string, blake2b-64.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]

_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = 0x9E3779B9
_WEYL_1 = 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_ROUNDS = 10
_HASH_DIGITS = 32
_KEY_DIGITS = 16
_NO_DIGIT = 255


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Encrypt counters in 10 rounds: four (n,) uint32 words and two key words in, four (n,) words out."""
    x0, x1, x2, x3 = (np.asarray(word, dtype=np.uint64) for word in counter)
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(_ROUNDS):
        product0 = _MULTIPLIER_0 * x0
        product1 = _MULTIPLIER_1 * x2
        x0 = (product1 >> _SHIFT) ^ x1 ^ np.uint64(k0)
        x1 = product1 & _LOW
        x2 = (product0 >> _SHIFT) ^ x3 ^ np.uint64(k1)
        x3 = product0 & _LOW
        k0 = (k0 + _WEYL_0) & 0xFFFFFFFF
        k1 = (k1 + _WEYL_1) & 0xFFFFFFFF
    return (x0.astype(np.uint32), x1.astype(np.uint32), x2.astype(np.uint32), x3.astype(np.uint32))


def uniform(
    seed: int,
    subjects: NDArray[np.uint64],
    *,
    page: str,
    purpose: str,
    position: int | NDArray[np.integer],
    epoch: int | NDArray[np.integer],
) -> NDArray[np.float64]:
    """Return one number in the open interval (0, 1) for each subject key.

    Parameters
    ----------
    seed
        the configuration's seed.
    subjects
        (n,) keys from `subject_keys`.
    page, purpose
        what the number is for; each pair has a stream of its own.
    position
        position in the layout, one for all or (n,).
    epoch
        draw epoch as a day number, one for all or (n,), from 0 to 2³² - 1.

    Returns
    -------
    (n,) float64, odd multiples of 2⁻⁵³: 52 random bits, never 0 and never 1.

    """
    epochs = np.broadcast_to(_word(epoch, "epoch"), subjects.shape)
    positions = np.broadcast_to(_word(position, "position"), subjects.shape)
    key = stream_key(seed, page, purpose)
    low = (subjects & _LOW).astype(np.uint32)
    high = (subjects >> _SHIFT).astype(np.uint32)
    high_bits, low_bits, _, _ = philox4x32((low, high, epochs, positions), key)
    bits = (high_bits.astype(np.uint64) >> np.uint64(6) << np.uint64(26)) | (
        low_bits.astype(np.uint64) >> np.uint64(6)
    )
    return (bits.astype(np.float64) + 0.5) * 2.0**-52


def stream_key(seed: int, page: str, purpose: str) -> tuple[int, int]:
    """Return the two key words of the stream of a page and purpose."""
    stream = hashlib.blake2b(f"{seed}\x1f{page}\x1f{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(stream[:4], "little"), int.from_bytes(stream[4:], "little")


def subject_keys(subjects: Sequence[str] | NDArray[np.str_]) -> NDArray[np.uint64]:
    """Return the (n,) uint64 keys of subjects.

    A pseudonym (any prefix, a hyphen, 32 lower-case hexadecimal digits) has its first 16 digits as key; any
    other string its blake2b-64.
    """
    names = np.asarray(subjects, dtype=np.str_)
    keys = np.zeros(len(names), dtype=np.uint64)
    if not len(names):
        return keys
    lengths = np.char.str_len(names)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        keys[rows] = _keys_of_one_length(names[rows], int(length))
    return keys


def _keys_of_one_length(names: NDArray[np.str_], length: int) -> NDArray[np.uint64]:
    if length <= _HASH_DIGITS:
        return _hashed(names)
    letters = names.astype(f"U{length}").view(np.uint32).reshape(len(names), length)
    digits = _HEX_DIGITS[np.minimum(letters[:, -_HASH_DIGITS:], _NO_DIGIT)]
    is_pseudonym = (letters[:, -_HASH_DIGITS - 1] == ord("-")) & (digits != _NO_DIGIT).all(axis=1)
    places = np.uint64(4) * np.arange(_KEY_DIGITS - 1, -1, -1, dtype=np.uint64)
    keys = np.bitwise_or.reduce(digits[:, :_KEY_DIGITS].astype(np.uint64) << places, axis=1)
    others = np.flatnonzero(~is_pseudonym)
    if len(others):
        keys[others] = _hashed(names[others])
    return keys


def _hashed(names: NDArray[np.str_]) -> NDArray[np.uint64]:
    hashes = (hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names)
    return np.fromiter(
        (int.from_bytes(digest, "big") for digest in hashes), dtype=np.uint64, count=len(names)
    )


def _word(value: int | NDArray[np.integer], name: str) -> NDArray[np.uint32]:
    values = np.asarray(value)
    if values.size and (values.min() < 0 or values.max() > 0xFFFFFFFF):
        raise ValueError(f"{name} must lie between 0 and 2^32 - 1, not {values.min()} to {values.max()}")
    return values.astype(np.uint32)


def _hex_digits() -> NDArray[np.uint8]:
    table = np.full(256, _NO_DIGIT, dtype=np.uint8)
    for digit, letter in enumerate("0123456789abcdef"):
        table[ord(letter)] = digit
    return table


_HEX_DIGITS = _hex_digits()
