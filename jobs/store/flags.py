"""Feature flags: which version of a component a subject sees, by rules that are exported with the layouts.

| key | value |
|---|---|
| `versions` | JSON object: `format`, `seed`, and `flags` by name: versions with values, default, rules |
| `versions:SUBJECT` | JSON object: a flag's version where role, region or segment decide |

The first rule that a subject fits decides. A rule's shares are laid out from 0 to 1, and a subject stands at

    u = first 8 bytes of blake2b(SEED|FLAG|SUBJECT) as a big-endian number / 2^64

so the same subject always sees the same version, and who saw one still does when its share grows. Who stands
beyond all shares gets the default. Who has no key of their own is decided by the rules that ask for nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from jobs.store.errors import BrokenValue, NewerSchema, StoreError
from jobs.store.keys import VERSIONS, versions_key
from jobs.store.reader import Generation, Store

FORMAT = 1
Reason = Literal["rule", "share", "default"]


class UnknownFlag(StoreError):
    """A flag that the live generation does not hold."""


class Who(NamedTuple):
    """What rules ask of a subject; None or empty where it is not known."""

    role: str | None = None
    region: str | None = None
    segments: tuple[str, ...] = ()


class Decision(NamedTuple):
    """A version of a flag: its name, its value, and why it is this one."""

    version: str
    value: Any
    reason: Reason


class Rule(NamedTuple):
    """Whom a rule is for (nothing means all), and the shares of its versions."""

    roles: frozenset[str]
    regions: frozenset[str]
    segments: frozenset[str]
    shares: tuple[tuple[str, float], ...]

    def at(self, place: float) -> str | None:
        """Return the version of who stands at a place between 0 and 1, None beyond all shares."""
        upto = 0.0
        for version, part in self.shares:
            upto += part
            if place < upto:
                return version
        return None

    @property
    def asks(self) -> bool:
        """Whether it is for some and not for others."""
        return bool(self.roles or self.regions or self.segments)

    def fits(self, who: Who) -> bool:
        """Tell whether someone belongs to it: never who is not known to, where it counts."""
        return (
            (not self.roles or who.role in self.roles)
            and (not self.regions or who.region in self.regions)
            and (not self.segments or not self.segments.isdisjoint(who.segments))
        )


class Flag(NamedTuple):
    """A flag: values of its versions by name, the default one, and rules in order."""

    name: str
    versions: Mapping[str, Any]
    default: str
    rules: tuple[Rule, ...]


class FlagSet:
    """All flags of a generation."""

    def __init__(self, seed: int, flags: Mapping[str, Flag]) -> None:
        self.seed = seed
        self.flags = flags

    def decide(self, name: str, subject: str, who: Who = Who()) -> Decision:  # noqa: B008 - it is a constant
        """Return the version that a subject sees.

        Raises
        ------
        UnknownFlag
            When there is no flag of that name.

        """
        flag = self.flag(name)
        for rule in flag.rules:
            if rule.fits(who):
                if (version := rule.at(share(self.seed, name, subject))) is not None:
                    return Decision(version, flag.versions[version], "rule" if rule.asks else "share")
                break
        return Decision(flag.default, flag.versions[flag.default], "default")

    def differing(self, subject: str, who: Who) -> dict[str, str]:
        """Return the versions that would be others if nothing were known of the subject."""
        asking = (name for name, flag in self.flags.items() if any(rule.asks for rule in flag.rules))
        decided = {name: self.decide(name, subject, who).version for name in asking}
        return {
            name: version
            for name, version in decided.items()
            if version != self.decide(name, subject).version
        }

    def flag(self, name: str) -> Flag:
        """Return a flag, or say which there are."""
        if name not in self.flags:
            known = ", ".join(sorted(self.flags)) or "none"
            raise UnknownFlag(f"There is no flag {name!r} in the store; there are: {known}.")
        return self.flags[name]


class Flags:
    """The flags of a store, for readers: the plain provider under OpenFeature's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, flag: str, subject: str, *, of: Generation | None = None) -> Decision:
        """Return the version of a flag that a subject sees.

        Raises
        ------
        UnknownFlag, StoreGone
            When the live generation has no such flag, or there is no store.

        """
        generation = of or self._store.generation()
        flags = generation.once(VERSIONS, _read)
        about = flags.flag(flag)
        version = _own(generation, subject).get(flag, "")
        if version in about.versions:
            place = share(flags.seed, flag, subject)
            # The default is kept, too, for who fits a rule that asks and stands beyond its shares.
            is_given = any(rule.asks and rule.at(place) == version for rule in about.rules)
            return Decision(version, about.versions[version], "rule" if is_given else "default")
        return flags.decide(flag, subject)

    def all(self, subject: str, *, of: Generation | None = None) -> dict[str, str]:
        """Return by flag the version that a subject sees."""
        generation = of or self._store.generation()
        flags = generation.once(VERSIONS, _read)
        if not flags.flags:
            return {}
        own = _own(generation, subject)
        return {
            name: own[name] if own.get(name) in flag.versions else flags.decide(name, subject).version
            for name, flag in flags.flags.items()
        }


def share(seed: int, flag: str, subject: str) -> float:
    """Return where a subject stands between 0 and 1, for one flag."""
    digest = hashlib.blake2b(f"{seed}|{flag}|{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def read_flags(value: bytes) -> FlagSet:
    """Read the value of the key `versions`.

    Raises
    ------
    NewerSchema, BrokenValue
        When it cannot be read.

    """
    try:
        content = json.loads(value)
        if content["format"] > FORMAT:
            raise NewerSchema(
                f"The flags need a reader of format {content['format']}; this one knows {FORMAT}: upgrade it."
            )
        flags = {name: _flag(name, about) for name, about in content["flags"].items()}
        return FlagSet(int(content["seed"]), flags)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenValue(f"The flags cannot be read: {error!r}.") from None


def _flag(name: str, about: Mapping[str, Any]) -> Flag:
    rules = tuple(
        Rule(
            frozenset(rule.get("roles", ())),
            frozenset(rule.get("regions", ())),
            frozenset(rule.get("segments", ())),
            tuple((version, float(part)) for version, part in rule["shares"]),
        )
        for rule in about["rules"]
    )
    return Flag(name, dict(about["versions"]), about["default"], rules)


def _read(generation: Generation) -> FlagSet:
    value = generation.colour.get(VERSIONS)
    return FlagSet(0, {}) if value is None else read_flags(value)


def _own(generation: Generation, subject: str) -> dict[str, str]:
    value = generation.colour.get(versions_key(subject))
    try:
        return dict(json.loads(value)) if value else {}
    except (ValueError, TypeError) as error:
        raise BrokenValue(f"The flags of a subject cannot be read: {error!r}.") from None
