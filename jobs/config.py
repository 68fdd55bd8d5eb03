"""Configuration: conf/base.yaml, overlays on top of it, and the declarations beside it.

`load()` merges base.yaml with the overlays named in VITRINE_OVERLAY (a comma list, `demo` by default) and
reads conf/pages, conf/policies and conf/features.yaml. Every mistake is one sentence that names the file,
the key and what was expected.
"""

import hashlib
import json
import math
import os
import re
from collections.abc import Collection, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from jobs.flag_specs import FlagSpec as FlagSpec
from jobs.kinds import Goal, Kinds
from jobs.labels import Labels
from jobs.model_specs import ModelSpec as ModelSpec
from jobs.page_specs import Page as Page
from jobs.specs import Policy as Policy
from jobs.store.terms import Terms
from jobs.variants import VariantNames

ROOT = Path(__file__).resolve().parent.parent
SHORTEST_DAY_HOURS = 23  # the one on which summer time begins
MOST_SEGMENTS = 20
WHERE_IT_RUNS = {"engine", "airflow", "prices", "alerts", "maintenance"}
"""Sections that change no row."""


class ConfigError(ValueError):
    """A file under conf/ says something that cannot be."""


class Strict(BaseModel):
    """A section of the configuration: unknown keys and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ids(Strict):
    """How raw ids become pseudonyms. The key comes from VITRINE_ID_KEY; only the demo has one in its file.

    While the key changes, `before` is the id of the one before, which VITRINE_ID_KEY_BEFORE holds.
    """

    key_id: str = Field(pattern=r"^[a-z0-9]{1,8}$")
    before: str | None = Field(default=None, pattern=r"^[a-z0-9]{1,8}$")
    demo_key: str | None = None

    @model_validator(mode="after")
    def _differ(self) -> "Ids":
        if self.before == self.key_id:
            raise ValueError(f"before = {self.before!r} must name another key than key_id: pseudonyms tell")
        return self

    @property
    def key(self) -> bytes:
        """Return the secret, or say where it is expected."""
        secret = os.environ.get("VITRINE_ID_KEY") or self.demo_key
        if not secret:
            raise ConfigError("No key for pseudonyms: set VITRINE_ID_KEY in the environment of the jobs.")
        return secret.encode()

    @property
    def key_before(self) -> bytes:
        """Return the secret that `before` names, or say where it is expected."""
        secret = os.environ.get("VITRINE_ID_KEY_BEFORE")
        if not secret:
            raise ConfigError(f"No key for the pseudonyms of {self.before}: set VITRINE_ID_KEY_BEFORE, too.")
        if secret.encode() == self.key:
            raise ConfigError("VITRINE_ID_KEY_BEFORE is VITRINE_ID_KEY: the key has not changed.")
        return secret.encode()


class Consent(Strict):
    """The purpose that a subject must have agreed to, and what holds for who never answered."""

    purpose: str
    by_default: bool = False


class BotRules(Strict):
    """What no person does. A device-day that breaks a rule is marked with its name, the first that holds."""

    agents: list[str]  # words in the user agent
    events_per_day: int = Field(gt=0)
    events_per_minute: int = Field(gt=0)
    pages_per_minute: int = Field(gt=0)  # faster than anyone reads
    pages_alone: int = Field(gt=0)  # page views in a day without anything else


class Reward(Strict):
    """What an outcome is worth, under a version that statistics carry; `roles` says what counts for whom."""

    version: str
    basket: float = Field(ge=0)
    detail: float = Field(ge=0)
    detail_seconds: int = Field(gt=0)
    follow_hours: int = Field(default=10, gt=0, le=23)
    display_seconds: int = Field(default=60, gt=0)
    roles: dict[str, dict[Goal, Annotated[float, Field(ge=0)]]] | None = None


class Source(Strict):
    """A source of the lake: its form, its folder, the table it feeds, whether each day must have a folder.

    `rename` maps columns of its files to the fields of our record; columns that it may have and we do not
    read are listed in `ignore`. `services` are those whose spans a source may hold; any when it names none.
    `without_ids` says that tag hits may come without ids (consent mode): spans of the same events are sought.
    """

    form: Literal["otlp", "ga4", "records"]
    path: str
    table: str
    daily: bool = True
    since: date | None = None
    rename: dict[str, str] = {}
    ignore: list[str] = []
    services: list[str] = []
    without_ids: bool = False

    @model_validator(mode="after")
    def _fits(self) -> "Source":
        if (self.form == "records") == (self.table == "events"):
            raise ValueError(f"form {self.form!r} does not feed {self.table!r}: otlp and ga4 feed events")
        if (self.rename or self.ignore) and self.form != "records":
            raise ValueError(f"form {self.form!r} has no columns to rename or ignore")
        if self.services and self.form != "otlp":
            raise ValueError(f"form {self.form!r} does not come from services")
        if self.without_ids and self.form != "ga4":
            raise ValueError(f"form {self.form!r} has no hits without ids: only ga4 has, in consent mode")
        twice = sorted({ours for ours in self.rename.values() if list(self.rename.values()).count(ours) > 1})
        if twice:
            raise ValueError(f"two columns are renamed to {twice[0]!r}")
        return self


class Engine(Strict):
    """Where Spark runs: `connect` to a warm server, `local` in the job itself, `submit` by spark-submit."""

    kind: Literal["connect", "local", "submit"]
    remote: str = "sc://127.0.0.1:15002"
    memory: str = "3g"
    settings: dict[str, str] = {}

    @property
    def is_here(self) -> bool:
        """Whether `remote` names a server on this machine, whose address and token `engine_address` holds."""
        return urlsplit(self.remote).hostname in ("127.0.0.1", "localhost")


class StoreBounds(Strict):
    """How far a page may be from the night before; as `jobs.store.bounds.Bounds`."""

    changed: float = Field(default=0.75, ge=0, le=1)
    gone: float = Field(default=0.25, ge=0, le=1)
    reward: float = Field(default=2.0, ge=1)


class StoreSettings(Strict):
    """The key-value store: its address, how long a generation is valid and its bounds; the reader's clock."""

    url: str
    valid_nights: int = Field(gt=0)
    bounds: StoreBounds = StoreBounds()
    connection: str | None = Field(default=None, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")
    renewal_nights: int = Field(default=7, gt=0)
    grace_seconds: float = Field(default=60, ge=2)
    clock: Literal["now", "generation"] = "now"


class Airflow(Strict):
    """Where Airflow listens and until when the dated DAGs run."""

    port: int = 8080
    end_date: date | None = None
    parallelism: int = 4


class Alerts(Strict):
    """Who is told what went wrong, beside Airflow's log.

    webhook, slack : Airflow connections whose password is the address. email : addresses, by smtp_default.
    late_hours : a dated DAG that has not ended so long after it was due is late; None never is.
    """

    webhook: str | None = None
    slack: str | None = None
    email: list[str] = []
    late_hours: float | None = Field(default=None, gt=0)
    quiet_minutes: int = Field(default=60, ge=0)


class Maintenance(Strict):
    """How long what is not needed any more stays; the DAG `maintenance` goes by it, once a week.

    vacuum_hours : files that left a table: time travel, and DAG runs that are cleared, read them so long.
    lineage_days : a table's log, where a champion or a generation names the version that it was made from.
    small_files, small_mib : a partition of so many files below so many MiB becomes few.
    log_commits : a table's log is summed up after so many commits.
    The others are days that rows of `runs`, reports, logs, Airflow's runs and the files of models that were
    never promoted stay.
    """

    vacuum_hours: int = Field(default=168, ge=24)
    lineage_days: int = Field(default=800, ge=30)
    small_files: int = Field(default=16, ge=2)
    small_mib: int = Field(default=16, gt=0)
    log_commits: int = Field(default=20, gt=0)
    runs_days: int = Field(default=100, ge=60)
    reports_days: int = Field(default=400, ge=1)
    logs_days: int = Field(default=30, ge=1)
    airflow_days: int = Field(default=100, ge=30)
    artifacts_days: int = Field(default=100, ge=1)


class Prices(Strict):
    """What machines cost, for the page Cost: a processor's hour, a GiB for an hour, one kept for a month."""

    currency: str
    cpu_hour: float = Field(default=0.0, ge=0)
    memory_gib_hour: float = Field(default=0.0, ge=0)
    storage_gib_month: float = Field(default=0.0, ge=0)


class Limits(Strict):
    """What a log must have to be trusted; as `ml.ope.trust.Limits`."""

    effective_rows: float = Field(default=300.0, ge=0)
    effective_share: float = Field(default=0.01, ge=0, le=1)
    effective_clusters: float = Field(default=50.0, ge=0)
    largest_weight: float = Field(default=200.0, gt=0)
    weight_gap: float = Field(default=0.03, ge=0)
    unsupported: float = Field(default=0.01, ge=0, le=1)
    calibration: float = Field(default=1e-3, ge=0, le=1)
    disagreement: float = Field(default=0.05, ge=0)


MORE = ("revenue",)
"""Goals that are valued where `gate.goals` or a guardrail names them; each costs what the reward does."""


class Gate(Strict):
    """When a policy may go live; margins are in units of reward, alpha is over all candidates and nights."""

    margin: float = 0.0
    alpha: float = Field(default=0.05, gt=0, lt=1)
    planned_servings: int = Field(default=10_000, gt=0)
    fewest_subjects: int = Field(default=100, ge=2)
    fewest_rewarded: float = Field(default=30.0, ge=0)
    goals: tuple[Literal["revenue"], ...] = ()
    guardrails: dict[Literal["detail", "basket", "revenue"], float] = {}
    worthwhile: float = Field(default=0.05, ge=0)
    power: float = Field(default=0.8, gt=0, lt=1)
    refit_change: float = Field(default=0.25, ge=0)
    limits: Limits = Limits()

    @property
    def more(self) -> tuple[str, ...]:
        """Goals that are valued beside the reward, detail pages and baskets."""
        return tuple(goal for goal in MORE if goal in self.goals or goal in self.guardrails)


class Declaration(Strict):
    """A feature of a subject as of the end of a day: what it counts, over which days, how, where absent.

    `computed` ones are made by name in ml/features; all others follow from this declaration alone.
    """

    meaning: str
    of: Literal["visits", "lines", "sales"] | None = None
    window: int | None = Field(default=None, gt=0)
    how: Literal["sum", "per_visit", "any", "days_since_first", "days_since_last", "computed"] = "sum"
    absent: str = "never"

    @model_validator(mode="after")
    def _whole(self) -> "Declaration":
        if (self.of is None) != (self.how == "computed"):
            raise ValueError("a feature counts `of` something, or is `computed` by name")
        if self.how.startswith("days_since") and (self.of != "visits" or self.window is not None):
            raise ValueError("days are counted since the first or last of all visits: of: visits, no window")
        return self


class Feature(Strict):
    """A feature of a set: its name, meaning and frozen transform, (transform(value) - center) / scale."""

    name: str
    meaning: str = ""
    transform: Literal["identity", "log1p", "sqrt"] = "identity"
    center: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    missing: float = 0.0


class FeatureSet(Strict):
    """A named, versioned context: features in order, frozen transforms and scaling."""

    name: str
    page: str
    context: list[Feature]
    action: list[Feature]

    @property
    def width(self) -> int:
        """Numbers in one arm's x: the context and the action's own features."""
        return len(self.context) + len(self.action)


class SegmentFeature(Strict):
    """A feature of a segmentation, and the words for few and much of it, which names begin with."""

    name: str
    meaning: str = ""
    transform: Literal["auto", "identity", "log1p", "sqrt"] = "auto"
    low: str = ""
    high: str = ""
    missing: float | None = None

    @property
    def words(self) -> tuple[str, str]:
        """What a low and a high value is called."""
        return self.low or f"low {self.name}", self.high or f"high {self.name}"


class Segmentation(Strict):
    """What subjects are segmented by: features, and how many segments are tried."""

    name: str
    features: list[SegmentFeature] = Field(min_length=1)
    needs: list[str] = []
    proportions: bool = False
    k: int | str = "2-8"
    roles: list[str] = []

    @field_validator("k")
    @classmethod
    def _range(cls, k: int | str) -> int | str:
        segment_counts(k)
        return k

    @field_validator("features")
    @classmethod
    def _once(cls, features: list[SegmentFeature]) -> list[SegmentFeature]:
        names = [feature.name for feature in features]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the feature {twice[0]!r} is given twice")
        return features


def segment_counts(k: int | str) -> list[int]:
    """Read how many segments are tried: 4, or a range as 2-8.

    Raises
    ------
    ValueError
        When it is neither, or not within 2 to 20.

    """
    first, dash, last = str(k).partition("-")
    if not first.strip().isdigit() or (dash and not last.strip().isdigit()):
        raise ValueError(f"k = {k!r} is neither a number of segments nor a range of them, as 2-8")
    low, high = int(first), int(last) if dash else int(first)
    if not 2 <= low <= high <= MOST_SEGMENTS:
        raise ValueError(f"k = {k!r} cannot be: give 2 to {MOST_SEGMENTS}, the smaller number first")
    return list(range(low, high + 1))


class Config(Strict):
    """All of conf/. Fields are bound by name to the keyword-only arguments of a job's `build`."""

    business_time_zone: str
    subject_buckets: int = Field(gt=0)
    late_days: int = Field(ge=0)
    clock_skew_seconds: int = Field(ge=0)
    session_gap_minutes: int = Field(gt=0)
    seed: int
    ids: Ids
    consent: Consent
    reward: Reward
    engine: Engine
    store: StoreSettings
    airflow: Airflow
    prices: Prices | None = None
    alerts: Alerts = Alerts()
    maintenance: Maintenance = Maintenance()
    gate: Gate = Gate()
    sources: dict[str, Source]
    quiet_days: list[date] = []
    since: dict[str, date] = {}
    jobs: dict[str, dict[str, Any]] = {}
    labels: Labels = Labels()
    kinds: Kinds = Kinds()
    variants: VariantNames = VariantNames()
    flags: dict[str, FlagSpec] = {}
    pages: dict[str, Page]
    policies: dict[str, Policy]
    feature_declarations: dict[str, Declaration]
    feature_sets: dict[str, FeatureSet]
    segmentation_specs: dict[str, Segmentation] = {}
    model_specs: dict[str, ModelSpec] = {}
    _told: frozenset[str] = PrivateAttr(default=frozenset())

    @field_validator("business_time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError):
            raise ValueError(
                f"{name!r} is not a time zone; give one of the IANA names, as Europe/Paris"
            ) from None
        return name

    @cached_property
    def digest(self) -> str:
        """Hash of everything configured but where things run."""
        return _digest(self.model_dump(mode="json", exclude=WHERE_IT_RUNS))

    @property
    def reward_hours(self) -> int:
        """Hours after a serving in which anything may still count for it: the longest that conf/ lets it.

        An outcome comes within the trace's hours or the window's, what follows from it later still; and a
        position may be seen late.
        """
        window = max(self.session_gap_minutes * 60, self.reward.detail_seconds)
        trace = self.jobs.get("feedback", {}).get("trace_hours", 0)
        seen = self.jobs.get("decisions", {}).get("seen_hours", 0)
        return max(max(trace, math.ceil(window / 3600)) + self.reward.follow_hours, seen)

    @property
    def told(self) -> frozenset[str]:
        """Arguments that the command line gave in place of conf/."""
        return self._told

    def with_arguments(self, job: str, own: Mapping[str, Any], told: Collection[str]) -> "Config":
        """Return a copy whose `jobs.JOB` is `own`, of which the command line told some."""
        copy = self.model_copy(update={"jobs": {**self.jobs, job: dict(own)}})
        copy._told = self._told | frozenset(told)
        return copy

    def feeding(self, table: str) -> dict[str, Source]:
        """The sources that feed a table, by name."""
        return {name: source for name, source in sorted(self.sources.items()) if source.table == table}

    @property
    def specs(self) -> dict[str, Policy]:
        """The policies' specs, under a name that the table `policies` does not take."""
        return self.policies

    @property
    def demographics(self) -> dict[str, list[str]]:
        """Fields of `users` that are features, as `subject_features` has them: others read the same."""
        return dict(self.jobs.get("subject_features", {}).get("demographics") or {})

    @property
    def vector_version(self) -> str:
        """The version of product vectors that subjects' vectors are made of."""
        return str(self.jobs.get("product_vectors", {}).get("version", ""))

    @property
    def home(self) -> Path:
        """The data home: VITRINE_HOME, or var/ beside conf/."""
        return home()

    @property
    def lake(self) -> str:
        """Root folder of the lake."""
        return str(self.home / "lake")

    @property
    def tables(self) -> str:
        """Root folder of the Delta tables."""
        return str(self.home / "tables")

    @property
    def store_url(self) -> str:
        """Address of the store, with a relative path taken from the data home."""
        scheme, _, rest = self.store.url.partition(":")
        return f"{scheme}:{self.home / rest}" if scheme == "lmdb" else self.store.url

    @property
    def store_terms(self) -> Terms:
        """By which terms a remote store is written to."""
        return Terms(self.home / "store-work", self.store.renewal_nights, self.store.grace_seconds)


Model = TypeVar("Model", bound=BaseModel)
Declared = TypeVar("Declared", Page, Policy, Segmentation, ModelSpec)


def home() -> Path:
    """Return the data home: VITRINE_HOME, or var/ beside conf/."""
    return Path(os.environ.get("VITRINE_HOME") or ROOT / "var").absolute()


def engine_address(data_home: Path) -> Path:
    """Return the file with address and token of the engine that this machine's set-up started."""
    return data_home / "engine" / "remote"


def load(root: Path | None = None, overlays: str | None = None) -> Config:
    """Read conf/ and check it.

    Raises
    ------
    ConfigError
        One sentence that names file, key and what is wrong.

    """
    conf = root or ROOT / "conf"
    names = (os.environ.get("VITRINE_OVERLAY", "demo") if overlays is None else overlays).split(",")
    files = [conf / "base.yaml", *(conf / f"{name.strip()}.yaml" for name in names if name.strip())]
    layers = [(file, read_yaml(file)) for file in files]
    merged: dict[str, Any] = {}
    for _, layer in layers:
        merged = _merge(merged, layer)
    merged["labels"] = _checked(Labels, read_yaml(conf / "labels.yaml"), conf / "labels.yaml")
    merged["kinds"] = _checked(Kinds, read_yaml(conf / "kinds.yaml"), conf / "kinds.yaml")
    flags = conf / "flags.yaml"
    merged["flags"] = {
        name: _checked(FlagSpec, entry, flags, name) for name, entry in read_yaml(flags).items()
    }
    merged["pages"] = _declared(conf / "pages", Page, "page")
    merged["policies"] = _declared(conf / "policies", Policy, "name")
    for name, source in merged.get("sources", {}).items():
        if isinstance(source, dict):
            source.setdefault("table", name)
    merged["segmentation_specs"] = _declared(conf / "segmentations", Segmentation, "name")
    merged["model_specs"] = _declared(conf / "models", ModelSpec, "name")
    sets = read_yaml(conf / "features.yaml")
    merged["feature_declarations"] = {
        name: _checked(Declaration, entry, conf / "features.yaml", name)
        for name, entry in sets.get("features", {}).items()
    }
    merged["feature_sets"] = {
        name: _checked(FeatureSet, {"name": name, **entry}, conf / "features.yaml", name)
        for name, entry in sets.get("feature_sets", {}).items()
    }
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_sentence(error, layers)) from None
    _cross_check(config, conf)
    return config


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a key given twice, a tab or a missing file is a ConfigError that says where."""
    try:
        with path.open(encoding="utf-8") as file:
            content = yaml.load(file, _NoDuplicates)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{_short(path)} is missing.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{_short(path)}, line {line}: {error.problem}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{_short(path)} must hold keys and values, not a {type(content).__name__}.")
    return content


class _NoDuplicates(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _declared(folder: Path, model: type[Declared], key: str) -> dict[str, Declared]:
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        found[file.stem] = _checked(model, {key: file.stem, **read_yaml(file)}, file)
    return found


def _checked(model: type[Model], content: dict[str, Any], file: Path, *prefix: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_sentence(error, [(file, content)], prefix)) from None


def _sentence(
    error: ValidationError, layers: list[tuple[Path, dict[str, Any]]], prefix: tuple[str, ...] = ()
) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    file = next((file for file, layer in reversed(layers) if _holds(layer, path)), layers[0][0])
    key = ".".join([*prefix, *path])
    if first["type"] == "extra_forbidden":
        return f"{_short(file)}: {key} is not a known key; remove it or mend its spelling."
    if first["type"] == "missing":
        return f"{_short(file)}: {key} is missing; add it."
    message = first["msg"].removeprefix("Value error, ")
    if not path:
        return f"{_short(file)}: {key + ': ' if key else ''}{message}."
    return f"{_short(file)}: {key} = {first['input']!r} cannot be: {message[0].lower()}{message[1:]}."


def _check_hours(config: Config, conf: Path) -> None:
    """What follows from an outcome that names its decision must still lie within the neighbouring day."""
    trace = config.jobs.get("feedback", {}).get("trace_hours", 0)
    follow = config.reward.follow_hours
    if isinstance(trace, int) and trace + follow > SHORTEST_DAY_HOURS - 1:
        raise ConfigError(
            f"{_short(conf)}: jobs.feedback.trace_hours = {trace} and reward.follow_hours = {follow} are more"
            f" than {SHORTEST_DAY_HOURS - 1} hours together, and feedback reads a day's neighbours only:"
            " lower one of them."
        )


def _cross_check(config: Config, conf: Path) -> None:
    _check_names(config, conf)
    _check_hours(config, conf)
    tables = {file.stem for file in (conf / "contracts").glob("*.yaml")}
    _check_jobs(config, conf, tables)
    for name, source in config.sources.items():
        if source.table not in tables:
            raise ConfigError(
                f"{_short(conf)}: sources.{name}.table = {source.table!r} is none of conf/contracts."
            )
    for name, flag in config.flags.items():
        named = {segment.partition(":")[0] for rule in flag.rules for segment in rule.segments}
        if unknown := sorted(named - set(config.segmentation_specs)):
            raise ConfigError(
                f"{_short(conf)}/flags.yaml: {name}: {unknown[0]!r} is no segmentation of conf/segmentations:"
                " name a segment as 'SEGMENTATION: NAME'."
            )
    for page in config.pages.values():
        for mistake in (*page.mistakes(config.labels.theme), *config.variants.mistakes(page)):
            raise ConfigError(f"{_short(conf)}/pages/{page.page}.yaml: {mistake}.")
        if page.policy not in config.policies:
            known = ", ".join(sorted(config.policies))
            raise ConfigError(
                f"{_short(conf)}/pages/{page.page}.yaml: policy {page.policy!r} is none of conf/policies:"
                f" {known}."
            )
    for policy in config.policies.values():
        if policy.feature_set not in config.feature_sets:
            known = ", ".join(sorted(config.feature_sets))
            raise ConfigError(
                f"{_short(conf)}/policies/{policy.name}.yaml: feature_set {policy.feature_set!r} is none of"
                f" conf/features.yaml: {known}."
            )


def _check_jobs(config: Config, conf: Path, tables: set[str]) -> None:
    modules = {file.stem for folder in ("jobs", "dags") for file in (ROOT / folder).glob("*.py")}
    for key, named in (("jobs", config.jobs), ("since", config.since)):
        if unknown := sorted(set(named) - tables - modules):
            raise ConfigError(
                f"{_short(conf)}: {key}.{unknown[0]} is no table, job or DAG; mend its spelling."
            )


def _check_names(config: Config, conf: Path) -> None:
    """Every feature of a set is declared; where a name holds a page or widget, by its pattern."""
    patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(name)) for name in config.feature_declarations]
    own = set(config.jobs.get("subject_features", {}).get("demographics") or {})
    for declared in config.feature_sets.values():
        for feature in (*declared.context, *declared.action):
            name = feature.name.removeprefix("missing/")
            if name not in own and not any(re.fullmatch(pattern, name) for pattern in patterns):
                raise ConfigError(
                    f"{_short(conf)}/features.yaml: {declared.name}: {feature.name!r} is no declared feature;"
                    " mend its spelling, or declare it under features."
                )


def _holds(layer: Mapping[str, Any], path: list[str]) -> bool:
    here: Any = layer
    for part in path:
        if not isinstance(here, Mapping) or part not in here:
            return False
        here = here[part]
    return True


def _merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _digest(content: Any) -> str:
    return hashlib.blake2b(
        json.dumps(content, sort_keys=True, default=str).encode(), digest_size=8
    ).hexdigest()


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
