"""Small searches that several tests make, and what of their trials no clock measured."""

import json
from pathlib import Path
from typing import Any

from nanonas.core.trial import Trial
from nanonas.spec.schema import Spec

SMALL: dict[str, dict[str, Any]] = {
    "evolution": {"population_size": 6, "sample_size": 3, "crossover_probability": 0.5},
    "nsga2": {"population_size": 6},
    "predictor": {"candidates": 8},
    "zero_cost": {"candidates": 8, "keep": 3, "proxies": ["params", "macs"]},
    "largest": {"candidates": 4, "sampler": {"name": "evolution", "population_size": 6, "sample_size": 3}},
}
TRIALS = 40


def make_spec(strategy: str, **changes: Any) -> Spec:
    content: dict[str, Any] = {
        "name": "contract",
        "strategy": {"name": strategy, **SMALL.get(strategy, {})},
        "evaluator": {"name": "fake"},
        "executor": {"name": "inline", "lookahead": 4},
        "budget": {"trials": TRIALS},
    }
    return Spec.model_validate(content | changes)


def outcomes(trials: list[Trial]) -> list[tuple[Any, ...]]:
    return [(t.trial, t.genotype, t.fidelity, t.parent, t.status, t.metrics, t.error, t.seed) for t in trials]


SETS = [
    "space.widths=[8]",
    "space.cells=[1]",
    "evaluator.epochs=1",
    "strategy.population_size=4",
    "strategy.sample_size=2",
    "budget.trials=8",
    "executor.lookahead=4",
    "executor.workers=2",
    "device=cpu",
]


def lines(run: Path) -> list[dict[str, Any]]:
    """Trials without what a clock measured."""
    found = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    for line in found:
        line.pop("elapsed")
        line["metrics"].pop("train_seconds", None)
    return found
