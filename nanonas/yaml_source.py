"""YAML as we take it: short, safe, without a key that stands twice, and with the place of everything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .errors import SpecError

MAX_BYTES = 1_000_000


class Loader(yaml.SafeLoader):
    """Safe, and a key that stands twice is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """Raises SpecError when there is no such file, or none that can be a spec."""
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


def parse(text: str, name: str) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The node tree, which knows places, and the content. Raises SpecError with line and column."""
    try:
        node = yaml.compose(text, Loader=Loader)
        content = yaml.load(text, Loader=Loader)  # a SafeLoader
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


def load_value(text: str) -> Any:
    """A value by itself; raises ValueError when it is not YAML."""
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def mark_of(node: yaml.Node | None, path: Sequence[str]) -> yaml.Mark | None:
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
