"""The shape of the project: its rooms, who imports whom, what is packaged, how large the core is."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest
from source import ROOT, lines_of_code

# each imports from those before it only
ROOMS = [
    "core",
    "networks",
    "spaces",
    "devices",
    "data",
    "training",
    "exporters",
    "evaluators",
    "strategies",
    "executors",
    "spec",
    "runs",
    "models",
    "engine",
    "pages",
    "finish",
    "comparison",
    "cli",
    "commands",
    "app",
]
TORCH = {
    "nanonas.networks.modules",
    "nanonas.networks.network",
    "nanonas.networks.weights",
    "nanonas.data.images",
    "nanonas.devices.compute",
}
TORCH_ROOMS = {"training", "models", "finish"}
TORCHLESS = {  # in these rooms
    "nanonas.training.recipe",
    "nanonas.models.exported",
    "nanonas.models.inference",
    "nanonas.models.prediction",
}
IMPORTED_AS = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}


@cache
def modules() -> tuple[Path, ...]:
    folders = (ROOT / "nanonas").rglob("*.py"), (ROOT / "commands").glob("*.py")
    return tuple(path for folder in folders for path in folder if path.name != "__main__.py")


def dotted(path: Path) -> str:
    """As it is imported: `nanonas.core.trial`, `nanonas.commands.search`, `nanonas.spaces`."""
    parts = path.relative_to(ROOT / "nanonas" if path.is_relative_to(ROOT / "nanonas") else ROOT).with_suffix("").parts
    return ".".join(["nanonas", *parts]).removesuffix(".__init__")


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules of nanonas that a module names in any import: in functions and under TYPE_CHECKING, too."""
    return frozenset(_imports(path, {dotted(module) for module in modules()} | {"nanonas.presets"}))


def _imports(path: Path, known: set[str]) -> Iterator[str]:
    package = dotted(path).split(".")[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module.split(".")[0] == "nanonas":
                names = {f"{module}.{alias.name}" for alias in node.names}
                yield from (name if name in known else module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("nanonas"))


def room(module: str) -> str:
    return module.split(".")[1]


def arrows() -> dict[str, set[str]]:
    """Room → the rooms that it imports from."""
    found: dict[str, set[str]] = {name: set() for name in ROOMS}
    for path in modules():
        if dotted(path) != "nanonas":
            here = room(dotted(path))
            found[here] |= {room(other) for other in imports(path) if other.count(".")} - {here, "presets"}
    return found


def test_the_rooms_are_the_folders() -> None:
    places = {path.name.removesuffix(".py") for path in (ROOT / "nanonas").iterdir()} - {"__pycache__", "py.typed"}
    assert places - {"__init__", "__main__"} == {*ROOMS} - {"commands"}
    assert len([path for path in (ROOT / "nanonas").glob("*.py") if not path.name.startswith("__")]) <= 2


def test_every_room_says_what_lives_there() -> None:
    for name in {*ROOMS} - {"app"}:
        folder = ROOT / "commands" if name == "commands" else ROOT / "nanonas" / name
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert said, name


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_from_those_before_it_only(name: str) -> None:
    assert arrows()[name] <= {*ROOMS[: ROOMS.index(name)]}


def test_no_modules_import_one_another_in_a_circle() -> None:
    known = {dotted(path): path for path in modules()}
    graph = {name: {other for other in imports(path) if other != name} for name, path in known.items()}
    del graph["nanonas"]  # the API, lazy: it is above all
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_drawing_is_that_of_the_imports() -> None:
    """Of the arrows only those are drawn that no way over other rooms stands for."""
    said = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (drawing,) = re.findall(r"^```mermaid\n(.*?)^```$", said, re.DOTALL | re.MULTILINE)
    drawn = {
        (source, target)
        for line in drawing.splitlines()
        for left, right in pairwise(line.strip().split(" --> "))
        for source in left.split(" & ")
        for target in right.split(" & ")
    }
    found, reached = arrows(), dict[str, set[str]]()
    for name in ROOMS:  # from the lowest up
        reached[name] = found[name] | {far for near in found[name] for far in reached[near]}
    direct = {(a, b) for a in ROOMS for b in found[a] if not any(b in reached[other] for other in found[a])}
    assert drawn == direct, "ARCHITECTURE.md: its drawing is not that of the imports"


def test_the_table_of_rooms_is_in_their_order() -> None:
    said = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(?:nanonas/)?(\w+?)(?:/|\.py)` \|", said, re.MULTILINE) == ROOMS


def test_only_one_room_opens_test_data() -> None:
    opened = {
        dotted(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "test"
    }
    assert opened and {room(module) for module in opened} == {"finish"}


def test_every_base_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[^\w-]", text)[0] for text in project["dependencies"]}
    used = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                used.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.onnx.export":
                used.add("onnxscript")  # torch imports it there
    assert {IMPORTED_AS.get(name, name) for name in wanted} <= used


def test_packages_are_those_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in (ROOT / "nanonas").rglob("__init__.py")}
    assert listed == found | {"nanonas.commands", "nanonas.presets"}


def test_what_needs_no_torch_imports_none() -> None:
    names = [dotted(path) for path in modules()]
    torch = {n for n in names if n in TORCH or (n.count(".") > 1 and room(n) in TORCH_ROOMS)} - TORCHLESS
    lines = ";".join(f"import {name}" for name in names if name not in torch)
    script = f"import sys; {lines}; print([m for m in ('torch', 'sklearn', 'scipy', 'onnx') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_the_core_stays_near_400_lines() -> None:
    """What a student reads first: the vocabulary, the loop and its record, and two strategies."""
    core = ["core/registry", "core/genotype", "core/space", "runs/journal", "engine/search"]
    core += ["strategies/random", "strategies/evolution"]
    assert sum(lines_of_code(ROOT / "nanonas" / f"{name}.py") for name in core) <= 450


def test_python_users_get_seven_names() -> None:
    import nanonas

    for name in nanonas.__all__:
        assert callable(getattr(nanonas, name))
    with pytest.raises(AttributeError):
        nanonas.nothing  # noqa: B018


def test_nothing_reads_pickles_or_runs_code_from_data() -> None:
    forbidden = {"torch.load", "eval", "exec", "pickle.load", "pickle.loads", "yaml.unsafe_load", "yaml.full_load"}
    for path in [*modules(), *(ROOT / "commands").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in forbidden, (path, name)
                if name in ("yaml.load", "yaml.compose"):
                    assert "Loader=Loader" in ast.unparse(node), path  # a SafeLoader
                assert "allow_pickle=True" not in ast.unparse(node), path
