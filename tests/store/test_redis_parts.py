"""What exports to Redis are made of, each against the plain way: commands, slots, differences, renewals."""

from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.connection import Connection
from redis.crc import key_slot

from jobs.store import StoreError, StoreGone, commands, held
from jobs.store.backends import backend_of
from jobs.store.held import Note, steps, write
from jobs.store.stage import Stage, add
from jobs.store.walks import Tally
from jobs.store.wire import OtherReply, Passing, Wire

KEYS = st.lists(
    st.one_of(st.binary(min_size=1, max_size=60), st.sampled_from([b"{a}b", b"a{}b", b"{a", b"x{y}{z}"])),
    max_size=30,
)
PAIRS = st.dictionaries(st.binary(min_size=1, max_size=3), st.binary(max_size=3), max_size=40)
PREFIX = b"shop:maize:"


def plain(*commands_):
    """Return what redis-py sends for these commands."""
    return b"".join(b"".join(Connection().pack_command(*one)) for one in commands_)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=60), st.binary(max_size=300)), min_size=1, max_size=30)
)
def test_commands_are_those_that_redis_py_sends(pairs):
    keys, values = (pa.array(column, pa.binary()) for column in zip(*pairs, strict=True))
    full = [PREFIX + key for key, _ in pairs]
    assert commands.sets(PREFIX, keys, values, 77) == plain(
        *(("SET", key, value, "EX", 77) for key, (_, value) in zip(full, pairs, strict=True))
    )
    assert commands.gets(PREFIX, keys) == plain(*(("GET", key) for key in full))
    assert commands.exists(PREFIX, keys) == plain(*(("EXISTS", key) for key in full))
    assert commands.unlinks(PREFIX, keys) == plain(*(("UNLINK", key) for key in full))
    assert commands.expires(PREFIX, keys, 9) == plain(*(("EXPIRE", key, 9) for key in full))
    assert commands.got(values) == b"".join(b"$%d\r\n%s\r\n" % (len(value), value) for _, value in pairs)


@settings(max_examples=50, deadline=None)
@given(KEYS, st.integers(0, 5))
def test_slots_are_those_of_the_cluster(keys, start):
    array = pa.array([b"x", *keys], pa.binary()).slice(1)
    assert commands.slots(PREFIX, array.slice(start)).tolist() == [
        key_slot(PREFIX + key) for key in keys[start:]
    ]


@settings(max_examples=60, deadline=None)
@given(PAIRS, PAIRS, st.integers(1, 7), st.integers(1, 7))
def test_steps_are_new_changed_and_gone_keys_however_walks_are_cut(before, wanted, rows_before, rows_wanted):
    batches = [
        _batches(sorted(one.items()), rows) for one, rows in ((before, rows_before), (wanted, rows_wanted))
    ]
    other, gone, walked = set(), set(), []
    for step in steps(*batches):
        names = step.wanted["key"].to_pylist()
        walked += names
        other |= {name for name, is_other in zip(names, step.is_other, strict=True) if is_other}
        gone |= set(step.gone.to_pylist())
    if wanted:
        assert walked == sorted(wanted)
        assert other == {key for key, value in wanted.items() if before.get(key) != value}
        assert gone == before.keys() - wanted.keys()


def _batches(pairs, rows):
    columns = [
        pa.array([key for key, _ in pairs], pa.binary()),
        pa.array([held.digest(value) for _, value in pairs], pa.binary(held.WIDTH)),
    ]
    return pa.Table.from_arrays(columns, schema=held.SCHEMA).to_batches(max_chunksize=rows)


def test_what_is_held_is_read_as_it_was_written(tmp_path):
    pairs = [(f"{n:06d}".encode(), bytes([n % 7])) for n in range(2 * held.ROWS + 5)]
    write(tmp_path / "x", pairs)
    batches = list(held.read(tmp_path / "x"))
    assert [len(batch) for batch in batches] == [held.ROWS, held.ROWS, 5]
    assert pa.Table.from_batches(batches)["key"].to_pylist() == [key for key, _ in pairs]
    assert batches[2]["digest"].to_pylist() == [held.digest(value) for _, value in pairs[-5:]]


