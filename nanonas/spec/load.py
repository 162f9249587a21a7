"""load_spec: a spec from YAML and --set, before the first second of training; every mistake with its place."""

import re
from collections.abc import Collection, Sequence
from copy import copy
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..core.errors import SpecError, UnknownName
from ..core.registry import Registry, nearest
from ..data.dataset import DataConfig
from .schema import DEFAULTS, SECTIONS, Budget, Spec
from .text import load_node, load_value, mark_of, parse, read_text, text_at

TAKEN_AS_TEXT = ("string", "value_error", "union_tag")  # kinds of mistakes that pydantic finds in a text


def preset_names() -> list[str]:
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


def preset_folder() -> Path:
    from .. import presets

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
    node, content = parse(read_text(path), str(path))
    return _validated(content, overrides, node, str(path))


def override_spec(spec: Spec, overrides: Sequence[str]) -> Spec:
    """A spec with some keys changed, checked again."""
    return _validated(spec.model_dump(mode="json"), overrides, None, "spec")


def _validated(content: dict[str, Any], overrides: Sequence[str], node: yaml.Node | None, name: str) -> Spec:
    for number, override in enumerate(overrides):
        _override(content, override, {_key(earlier) for earlier in overrides[:number]})
    try:
        return _read(content, overrides, node)
    except ValidationError as error:
        raise SpecError("\n".join(_line(problem, node, name, overrides) for problem in error.errors())) from None


def _read(content: dict[str, Any], overrides: Sequence[str], node: yaml.Node | None) -> Spec:
    """Where text is wanted and YAML sees something else, such as a number, it is what was typed."""
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        wanted = [one for one in error.errors() if one["type"] == "string_type" and one["input"] is not None]
        paths = [_located(problem["loc"])[0] for problem in wanted]
        typed = [(path, text) for path in paths if (text := _typed(path, overrides, node)) is not None]
        if not typed:
            raise
    for path, text in typed:
        content = _with(content, path, text)
    return Spec.model_validate(content)


def _typed(path: Sequence[str], overrides: Sequence[str], node: yaml.Node | None) -> str | None:
    for override in reversed(overrides):
        key, _, text = override.partition("=")
        parts = key.strip().split(".")
        if path[: len(parts)] == parts:
            return text.strip() if path == parts else text_at(load_node(text), path[len(parts) :])
    return text_at(node, path)


def _with(content: Any, path: Sequence[str], value: Any) -> Any:
    """A copy in which another value stands at a path: an alias may have put the same section elsewhere, too."""
    if not path:
        return value
    key: Any = int(path[0]) if isinstance(content, list) else path[0]
    changed = copy(content)
    changed[key] = _with(content[key], path[1:], value)
    return changed


def override_data(data: DataConfig, overrides: Sequence[str]) -> DataConfig:
    """The data section with `data.key=value` overrides; another section is refused."""
    for override in overrides:
        if not override.strip().startswith("data."):
            raise SpecError(f"--set {override!r}: only data.… can be set here, e.g. --set data.root=path/to/images")
    spec = Spec(name="data", data=data, budget=Budget(trials=1))
    return override_spec(spec, overrides).data


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _override(content: dict[str, Any], override: str, earlier: Collection[str]) -> None:
    """Another component drops the keys of the one before; what all of its kind have stays, and what `earlier` set."""
    _, equals, text = override.partition("=")
    parts = _key(override).split(".")
    if not equals or not all(parts):
        raise SpecError(f"--set {override!r} is not KEY=VALUE; for example --set strategy.population_size=12")
    try:
        value = load_value(text)
    except ValueError:  # a path may be anything; where no text is wanted, `_line` says what is wrong
        value = text.strip()
    for part in parts[:-1]:
        inner = content.get(part, {})
        if not isinstance(inner, dict):
            raise SpecError(f"--set {override!r}: {part} is not a section of the spec")
        content[part] = content = dict(inner)  # an alias may have put the same one elsewhere, too
    if parts[-1] == "name" and parts[0] in DEFAULTS and content.get("name", DEFAULTS[parts[0]]) != value:
        shared = getattr(Spec.model_fields[parts[0]].annotation, "model_fields", {})
        section = "".join(f"{part}." for part in parts[:-1])
        given = {key.removeprefix(section).split(".")[0] for key in earlier if key.startswith(section)}
        for other in content.keys() - shared.keys() - given:
            del content[other]
    content[parts[-1]] = value


def _line(problem: ErrorDetails, node: yaml.Node | None, name: str, overrides: Sequence[str]) -> str:
    """`my.yaml:5:3: strategy.mutaton: unknown key; did you mean 'mutations'?`"""
    path, allowed = _located(problem["loc"])
    kind = problem["type"]
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    if kind == "extra_forbidden":
        message = f"unknown key; {nearest(path[-1], allowed)}"
    elif kind == "union_tag_invalid":
        names = re.findall("'([^']*)'", problem["ctx"]["expected_tags"])
        message = f"unknown {path[-1]} {problem['ctx']['tag']!r}; {nearest(problem['ctx']['tag'], names)}"
        path.append("name")
    elif kind == "missing":
        message = "is missing"
    elif not path:
        place, _, message = message.partition(": ")
        path = place.split(".")
    elif isinstance(given, str | int | float | None) and kind != "value_error":
        message = f"{message}, not {given!r:.100}"
    dotted = ".".join(path)
    override = next((one for one in reversed(overrides) if f"{dotted}.".startswith(f"{_key(one)}.")), None)
    if override is not None:
        where = "--set "
        if (unread := _no_yaml(override)) and not kind.startswith(TAKEN_AS_TEXT):
            return unread
    else:
        mark = mark_of(node, path)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}: " if mark else f"{name}: "
    return " ".join(f"{where}{dotted}: {message}".splitlines())  # a key may hold anything


def _no_yaml(override: str) -> str:
    """What is wrong with a value as YAML; nothing when it is some."""
    try:
        load_value(override.partition("=")[2])
    except ValueError as error:
        return f"--set {override!r}: the value is not YAML ({error}); quote it, e.g. --set 'name=\"a: b\"'"
    return ""


def _located(loc: Sequence[int | str]) -> tuple[list[str], list[str]]:
    """The keys that lead to a mistake in the file, where pydantic names the chosen components too; and the keys that
    are allowed beside the last one."""
    path: list[str] = []
    allowed: list[str] = []
    model: Any = Spec
    for part in map(str, loc):
        chosen = _component(model, part)
        if chosen is not None:
            model = chosen
            continue
        path.append(part)
        fields = getattr(model, "model_fields", {})
        allowed = list(fields)
        if model is Spec and part in SECTIONS:
            model = SECTIONS[part]
        else:
            model = fields[part].annotation if part in fields else None
    return path, allowed


def _component(model: Any, name: str) -> Any:
    """The Config that a name chooses, where a section is one of several components."""
    if isinstance(model, Registry):
        return model[name].Config if name in model else None
    options = [option for option in get_args(model) if hasattr(option, "model_fields")]
    return next((option for option in options if option.model_fields["name"].default == name), None)
