"""Pseudonyms: 128-bit keyed hashes that stand for ids from the door on.

The form is `KEYID-` and 32 hex digits of HMAC-SHA256(key, "KIND:RAW"): the reader of the store hashes the
same way, and a new key id tells old pseudonyms from new ones.
"""

import hmac
from hashlib import sha256


def pseudonym(kind: str, raw: str, *, key: bytes, key_id: str) -> str:
    """Return the pseudonym of a raw id; `kind` is `user` or `device`, so that equal numbers stay apart."""
    return f"{key_id}-{hmac.digest(key, f'{kind}:{raw}'.encode(), sha256).hex()[:32]}"


def subject_bucket(subject: str, buckets: int) -> int:
    """Return the bucket of a subject, 0 to buckets - 1, from the last 16 bits of its pseudonym."""
    return int(subject[-4:], 16) % buckets
