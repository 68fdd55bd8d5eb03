"""XXH64 of rows, column by column, as Spark's `xxhash64` chains it: the hash so far is the next value's seed.

Collet, XXH64: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md. A value that is missing leaves
the hash as it is.

Each function goes on with `hashes`, (rows,) uint64, in place: row r is followed by the values at the places
from `begins[r]` to `ends[r]`, of which those that are not `valid` are passed over.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

SEED = 42  # what Spark begins with
U = np.uint64
P1, P2, P3 = U(0x9E3779B185EBCA87), U(0xC2B2AE3D27D4EB4F), U(0x165667B19E3779F9)
P4, P5 = U(0x85EBCA77C2B2AE63), U(0x27D4EB2F165667C5)


@numba.njit(cache=True, nogil=True)
def texts(hashes, begins, ends, offsets, data, valid):  # type: ignore[no-untyped-def]
    """Go on with the bytes of `data` between two `offsets`."""
    for row in range(len(hashes)):
        for place in range(begins[row], ends[row]):
            if valid[place]:
                hashes[row] = _of_bytes(data, offsets[place], offsets[place + 1], hashes[row])


@numba.njit(cache=True, nogil=True)
def words(hashes, begins, ends, numbers, offsets, data):  # type: ignore[no-untyped-def]
    """Go on with words of a dictionary by their numbers; below 0 is none."""
    for row in range(len(hashes)):
        for place in range(begins[row], ends[row]):
            word = numbers[place]
            if word >= 0:
                hashes[row] = _of_bytes(data, offsets[word], offsets[word + 1], hashes[row])


@numba.njit(cache=True, nogil=True)
def longs(hashes, begins, ends, values, valid):  # type: ignore[no-untyped-def]
    """Go on with uint64: longs, times, and the bits of doubles."""
    for row in range(len(hashes)):
        for place in range(begins[row], ends[row]):
            if valid[place]:
                hashes[row] = _finished(_eight(hashes[row] + P5 + U(8), values[place]))


@numba.njit(cache=True, nogil=True)
def integers(hashes, begins, ends, values, valid):  # type: ignore[no-untyped-def]
    """Go on with uint32: integers, days, booleans, and the bits of floats."""
    for row in range(len(hashes)):
        for place in range(begins[row], ends[row]):
            if valid[place]:
                hashes[row] = _finished(_four(hashes[row] + P5 + U(4), U(values[place])))


@numba.njit(cache=True, nogil=True)
def order_within(bounds, ranks):  # type: ignore[no-untyped-def]
    """Order the places between any two bounds by their ranks: entries are few, and often in order."""
    order = np.arange(len(ranks))
    for row in range(len(bounds) - 1):
        for place in range(bounds[row] + 1, bounds[row + 1]):
            moved, at = order[place], place
            while at > bounds[row] and ranks[order[at - 1]] > ranks[moved]:
                order[at] = order[at - 1]
                at -= 1
            order[at] = moved
    return order


@numba.njit(inline="always")
def _turned(x, by):  # type: ignore[no-untyped-def]
    return (x << U(by)) | (x >> U(64 - by))


@numba.njit(inline="always")
def _finished(x):  # type: ignore[no-untyped-def]
    x = (x ^ (x >> U(33))) * P2
    x = (x ^ (x >> U(29))) * P3
    return x ^ (x >> U(32))


@numba.njit(inline="always")
def _round(x, word):  # type: ignore[no-untyped-def]
    return _turned(x + word * P2, 31) * P1


@numba.njit(inline="always")
def _eight(x, word):  # type: ignore[no-untyped-def]
    return _turned(x ^ _round(U(0), word), 27) * P1 + P4


@numba.njit(inline="always")
def _four(x, word):  # type: ignore[no-untyped-def]
    return _turned(x ^ (word * P1), 23) * P2 + P3


@numba.njit(inline="always")
def _word(data, at, size):  # type: ignore[no-untyped-def]
    """The little-endian number of some bytes."""
    word = U(0)
    for byte in range(size):
        word |= U(data[at + byte]) << U(8 * byte)
    return word


@numba.njit(inline="always")
def _of_bytes(data, begin, end, seed):  # type: ignore[no-untyped-def]
    at = begin
    x = seed + P5
    if end - begin >= 32:
        a, b, c, d = seed + P1 + P2, seed + P2, seed, seed - P1
        while at + 32 <= end:
            a, b = _round(a, _word(data, at, 8)), _round(b, _word(data, at + 8, 8))
            c, d = _round(c, _word(data, at + 16, 8)), _round(d, _word(data, at + 24, 8))
            at += 32
        x = _turned(a, 1) + _turned(b, 7) + _turned(c, 12) + _turned(d, 18)
        for part in (a, b, c, d):
            x = (x ^ _round(U(0), part)) * P1 + P4
    x += U(end - begin)
    while at + 8 <= end:
        x = _eight(x, _word(data, at, 8))
        at += 8
    if at + 4 <= end:
        x = _four(x, _word(data, at, 4))
        at += 4
    while at < end:
        x = _turned(x ^ (U(data[at]) * P5), 11) * P1
        at += 1
    return _finished(x)
