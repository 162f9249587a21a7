"""Spec: a search as YAML, checked as a whole before the first second of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, GetCoreSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from .config import ComponentConfig, Config
from .data import DataConfig
from .errors import SpecError, UnknownName
from .evaluators import EVALUATORS
from .executors import EXECUTORS, ExecutorConfig
from .recipe import Recipe
from .registry import Registry, nearest
from .spaces import SPACES
from .strategies import STRATEGIES

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Section:
    """Validates a section of the spec by the Config of the component that its `name` chooses."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        configs = {name: handler.generate_schema(self.registry[name].Config) for name in self.registry}
        return core_schema.tagged_union_schema(configs, discriminator="name")


DEFAULTS = {"space": "nano", "strategy": "evolution", "evaluator": "training", "executor": "processes"}
SECTIONS: dict[str, Registry[Any]] = {
    "space": SPACES,
    "strategy": STRATEGIES,
    "evaluator": EVALUATORS,
    "executor": EXECUTORS,
}


class Budget(Config):
    """Whichever ends first; trials are lines of the journal, minutes are summed over restarts."""

    trials: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _finite(self) -> Self:
        if self.trials is None and self.minutes is None:
            raise ValueError("needs trials, minutes or both")
        return self


class TrainConfig(Recipe):
    """The last training, from scratch on train + validation; with `minutes`, epochs are fitted to them."""

    minutes: Annotated[float, Field(gt=0)] | None = None


class Spec(Config):
    """A whole run. `nanonas presets NAME` prints examples, `nanonas presets --schema` the JSON Schema."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    data: DataConfig = DataConfig()
    space: Annotated[ComponentConfig, Section(SPACES)] = Field(default={}, validate_default=True)
    strategy: Annotated[ComponentConfig, Section(STRATEGIES)] = Field(default={}, validate_default=True)
    evaluator: Annotated[ComponentConfig, Section(EVALUATORS)] = Field(default={}, validate_default=True)
    objectives: Annotated[dict[str, Literal["maximize", "minimize"]], Field(min_length=1)] = {
        "val_accuracy": "maximize"
    }
    constraints: dict[str, Annotated[float, Field(gt=0)]] = {}
    budget: Budget
    executor: Annotated[ExecutorConfig, Section(EXECUTORS)] = Field(default={}, validate_default=True)
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _default_components(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        sections = {key: content.get(key, {}) for key in DEFAULTS}
        named = {k: {"name": DEFAULTS[k], **v} if isinstance(v, dict) else v for k, v in sections.items()}
        return {**content, **named}

    @model_validator(mode="after")
    def _names(self) -> Self:
        for name in self.objectives:
            allowed = EVALUATORS[self.evaluator.name].metrics
            if name not in allowed:
                raise ValueError(f"objectives: unknown metric {name!r}; {nearest(name, allowed)}")
        for name in self.constraints:
            allowed = SPACES[self.space.name].measures
            if name not in allowed:
                raise ValueError(f"constraints: unknown measure {name!r}; {nearest(name, allowed)}")
        return self

    def text(self) -> str:
        """The whole spec as YAML; `load_spec` of it gives an equal spec."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def preset_names() -> list[str]:
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


def preset_folder() -> Path:
    from . import presets

    return Path(next(iter(presets.__path__)))


def preset_path(name: str) -> Path:
    """Raises UnknownName, with the nearest name."""
    if name not in preset_names():
        raise UnknownName(f"unknown preset {name[:100]!r}; {nearest(name, preset_names())} (nanonas presets lists all)")
    return preset_folder() / f"{name}.yaml"


