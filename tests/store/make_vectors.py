"""Write vectors.json anew: `python -m tests.store.make_vectors`. Only a new schema changes what is there."""

import json
import struct
from pathlib import Path

from jobs.store.codec import HEADER, RECORD, Names, decode

FILE = Path(__file__).with_name("vectors.json")
NAMES = Names(
    (*(f"category:{n}" for n in range(22)), "bestsellers", "trending"),
    ("own_visits", "popular", "explores"),
    {7: "linucb-home-2017-12-30", 300: "linucb-start-2017-12-30"},
    301,
)
ID = bytes(range(16))


def value(positions: int, *, flags: int = 0, policy: int = 7, day: int = 6573) -> bytes:
    """Return a value of schema 1, put together by hand."""
    header = HEADER.pack(1, 1, 28, 12, positions, flags, day, ID, policy)
    records = [RECORD.pack((5 * n) % 24, n % 3, 0, 1.5 - n / 4, 1 / (n + 1)) for n in range(positions)]
    return header + b"".join(records)


def newer(positions: int) -> bytes:
    """Return a value of a schema to come that version 1 may read: longer header, records and end."""
    header = HEADER.pack(2, 1, 32, 16, positions, 0, 6573, ID, 7) + b"\xaa" * 4
    records = [RECORD.pack(n, 0, 0, 0.25, 0.5) + b"\xbb" * 4 for n in range(positions)]
    return header + b"".join(records) + b"\xcc" * 9


def main() -> None:
    """Write the file."""
    values = {
        "no position": value(0),
        "one position": value(1, policy=300),
        "a default variant of six": value(6, flags=1),
        "twelve positions": value(12, day=0xFFFF),
        "a newer schema that version 1 may read": newer(3),
    }
    vectors = [
        {"about": about, "hex": content.hex(), "draw": decode(content, NAMES)._asdict()}
        for about, content in values.items()
    ]
    refused = {
        "a newer schema that version 1 must refuse": (struct.pack("<BB", 2, 2) + newer(3)[2:]).hex(),
        "cut short in the header": value(2)[:27].hex(),
        "cut short in the last record": value(2)[:-1].hex(),
        "a widget that the names do not hold": (value(1)[:28] + b"\x18" + value(1)[29:]).hex(),
        "a policy that the names do not hold": value(1, policy=8).hex(),
    }
    names = {**NAMES._asdict(), "policies": {str(key): name for key, name in NAMES.policies.items()}}
    content = {"names": names, "read": vectors, "refused": refused}
    FILE.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
