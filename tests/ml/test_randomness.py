"""Counter-based randomness: the published answers, and that nothing but the key decides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.randomness import philox4x32, subject_keys, uniform

# Random123 1.14.0, tests/kat_vectors, rows `philox4x32 10`: counter, key, answer.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter: str, key: str, answer: str) -> None:
    blocks = philox4x32(
        tuple(np.array([word, 7], dtype=np.uint32) for word in words(counter)), tuple(words(key))
    )
    assert [int(word[0]) for word in blocks] == words(answer)


def numbers(count: int = 20_000, **changed: object) -> np.ndarray:
    keys = np.arange(count, dtype=np.uint64)
    chosen = {"seed": 1, "page": "home", "purpose": "draw", "position": 0, "epoch": 17_000, **changed}
    return uniform(chosen.pop("seed"), keys, **chosen)


def test_a_number_is_the_published_block_of_its_key_and_counter() -> None:
    import hashlib

    stream = hashlib.blake2b(b"5\x1fhome\x1fdraw", digest_size=8).digest()
    key = (int.from_bytes(stream[:4], "little"), int.from_bytes(stream[4:], "little"))
    subject = 0x0123456789ABCDEF
    counter = tuple(np.array([w], dtype=np.uint32) for w in (0x89ABCDEF, 0x01234567, 17_000, 3))
    first, second, _, _ = (int(word[0]) for word in philox4x32(counter, key))
    expected = (((first >> 6) << 26 | second >> 6) + 0.5) / 2**52
    found = uniform(
        5, np.array([subject], dtype=np.uint64), page="home", purpose="draw", position=3, epoch=17_000
    )
    assert found.tolist() == [expected]


def test_numbers_are_uniform() -> None:
    drawn = np.sort(numbers(100_000))
    grid = np.arange(1, 100_001) / 100_000
    assert np.abs(drawn - grid).max() < 1.63 / np.sqrt(100_000)  # Kolmogorov-Smirnov at 1 %
    assert drawn[0] > 0
    assert drawn[-1] < 1
    counts = np.bincount((drawn * 64).astype(int), minlength=64)
    assert ((counts - 1562.5) ** 2 / 1562.5).sum() < 92  # chi-square, 63 degrees of freedom, 1 %


@pytest.mark.parametrize(
    "changed", [{"seed": 2}, {"page": "start"}, {"purpose": "seen"}, {"position": 1}, {"epoch": 17_001}]
)
def test_streams_of_other_keys_are_unrelated(changed: dict[str, object]) -> None:
    assert abs(np.corrcoef(numbers(), numbers(**changed))[0, 1]) < 0.025
    assert not np.isin(numbers(), numbers(**changed)).any()


def test_neighbouring_subjects_are_unrelated() -> None:
    drawn = numbers(50_000)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.015


@given(order=st.permutations(range(40)), cut=st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_order_and_partitions_do_not_matter(order: list[int], cut: int) -> None:
    subjects = [
        f"k1-{'%032x' % (977 * number)}" if number % 3 else f"default:home:{number}" for number in range(40)
    ]
    whole = uniform(3, subject_keys(subjects), page="p", purpose="q", position=0, epoch=1)
    shuffled = [subjects[place] for place in order]
    parts = [
        uniform(3, subject_keys(part), page="p", purpose="q", position=0, epoch=1)
        for part in (shuffled[:cut], shuffled[cut:])
    ]
    assert np.concatenate(parts).tolist() == whole[list(order)].tolist()


def test_a_pseudonym_is_its_own_key_and_other_names_are_hashed() -> None:
    digits = "0123456789abcdef" + "f" * 16
    keys = subject_keys([f"k1-{digits}", f"demo-{digits}", digits, f"k1-{digits.upper()}", "h1", ""])
    assert keys[0] == keys[1] == 0x0123456789ABCDEF
    assert len(set(keys.tolist())) == 5
    # blake2b-64 of 'h1', as anyone can compute it.
    import hashlib

    assert int(keys[4]) == int.from_bytes(hashlib.blake2b(b"h1", digest_size=8).digest(), "big")


def test_positions_and_epochs_may_differ_by_row() -> None:
    keys = np.array([5, 5, 9], dtype=np.uint64)
    rows = uniform(1, keys, page="p", purpose="q", position=np.array([0, 1, 1]), epoch=np.array([7, 7, 8]))
    singles = [
        uniform(1, keys[[row]], page="p", purpose="q", position=position, epoch=epoch)[0]
        for row, (position, epoch) in enumerate([(0, 7), (1, 7), (1, 8)])
    ]
    assert rows.tolist() == singles


@pytest.mark.parametrize("changed", [{"position": -1}, {"epoch": -1}, {"epoch": 2**32}])
def test_a_counter_that_does_not_fit_is_refused(changed: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(changed))} must lie between 0 and"):
        numbers(3, **changed)


def test_no_subjects_give_no_numbers() -> None:
    assert subject_keys([]).shape == (0,)
    assert uniform(1, subject_keys([]), page="p", purpose="q", position=0, epoch=0).shape == (0,)