def load_spec(source: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """The spec of a YAML file, or of a preset when a text names one; overrides `key.key=value` go on top.

    The value of an override is YAML.

    Raises:
        SpecError: one line for every field that is wrong, with file, line and column.
    """
    path = Path(source)
    if isinstance(source, str) and (source in preset_names() or not (path.suffix or path.exists())):
        path = preset_path(source)
    text = _read(path)
    node, content = _parse(text, str(path))
    for override in overrides:
        _override(content, override)
    try:
        spec = Spec.model_validate(content)
    except ValidationError as error:
        raise SpecError("\n".join(_line(problem, node, str(path), overrides) for problem in error.errors())) from None
    return spec


def override_spec(spec: Spec, overrides: Sequence[str]) -> Spec:
    """A spec with some keys changed, checked again."""
    content = spec.model_dump(mode="json")
    for override in overrides:
        _override(content, override)
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        raise SpecError("\n".join(_line(problem, None, "spec", overrides) for problem in error.errors())) from None


def override_data(data: DataConfig, overrides: Sequence[str]) -> DataConfig:
    """The data section with `data.key=value` overrides; another section is refused."""
    for override in overrides:
        if not override.strip().startswith("data."):
            raise SpecError(f"--set {override!r}: only data.… can be set here, e.g. --set data.root=path/to/images")
    spec = Spec(name="data", data=data, budget=Budget(trials=1))
    return override_spec(spec, overrides).data


def differences(old: Spec, new: Spec) -> list[str]:
    """What forbids to go on with `old` as `new`, as `key: old, new`; budget and executor may change, lookahead not."""
    before, after = flat(old.model_dump(mode="json")), flat(new.model_dump(mode="json"))
    before["objectives"], after["objectives"] = list(old.objectives), list(new.objectives)  # their order counts
    return [
        f"{key}: {before.get(key)!r} there, {after.get(key)!r} here"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
        and (key == "executor.lookahead" or key.split(".")[0] not in ("budget", "executor"))
    ]


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys."""
    leaves: dict[str, Any] = {}
    for key, value in content.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return leaves


class _Loader(yaml.SafeLoader):
    """Safe, and a key that stands twice is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(f"spec {path} does not exist; start from one: nanonas presets cifar10-evo > {path}") from None
    except OSError as error:
        raise SpecError(f"spec {path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SpecError(f"spec {path} is larger than {MAX_BYTES:,} bytes; a spec is a short YAML file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(
            f"spec {path} is not text in UTF-8; a spec is a YAML file (nanonas presets NAME prints one)"
        ) from None


def _parse(text: str, name: str) -> tuple[yaml.Node | None, dict[str, Any]]:
    try:
        node = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SpecError(f"{name}{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{name}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        kind = "empty" if content is None else f"a {type(content).__name__}"
        raise SpecError(f"{name}: is {kind}, not a mapping; nanonas presets cifar10-evo prints a spec")
    return node, content


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SpecError(f"--set {override!r} is not KEY=VALUE; for example --set strategy.population_size=12")
    try:
        value = yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SpecError(f"--set {override!r}: the value is not YAML; quote it, e.g. --set 'name=\"a: b\"'") from None
    for part in parts[:-1]:
        content = content.setdefault(part, {})
        if not isinstance(content, dict):
            raise SpecError(f"--set {override!r}: {part} is not a section of the spec")
    if (
        parts[-1] == "name"
        and parts[0] in ("space", "strategy", "evaluator")
        and content.get("name", DEFAULTS[parts[0]]) != value
    ):
        content.clear()  # the other keys were those of another component
    content[parts[-1]] = value


def _line(problem: ErrorDetails, node: yaml.Node | None, name: str, overrides: Sequence[str]) -> str:
    """`my.yaml:5:3: strategy.mutaton: unknown key; did you mean 'mutations'?`"""
    path = [str(part) for part in problem["loc"]]
    kind = problem["type"]
    if len(path) > 1 and path[0] in SECTIONS and path[1] in SECTIONS[path[0]]:
        del path[1]  # pydantic names the chosen component; the file does not
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    if kind == "extra_forbidden":
        message = f"unknown key; {nearest(path[-1], _allowed_keys(problem['loc']))}"
    elif kind == "union_tag_invalid":
        message = f"unknown {path[0]} {problem['ctx']['tag']!r}; {nearest(problem['ctx']['tag'], SECTIONS[path[0]])}"
        path.append("name")
    elif kind == "missing":
        message = "is missing"
    elif isinstance(given, str | int | float | None) and kind != "value_error":
        message = f"{message}, not {given!r:.100}"
    dotted = ".".join(path)
    if any(override.partition("=")[0].strip() == dotted for override in overrides):
        return f"--set {dotted}: {message}"
    mark = _mark(node, path)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    return f"{where}: {dotted}: {message}" if dotted else f"{where}: {message}"


def _allowed_keys(loc: Sequence[int | str]) -> list[str]:
    model: Any = Spec
    for part in loc[:-1]:
        section = str(part)
        if model is Spec and section in SECTIONS:
            model = SECTIONS[section]
        elif isinstance(model, Registry):
            model = model[section].Config
        else:
            model = model.model_fields[section].annotation
    return list(model.model_fields)


def _mark(node: yaml.Node | None, path: Sequence[str]) -> yaml.Mark | None:
    """Where a key stands in the file; the section it should stand in, when it is missing."""
    mark = node.start_mark if node else None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
            if found is None:
                return mark
            mark, node = found[0].start_mark, found[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            mark = node.start_mark
    return mark
