"""YAML as we take it: short, safe, without a key that stands twice, and with the place of everything.

A number with leading zeros is decimal, keys and dates are text: YAML 1.1 would read octal numbers, truths, dates.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import SpecError
from ..core.files import text_of

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # with each alias counted as all that it stands for
MAX_DIGITS = 100  # of an integer, in any notation
PADDED = re.compile(r"[-+]?0[0-9_]+")  # `seq -w` and dates have such numbers, which YAML 1.1 takes for octal, or text
NOTHING = ("", "~", "null")


class Loader(yaml.SafeLoader):
    """Safe, and a key that stands twice is an error instead of a silent loss."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """What a tag does not fit (`!!bool maybe`) makes PyYAML raise nearly anything."""
        try:
            return super().construct_object(node, deep)
        except (LookupError, AttributeError, ValueError):
            problem = f"{node.value!r} is no {node.tag.rpartition(':')[2]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
                seen.add(key.value)
                if key.tag != "tag:yaml.org,2002:merge":
                    key.tag = "tag:yaml.org,2002:str"  # `on: 1` has the key on, not true
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A longer one cannot be printed (0xffff…)."""
        if len(node.value) > MAX_DIGITS:
            problem = f"an integer of {len(node.value):,} characters"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if PADDED.fullmatch(node.value):
            return int(node.value.replace("_", ""))
        return super().construct_yaml_int(_decimal(node))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        return super().construct_yaml_float(_decimal(node))


def _decimal(node: yaml.ScalarNode) -> yaml.ScalarNode:
    """In YAML 1.1 `1:30` is 90, whatever it was meant to be."""
    if ":" in node.value:
        problem = f"{node.value[:20]} would be a number to the base 60; write it as a decimal, or in quotes as text"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return node


Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"(?:{PADDED.pattern})$"), list("-+0"))
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
Loader.add_constructor("tag:yaml.org,2002:float", Loader.construct_yaml_float)


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
        return text_of(data)
    except ValueError as error:
        raise SpecError(f"spec {path} is {error}; a spec is a YAML file (nanonas presets NAME prints one)") from None


def parse(text: str, name: str) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The node tree, which knows places, and the content. Raises SpecError with line and column."""
    try:
        node = yaml.compose(text, Loader=Loader)
        if _values(node, {}) > MAX_VALUES:
            raise SpecError(
                f"{name}: its aliases stand for more than {MAX_VALUES:,} values; a spec is a short YAML file"
            )
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


def _values(node: yaml.Node | None, counted: dict[int, int]) -> int:
    """How many there are under a node, itself included; what is merged or printed has that size, not the file's."""
    if id(node) not in counted:
        counted[id(node)] = 1  # of what contains itself
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = [part if isinstance(part, tuple) else (part,) for part in parts]
        counted[id(node)] += sum(_values(one, counted) for pair in pairs for one in pair)
    return counted[id(node)]


def load_node(text: str) -> yaml.Node | None:
    return yaml.compose(text, Loader=Loader)


def load_value(text: str) -> Any:
    """A value by itself; raises ValueError when it is not YAML.

    Text is all that was typed, unless it is quoted: no `#` begins a comment, no `&` a name.
    """
    try:
        node, value = load_node(text), yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(problem.partition("\n")[0]) from None
    typed = text.strip()
    if value is None:
        return None if typed.lower() in NOTHING else typed
    quoted = typed[0] in "\"'!" and node is not None and node.end_mark.index == len(text.rstrip())
    return typed if isinstance(value, str) and not quoted else value


def text_at(node: yaml.Node | None, path: Sequence[str]) -> str | None:
    """A scalar as it was typed; None where none stands, or nothing."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
        else:
            return None
    is_text = isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null"
    return str(node.value) if node is not None and is_text else None


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
