"""flags: which version a subject sees, at the export and at the reader."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pyarrow as pa
import pytest

from jobs.config import ROOT, ConfigError, load
from jobs.flag_rows import SCHEMA
from jobs.flag_specs import FlagSpec
from jobs.store import BrokenValue, NewerSchema, Store, StoreGone
from jobs.store.export import export
from jobs.store.flags import Decision, Flags, UnknownFlag, Who, read_flags
from jobs.store.keys import VERSIONS, versions_key
from jobs.store.reader import Generation
from tests.store import given as nights
from tests.store.given import subject

SEED = 7
FLAGS = {
    "hero": {
        "versions": ["still", "moving", "loud"],
        "default": "still",
        "rules": [
            {"roles": ["consultant"], "regions": ["North"], "version": "moving"},
            {"segments": ["rfm: loyal"], "share": {"moving": 0.5, "loud": 0.2}},
            {"share": {"loud": 0.1}},
        ],
    },
    "columns": {"versions": {"few": 2, "many": 4}, "default": "few", "rules": [{"share": {"many": 0.3}}]},
    "beta": {"versions": {"shown": True, "hidden": False}, "default": "hidden"},
}


def told(flags=FLAGS, **other):
    flags = {name: FlagSpec(**about).told() for name, about in flags.items()}
    return {"format": 1, "seed": SEED, "flags": flags, **other}


def flag_set(flags=FLAGS):
    return read_flags(json.dumps(told(flags)).encode())


def place(flag, who):
    return int.from_bytes(hashlib.blake2b(f"7|{flag}|{who}".encode(), digest_size=8).digest(), "big") / 2**64


@pytest.fixture
def store(tmp_path):
    """Return a store with flags; subject N's role is consultant when N is odd, region North below 20."""
    rows = [
        {
            "subject": subject(n),
            "role": "consultant" if n % 2 else "customer",
            "region": "North" if n < 20 else None,
            "segments": ["rfm: loyal", "other: x"] if n >= 40 else None,
        }
        for n in range(60)
    ]
    who = pa.Table.from_pylist(rows, schema=SCHEMA).to_reader(7)
    inputs = replace(nights.inputs(nights.layouts(range(60)), nights.lists()), flags=told(), who=who)
    export(str(tmp_path), nights.night(), inputs)
    return Store.open(f"lmdb:{tmp_path}", clock="generation")


def test_shares_hold_within_one_percent_and_a_subject_always_sees_the_same():
    flags, seen = flag_set(), Counter()
    loyal = Who(segments=("rfm: loyal",))
    names = [subject(n) for n in range(100_000)]
    for who in names:
        version = flags.decide("hero", who, loyal).version
        assert version == (
            "moving" if place("hero", who) < 0.5 else "loud" if place("hero", who) < 0.7 else "still"
        )
        seen[version] += 1
    assert {name: count / len(names) for name, count in seen.items()} == pytest.approx(
        {"moving": 0.5, "loud": 0.2, "still": 0.3}, abs=0.01
    )
    assert flags.decide("hero", names[0], loyal) == flag_set().decide("hero", names[0], loyal)
    both = sum(flags.decide("columns", who).version == "many" and place("hero", who) < 0.5 for who in names)
    assert both / len(names) == pytest.approx(0.3 * 0.5, abs=0.01)  # flags do not go together


def test_who_sees_a_version_still_does_when_its_share_grows():
    narrow = flag_set()
    wider = flag_set({"columns": {**FLAGS["columns"], "rules": [{"share": {"many": 0.4}}]}})
    for n in range(2000):
        if narrow.decide("columns", subject(n)).version == "many":
            assert wider.decide("columns", subject(n)).version == "many"


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (Who("consultant", "North"), ("moving", "rule")),
        (Who("consultant", None), None),
        (Who("consultant", "South", ("rfm: other",)), None),
        (Who("customer", "North"), None),
        (Who(None, None, ("x: y", "rfm: loyal")), "loyal"),
        (Who(), None),
    ],
)
def test_the_first_rule_that_fits_decides(who, expected):
    for n in range(200):
        at = place("hero", subject(n))
        by_share = ("loud", "share") if at < 0.1 else ("still", "default")
        by_segment = (
            ("moving", "rule") if at < 0.5 else ("loud", "rule") if at < 0.7 else ("still", "default")
        )
        wanted = by_segment if expected == "loyal" else expected or by_share
        assert flag_set().decide("hero", subject(n), who) == Decision(wanted[0], wanted[0], wanted[1])


def test_readers_see_what_rules_say_and_the_store_keeps_only_what_differs(store):
    flags, colour = Flags(store), store.generation().colour
    assert json.loads(colour.get(VERSIONS)) == json.loads(json.dumps(told()))
    kept = 0
    for n in range(60):
        at, who = place("hero", subject(n)), subject(n)
        by_chance = "loud" if at < 0.1 else "still"
        wanted = by_chance
        if n < 20 and n % 2:
            wanted = "moving"
        elif n >= 40:
            wanted = "moving" if at < 0.5 else "loud" if at < 0.7 else "still"
        assert (flags.get("hero", who).version, flags.all(who)["hero"]) == (wanted, wanted)
        own = colour.get(versions_key(who))
        assert own == (
            None if wanted == by_chance else json.dumps({"hero": wanted}, separators=(",", ":")).encode()
        )
        kept += own is not None
        assert flags.get("columns", who).value == (4 if place("columns", who) < 0.3 else 2)
    assert 10 < kept < 40
    assert flags.get("beta", "a stranger") == Decision("hidden", False, "default")
    with pytest.raises(
        UnknownFlag, match="There is no flag 'hat' in the store; there are: beta, columns, hero"
    ):
        flags.get("hat", "a stranger")


