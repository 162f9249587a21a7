import gc
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

if TYPE_CHECKING:
    from torch import nn

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch are imported: tests run side by side
os.fsync = lambda file: None  # what a test wrote need not outlive the machine, and a search waits for it at each trial

import fakes  # noqa: E402, F401  # registers itself

from nanonas.devices import timing  # noqa: E402

timing.MAX_RUNS = timing.MIN_RUNS  # a test is no benchmark, and 200 runs of a file took longer than its export


def pytest_collection_finish() -> None:
    """What torch and the tests made so far stays: looking through it again and again took a fifth of an export."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(autouse=True)
def _the_same_random_numbers_in_any_order() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _onnx_operators_are_listed_once() -> None:
    if "torch.onnx._internal.exporter._registration" in sys.modules:
        list_onnx_operators_once()


@cache
def list_onnx_operators_once() -> None:
    """torch makes its list of ONNX operators anew for every file, which takes as long as the export of a layer."""
    from torch.onnx._internal.exporter import _registration

    if hasattr(_registration, "ONNXRegistry"):
        registry = _registration.ONNXRegistry
        registry.from_torchlib = staticmethod(cache(registry.from_torchlib))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `external` run when they are asked for: pytest -m external, as .ci/run does."""
    if "external" in config.getoption("markexpr"):
        return
    reason = "external: needs Chromium, Node or a second environment, which .ci/run installs; pytest -m external"
    for item in items:
        if item.get_closest_marker("external"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache_of_the_session(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's own cache; data sets are decoded once a session."""
    monkeypatch.setenv("NANONAS_CACHE", str(session_cache))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Callable[..., Path]:
    """Name, function → a folder of this name that the function filled, for all workers of pytest together."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def made(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"), pytest.MonkeyPatch.context() as patch:
            patch.setenv("NANONAS_CACHE", str(session_cache))
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def trained_run(made_once: Callable[..., Path]) -> Path:
    """A run directory with a finished search and a trained winner on digits; tests that change it copy it first."""

    def fill(folder: Path) -> None:
        from nanonas import load_spec, search, train

        small = ["space.widths=[8]", "space.cells=[1]", "evaluator.epochs=1", "budget.trials=2", "train.epochs=2"]
        spec = load_spec("digits-evo", [*small, "executor.name=inline", "device=cpu", "seed=3"])
        assert len(list(search(spec, folder / "run"))) == 2
        train(folder / "run")

    return made_once("trained", fill) / "run"


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def exported_run(
    trained_run: Path, made_once: Callable[..., Path], session_cache: Path, pytestconfig: pytest.Config
) -> Path:
    """The trained run with all files that can be exported; those that need an extra among the external tests only."""
    from importlib.util import find_spec

    from nanonas import export
    from nanonas.exporters import EXPORTERS
    from nanonas.runs.exported import exported_files, remember

    def fill(folder: Path) -> None:
        list_onnx_operators_once()
        shutil.copytree(trained_run, folder / "run")
        extras = [name for name in EXPORTERS if EXPORTERS[name].extra]
        basic = [name for name in EXPORTERS if name not in extras]
        export(folder / "run", basic, int8=True, with_preprocessing=True, force=True)
        installed = [name for name in extras if find_spec(EXPORTERS[name].extra)]
        if installed and "external" in pytestconfig.option.markexpr:
            export(folder / "run", installed, int8=True, force=True)

    run = made_once("exported", fill) / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NANONAS_CACHE", str(session_cache))
        for file in exported_files(run):
            remember(file.sha256)  # also where another worker exported it
    return run


@pytest.fixture
def gelu_network() -> "nn.Module":
    """Untrained, for images of 3×16×16 and ten classes: GELU, and a batch norm that no convolution can take in."""
    from nanonas.core.task import Task
    from nanonas.spaces import SPACES

    space = SPACES["mobile"](SPACES["mobile"].Config.model_validate({"activation": "gelu"}))
    genotype = space.parse("w16/pool16:conv3e2x1s/stride32:residual3e2x1/keep48:inverted5e2x1")
    return space.build(genotype, Task(3, 16, 16, 10)).eval()
