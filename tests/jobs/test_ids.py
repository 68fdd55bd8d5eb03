"""ids: pseudonyms, one by one and for who makes many."""

import hmac

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.ids import pseudonym, pseudonyms, subject_bucket


def test_a_pseudonym_is_a_key_id_and_half_an_hmac():
    whole = hmac.new(b"secret", b"user:42", "sha256").hexdigest()
    assert pseudonym("user", "42", key=b"secret", key_id="k7") == f"k7-{whole[:32]}"
    assert subject_bucket(f"k7-{'0' * 28}0105", 64) == 0x0105 % 64


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=130), st.sampled_from(["user", "device"]), st.text(max_size=200))
def test_many_of_one_key_are_the_same(key, kind, raw):
    of = pseudonyms(key, "k1")
    assert [of(kind, raw), of(kind, raw)] == [pseudonym(kind, raw, key=key, key_id="k1")] * 2