def test_why_tells_who_got_a_version_of_a_rule_from_who_stands_beyond_its_shares(tmp_path):
    """The default is kept for these, since the rule for all, which comes later, would give another."""
    rules = [{"roles": ["consultant"], "share": {"moving": 0.4}}, {"share": {"loud": 0.9}}]
    flags = told({"hero": {**FLAGS["hero"], "rules": rules}})
    who = [{"subject": subject(n), "role": "consultant"} for n in range(40)]
    table = pa.Table.from_pylist(who, schema=SCHEMA)
    inputs = replace(nights.inputs(nights.layouts(range(40))), flags=flags, who=table.to_reader(7))
    export(str(tmp_path), nights.night(), inputs)
    found = Flags(Store.open(tmp_path, clock="generation"))
    seen = set()
    for n in range(40):
        at, decision = place("hero", subject(n)), found.get("hero", subject(n))
        wanted = ("moving", "rule") if at < 0.4 else ("still", "default")
        assert (decision.version, decision.reason) == wanted
        seen.add(wanted)
    assert len(seen) == 2


def test_a_store_without_flags_has_none(tmp_path):
    with pytest.raises(StoreGone):
        Flags(Store.open(f"lmdb:{tmp_path}/nowhere")).all("k1-a")
    export(str(tmp_path), nights.night(), nights.inputs(nights.layouts(range(3))))
    flags = Flags(Store.open(f"lmdb:{tmp_path}", clock="generation"))
    assert flags.all(subject(1)) == {}
    with pytest.raises(UnknownFlag, match="there are: none"):
        flags.get("hero", subject(1))


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"{", BrokenValue),
        (json.dumps(told(format=2)).encode(), NewerSchema),
        (b'{"format": 1}', BrokenValue),
    ],
)
def test_flags_that_cannot_be_read_are_a_typed_error(value, error):
    with pytest.raises(error):
        read_flags(value)


def test_a_subjects_flags_that_cannot_be_read_are_a_typed_error(store):
    whole = store.generation().colour
    harmed = SimpleNamespace(get=lambda key: b"{" if key.startswith(b"versions:") else whole.get(key))
    generation = Generation(store.generation().pointer, harmed)
    flags = Flags(SimpleNamespace(generation=lambda: generation))
    for read in (flags.all, lambda who: flags.get("hero", who)):
        with pytest.raises(BrokenValue, match="The flags of a subject cannot be read"):
            read(subject(1))


RULED = {"versions": ["a", "b"], "default": "a"}


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"versions": ["a"], "default": "b"}, "hero: 'b' is none of the versions a"),
        ({**RULED, "rules": [{"version": "c"}]}, "'c' is none of the versions a, b"),
        ({**RULED, "rules": [{"roles": ["boss"], "version": "b"}]}, "hero.rules.0.roles.0 = 'boss'"),
        (
            {**RULED, "rules": [{"role": ["customer"], "version": "b"}]},
            "hero.rules.0.role is not a known key",
        ),
        ({**RULED, "rules": [{"share": {"a": 0.6, "b": 0.6}}]}, "shares sum to 1.2, and there is 1"),
        ({**RULED, "rules": [{"roles": ["customer"]}]}, "a rule gives a version, or shares of versions"),
        ({**RULED, "rules": [{"segments": ["loyal"], "version": "b"}]}, "as 'rfm: loyal': not 'loyal'"),
        ({**RULED, "rules": [{"segments": ["rmf: x"], "version": "b"}]}, "'rmf' is no segmentation"),
        ({"versions": {"a": 1, "b": "x"}, "default": "a"}, "of one kind: not int and str"),
        ({"versions": ["a"]}, "hero.default is missing; add it"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(tmp_path, about, said):
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "flags.yaml").write_text(json.dumps({"hero": about}))
    with pytest.raises(ConfigError) as refused:
        load(conf)
    assert said in str(refused.value)
    assert "flags.yaml" in str(refused.value)


def test_openfeature_resolves_them(store, tmp_path):
    from openfeature import api
    from openfeature.evaluation_context import EvaluationContext

    from jobs.store.openfeature_provider import StoreProvider

    api.set_provider(StoreProvider(store))
    client, one = api.get_client(), EvaluationContext(targeting_key=subject(1))
    found = client.get_string_details("hero", "none", one)
    assert (found.value, found.variant, found.reason) == ("moving", "moving", "TARGETING_MATCH")
    number = client.get_integer_details("columns", 0, one)
    assert number.value == Flags(store).get("columns", subject(1)).value
    assert client.get_float_value("columns", 0.0, one) == float(number.value)
    assert client.get_boolean_details("beta", True, one).value is False
    assert client.get_string_details("hat", "none", one).error_code == "FLAG_NOT_FOUND"
    assert client.get_boolean_details("hero", True, one).error_code == "TYPE_MISMATCH"
    assert client.get_integer_details("beta", 5, one).error_code == "TYPE_MISMATCH"
    assert client.get_string_details("hero", "none").error_code == "TARGETING_KEY_MISSING"
    api.set_provider(StoreProvider(Store.open(f"lmdb:{tmp_path}/nowhere")))
    gone = api.get_client().get_string_details("hero", "none", one)
    assert (gone.value, gone.error_code) == ("none", "PROVIDER_NOT_READY")
    api.clear_providers()