@settings(max_examples=20, deadline=None)
@given(PAIRS, st.integers(1, 50))
def test_a_stage_holds_keys_values_and_digests_and_counts_as_a_walk_does(pairs, count):
    pairs = sorted({**pairs, b"layout:home:k1": b"x", b"layout:home:k2": b""}.items())
    with TemporaryDirectory() as folder:
        stage = Stage(Path(folder) / "pairs", Path(folder) / "wanted")
        for start in range(0, len(pairs), count):
            stage.fill(pairs[start : start + count])
        stage.close()
        batches, wanted = list(stage.batches()), list(held.read(stage.wanted))
        plain, columns = Tally(), Tally()
        assert list(plain.over(pairs)) == [tuple(row.values()) for one in batches for row in one.to_pylist()]
        for batch in batches:
            add(columns, batch.slice(0, 1))
            add(columns, batch.slice(1))
        stage.discard()
        assert not list(Path(folder).iterdir())
    digests = [(row["key"], row["digest"]) for one in wanted for row in one.to_pylist()]
    assert digests == [(key, held.digest(value)) for key, value in pairs]
    assert [len(one) for one in batches] == [len(one) for one in wanted]
    assert (columns.digest, columns.keys, columns.size, columns.layouts) == (
        (plain.digest, plain.keys, plain.size, plain.layouts)
    )


@pytest.mark.parametrize("parts", [1, 3, 7])
@pytest.mark.parametrize("every", [2, 3, 5])
def test_each_part_is_renewed_before_its_time_is_up(parts, every):
    """A colour is written every so many nights; two is the rule, more where nights failed."""
    day, note = date(2017, 1, 1), Note(1, "")
    assert note.due(parts, day) == list(range(parts))
    last = dict.fromkeys(range(parts), day)
    note.renewed = {str(part): day.isoformat() for part in last}
    for night in range(1, 60):
        now = day + timedelta(night * every)
        due = note.due(parts, now)
        assert len(due) == 1 or every > 2
        for part in due:
            last[part] = now
            note.renewed[str(part)] = now.isoformat()
        # What is not renewed now stays so until the next time, and must outlive that, too.
        assert max((now - then).days for then in last.values()) + every <= 2 * parts + 7


def test_a_wire_tells_what_came_back_otherwise():
    for answer, error, says in (
        (b"-OOM no memory\r\n", StoreError, "refused: OOM no memory"),
        (b"$1\r\ny\r\n" + b" " * 9, OtherReply, "otherwise than expected"),
    ):
        wire = Wire(lambda answer=answer: SimpleNamespace(_sock=Told([answer]), disconnect=bool), "here", ())
        wire.send(memoryview(b"GET x"), b"$1\r\nx\r\n")
        with pytest.raises(error, match=says):
            wire.drain()


def test_a_wire_sends_again_what_was_not_answered_and_gives_up_in_the_end(monkeypatch):
    monkeypatch.setattr("jobs.store.wire.LONGEST_PAUSE", 0.0)
    sent, answers = [], iter([[b"-LOADING\r\n"], [b"+OK\r\n", b""], [b"+OK\r\n"]])
    wire = Wire(
        lambda: SimpleNamespace(_sock=Told(next(answers), sent), disconnect=bool), "here", (StopIteration,)
    )
    wire.send(memoryview(b"one"), b"+OK\r\n")
    wire.send(memoryview(b"two"), b"+OK\r\n")
    wire.drain()
    assert sent == [b"one", b"two", b"one", b"two", b"two"]
    wire.send(memoryview(b"three"), b"+OK\r\n")
    with pytest.raises(StoreGone, match="here does not answer"):
        wire.drain()
    assert issubclass(Passing, OSError)


class Told:
    """A socket that gives these answers."""

    def __init__(self, answers, sent=None):
        self.answers, self.sent = b"".join(answers), [] if sent is None else sent

    def sendall(self, content):
        self.sent.append(bytes(content))

    def recv(self, count):
        part, self.answers = self.answers[:count], self.answers[count:]
        return part

    def recv_into(self, buffer, count):
        part, self.answers = self.answers[:count], self.answers[count:]
        buffer[: len(part)] = part
        return len(part)


def test_an_address_tells_nobody_its_password():
    backend = backend_of("rediss+cluster://shop:secret@one:1,two:2/?prefix=p")
    assert (backend.where, backend.prefix, backend.is_cluster) == ("rediss+cluster://one:1,two:2/", "p", True)
    assert backend.data_prefix("blue") == b"p:blue:"
