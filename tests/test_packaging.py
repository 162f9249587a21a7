"""The shape of the project: what is packaged, who imports whom, how large the core is."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from source import ROOT, lines_of_code

# top to bottom; a module imports from above itself only
LAYERS = [
    ["errors"],
    ["registry", "config", "genotype", "environment", "recipe", "output", "yaml_source"],
    [
        "space",
        "trial",
        "graph",
        "program",
        "dataset_cache",
        "image_file",
        "image_folder",
        "torchvision_sets",
        "statistics",
        "ranking",
    ],
    ["layers", "pareto", "data"],
    ["operations"],
    ["cell", "chain", "diagram", "problem", "proxies", "failures"],
    [
        "spaces",
        "strategies",
        "evaluators",
        "exporters",
        "network",
        "optimizers",
        "cuda_graph",
        "images",
        "training",
        "profile",
        "runtime",
    ],
    ["executors"],
    ["spec"],
    ["run_directory", "journal"],
    ["results", "run_record", "latency"],
    ["engine", "curves", "conformance", "verdict", "classifier", "exported"],
    ["comparison"],
    ["planning", "winner", "inference", "model_card", "html", "supernet"],
    ["evaluation", "exporting", "report", "completion"],
    ["cli"],
]
TORCH_FREE = [
    "cli",
    "spec",
    "engine",
    "run_directory",
    "results",
    "planning",
    "latency",
    "data",
    "comparison",
    "html",
    "report",
    "operations",
    "program",
    "spaces",
    "strategies",
    "evaluators",
    "executors",
    "exporters",
    "problem",
    "completion",
]


def modules() -> list[Path]:
    return [path for path in (ROOT / "nanonas").rglob("*.py") if path.name not in ("__main__.py",)]


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "nanonas").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The parts of nanonas that a module imports when it is imported itself."""
    found = set()
    depth = len(path.relative_to(ROOT / "nanonas").parts)
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return found


def test_packages_are_those_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in (ROOT / "nanonas").rglob("__init__.py")}
    assert listed == found | {"nanonas.commands", "nanonas.presets"}


def test_every_module_has_its_layer() -> None:
    assert {part_of(path) for path in modules()} - {"__init__"} == {name for layer in LAYERS for name in layer}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_imports_point_upwards(path: Path) -> None:
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    part = part_of(path)
    if part == "__init__":
        return
    for other in imports(path) - {part}:
        assert rank[other] <= rank[part], f"{part} imports {other}"


def test_what_needs_no_torch_imports_none() -> None:
    lines = ";".join(f"import nanonas.{name}" for name in TORCH_FREE)
    script = f"import sys; {lines}; print([m for m in ('torch', 'sklearn', 'scipy', 'onnx') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_the_core_stays_near_400_lines() -> None:
    core = ["registry", "genotype", "space", "journal", "engine", "strategies/random", "strategies/evolution"]
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


def test_a_registry_refuses_duplicates_and_unknown_names() -> None:
    from nanonas.core.errors import UnknownName
    from nanonas.core.registry import Registry

    registry: Registry[int] = Registry("thing")
    registry.add("first", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.add("first", 2)
    with pytest.raises(UnknownName, match=r"unknown thing 'frist'; did you mean 'first'\?"):
        registry["frist"]
    assert list(registry) == ["first"]
