"""nanoNAS: neural architecture search in minutes on one machine.

from nanonas import load_spec, search, train, evaluate, export, predict, compare, load_model
spec = load_spec("digits-evo")
for trial in search(spec, "runs/mine"):
    print(trial.genotype, trial.metrics)
print(train("runs/mine")["test_accuracy"])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison.compare import compare
    from .engine.search import search
    from .finish.evaluate import evaluate
    from .finish.export import export
    from .finish.train import train
    from .models.classifier import load_model
    from .models.prediction import predict
    from .spec.load import load_spec

__all__ = ["compare", "evaluate", "export", "load_model", "load_spec", "predict", "search", "train"]

_HOMES = {
    "compare": "comparison.compare",
    "evaluate": "finish.evaluate",
    "export": "finish.export",
    "load_model": "models.classifier",
    "load_spec": "spec.load",
    "predict": "models.prediction",
    "search": "engine.search",
    "train": "finish.train",
}


def __getattr__(name: str) -> Any:  # importing nanonas stays cheap: each verb brings its own imports when it is used
    if name not in _HOMES:
        raise AttributeError(f"module 'nanonas' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
