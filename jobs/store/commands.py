"""Redis commands and replies by the batch: Arrow columns in, one buffer of bytes out; for the export only."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

END = b"\r\n"


def sets(prefix: bytes, keys: pa.BinaryArray, values: pa.BinaryArray, seconds: int) -> memoryview:
    """Return `SET key value EX seconds` for each key, as one buffer; each is answered by +OK."""
    life = str(seconds).encode()
    tail = END + b"$2\r\nEX\r\n" + _bulk(life)
    return _buffer([b"*5\r\n$3\r\nSET\r\n$", *_key(prefix, keys), END + b"$", *_value(values), tail])


def expires(prefix: bytes, keys: pa.BinaryArray, seconds: int) -> memoryview:
    """Return `EXPIRE key seconds` for each key; each is answered by :1."""
    return _buffer([b"*3\r\n$6\r\nEXPIRE\r\n$", *_key(prefix, keys), END + _bulk(str(seconds).encode())])


def unlinks(prefix: bytes, keys: pa.BinaryArray) -> memoryview:
    """Return `UNLINK key` for each key; each is answered by :1, or :0 where it was not there."""
    return _buffer([b"*2\r\n$6\r\nUNLINK\r\n$", *_key(prefix, keys), END])


def exists(prefix: bytes, keys: pa.BinaryArray) -> memoryview:
    """Return `EXISTS key` for each key; each is answered by :1 or :0."""
    return _buffer([b"*2\r\n$6\r\nEXISTS\r\n$", *_key(prefix, keys), END])


def gets(prefix: bytes, keys: pa.BinaryArray) -> memoryview:
    """Return `GET key` for each key."""
    return _buffer([b"*2\r\n$3\r\nGET\r\n$", *_key(prefix, keys), END])


def got(values: pa.BinaryArray) -> bytes:
    """Return the replies to GET that hold these values."""
    return bytes(_buffer([b"$", *_value(values), END]))


def _key(prefix: bytes, keys: pa.BinaryArray) -> list[Any]:
    length = pc.add(pc.binary_length(keys), pa.scalar(len(prefix), pa.int32()))
    return [length.cast(pa.string()).cast(pa.binary()), END + prefix, keys]


def _value(values: pa.BinaryArray) -> list[Any]:
    return [pc.binary_length(values).cast(pa.string()).cast(pa.binary()), END, values]


def _bulk(content: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(content), content)


def _joined(parts: list[Any]) -> pa.BinaryArray:
    return pc.binary_join_element_wise(*parts, b"")


def _buffer(parts: list[Any]) -> memoryview:
    return content(_joined(parts))


def content(joined: pa.BinaryArray) -> memoryview:
    """Return the bytes of an array's values, one after the other, as Arrow keeps them."""
    offsets = np.frombuffer(joined.buffers()[1], np.int32)[joined.offset :][: len(joined) + 1]
    return memoryview(joined.buffers()[2]).cast("B")[int(offsets[0]) : int(offsets[-1])]


def _table() -> NDArray[Any]:
    table = np.arange(256, dtype=np.uint16) << 8
    for _ in range(8):
        table = np.where(table & 0x8000, (table << 1) ^ 0x1021, table << 1).astype(np.uint16)
    return table


CRC = _table()
# Of two bytes at once, which are as long as the sum itself: the next sum is PAIRS[sum ^ word].
PAIRS = (CRC[np.arange(1 << 16) >> 8] << 8) ^ CRC[
    (CRC[np.arange(1 << 16) >> 8] >> 8) ^ (np.arange(1 << 16, dtype=np.uint16) & 0xFF)
]


def slots(prefix: bytes, keys: pa.BinaryArray) -> NDArray[Any]:
    """Return the cluster's slot of each key: CRC16 (XMODEM) of the key, or of its hash tag, modulo 16384."""
    found = np.empty(len(keys), dtype=np.uint16)
    start = _crc(np.frombuffer(prefix, np.uint8)[None, :], np.zeros(1, dtype=np.uint16))[0]
    offsets = np.frombuffer(keys.buffers()[1], np.int32)[keys.offset :][: len(keys) + 1]
    data = np.frombuffer(keys.buffers()[2], np.uint8)
    lengths = np.diff(offsets)
    each = np.unique(lengths)
    for length in each:
        rows = np.flatnonzero(lengths == length)
        if len(each) == 1:
            columns = data[offsets[0] : offsets[-1]].reshape(len(keys), length)
        else:
            columns = data[offsets[:-1][rows][:, None] + np.arange(length)]
        found[rows] = _crc(columns, np.full(len(rows), start, dtype=np.uint16))
    if (data[offsets[0] : offsets[-1]] == ord("{")).any():  # few have a tag, if any
        for row in np.flatnonzero(pc.match_substring(keys, "{").to_numpy(zero_copy_only=False)):
            tag = _tag(prefix + keys[int(row)].as_py())
            found[row] = _crc(np.frombuffer(tag, np.uint8)[None, :], np.zeros(1, dtype=np.uint16))[0]
    return (found % 16_384).astype(np.uint16)


def _crc(columns: NDArray[np.uint8], crc: NDArray[Any]) -> NDArray[Any]:
    """Return the sums of (n, length) bytes, given (n,) those of what stands before them."""
    halves = columns.T.astype(np.uint16, order="C")
    paired = len(halves) - len(halves) % 2
    for first, second in zip(halves[:paired:2], halves[1:paired:2], strict=True):
        crc = PAIRS.take(crc ^ (first << 8) ^ second)
    for last in halves[paired:]:
        crc = (crc << 8) ^ CRC[(crc >> 8) ^ last]
    return crc


def _tag(key: bytes) -> bytes:
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if end > start + 1 else key
