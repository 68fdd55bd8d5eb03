"""Feature flags, conf/flags.yaml: versions of a component, and by which rules subjects see them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from jobs.page_specs import Role

ROOM = 1e-9  # shares as 0.1 and 0.2 do not sum exactly


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FlagRule(_Section):
    """Whom a rule is for, and what they see: one version, or versions by share of traffic.

    segments : names as approved, with their segmentation: `rfm: loyal`.
    """

    roles: list[Role] = []
    regions: list[str] = []
    segments: list[str] = []
    version: str | None = None
    share: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}

    @field_validator("segments")
    @classmethod
    def _named(cls, segments: list[str]) -> list[str]:
        if wrong := [name for name in segments if ": " not in name]:
            raise ValueError(f"a segment is named with its segmentation, as 'rfm: loyal': not {wrong[0]!r}")
        return segments

    @model_validator(mode="after")
    def _says_what(self) -> "FlagRule":
        if (self.version is None) == (not self.share):
            raise ValueError("a rule gives a version, or shares of versions: one of both")
        if sum(self.share.values()) > 1 + ROOM:
            raise ValueError(f"shares sum to {sum(self.share.values()):g}, and there is 1 to share")
        return self

    @property
    def shares(self) -> list[tuple[str, float]]:
        """Versions with their shares, in order."""
        return [(self.version, 1.0)] if self.version is not None else list(self.share.items())


class FlagSpec(_Section):
    """A flag: versions (names, or values by name), the default, and rules; the first that fits decides."""

    meaning: str = ""
    versions: dict[str, Any]
    default: str
    rules: list[FlagRule] = []

    @field_validator("versions", mode="before")
    @classmethod
    def _by_name(cls, versions: Any) -> Any:
        return {name: name for name in versions} if isinstance(versions, list) else versions

    @model_validator(mode="after")
    def _fits_together(self) -> "FlagSpec":
        kinds = sorted({type(value).__name__ for value in self.versions.values()})
        if len(kinds) > 1:
            raise ValueError(f"values of the versions are of one kind: not {' and '.join(kinds)}")
        named = [self.default, *(name for rule in self.rules for name, _ in rule.shares)]
        if unknown := [name for name in named if name not in self.versions]:
            raise ValueError(f"{unknown[0]!r} is none of the versions {', '.join(map(str, self.versions))}")
        return self

    def told(self) -> dict[str, Any]:
        """Return it as the store holds it."""
        rules = [
            {
                **{
                    part: sorted(names)
                    for part in ("roles", "regions", "segments")
                    if (names := getattr(rule, part))
                },
                "shares": rule.shares,
            }
            for rule in self.rules
        ]
        return {"versions": self.versions, "default": self.default, "rules": rules}
