"""Writes run directories as search, train and eval leave them, without running anything."""

import json
from pathlib import Path
from typing import Any

import yaml

from nanonas.core.trial import Line
from nanonas.runs.directory import run_spec
from nanonas.spec.load import override_spec

CELL = "conv_1x1+none,none+conv_3x3,none,none"
GENOTYPES = [f"w{width}/x1:{CELL}/x1:{CELL}/x1r:{CELL}" for width in (16, 20, 24, 28, 32)]
EVOLUTION = {"name": "evo", "budget": {"trials": 3}}
DARTS = {
    "strategy": {"name": "darts"},
    "evaluator": {"name": "supernet"},
    "executor": {"lookahead": 1},
}
RANDOM = {"name": "random", "budget": {"trials": 3}, "strategy": {"name": "random"}}


def make_run(
    run: Path,
    test_accuracy: float | None = 0.9,
    *,
    spec: dict[str, Any] = EVOLUTION,
    seed: int = 0,
    train: tuple[str, ...] = (),
    genotype: str = GENOTYPES[1],
    fingerprint: str | None = None,
    cpu: str = "c",
    lines: list[Line] | None = None,
) -> Path:
    run.mkdir(parents=True)
    (run / "spec.yaml").write_text(yaml.safe_dump(spec | {"seed": seed}))
    machine = {"nanonas": "0.1.0", "commit": "abc", "torch": "2.9", "cpu": cpu, "cores": 2}
    write(run / "environment.json", machine | {"data": {"name": "digits", "fingerprint": fingerprint}})
    lines = [line(trial, 0.8 + 0.04 * trial, GENOTYPES[trial]) for trial in range(3)] if lines is None else lines
    best = {"trial": 2, "genotype": GENOTYPES[1], "metrics": {"val_accuracy": 0.88, "params": 5000, "macs": 90_000}}
    counts = {"trials": len(lines), "evaluated": len(lines), "cached": 0, "failed": 0}
    write(run / "search.json", {"best": best, "seconds": 60.5, **counts})
    (run / "trials.jsonl").write_text("".join(text.model_dump_json() + "\n" for text in lines))
    if test_accuracy is not None:
        trained = override_spec(run_spec(run), train).model_dump(mode="json")
        measured = {"test_accuracy": test_accuracy, "params": 5000, "macs": 90_000}
        write(
            run / "train.json",
            measured | {"genotype": genotype, "epochs": 3, "train_seconds": 12.0, "device": "cpu", "spec": trained},
        )
        latency = {"batch_1": {"median": 0.52, "p95": 0.7}, "batch_64": {"median": 9.0, "p95": 9.9}}
        write(run / "eval.json", measured | {"latency_ms": latency})
        looks = [{"command": command, "time": "2026-11-01T10:00:00+0000"} for command in ("train", "eval")]
        (run / "test_looks.jsonl").write_text("".join(json.dumps(look) + "\n" for look in looks))
    return run


def write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document))


def line(
    trial: int, accuracy: float | None, genotype: str = GENOTYPES[0], params: float = 5000.0, **changed: Any
) -> Line:
    metrics = {} if accuracy is None else {"val_accuracy": accuracy, "params": params}
    content = {
        "trial": trial, "genotype": genotype, "fidelity": {"epochs": 2}, "parent": None,
        "status": "ok" if metrics else "failed", "metrics": metrics, "error": None if metrics else "NaN loss",
        "seed": 1, "elapsed": trial + 1.0,
    }  # fmt: skip
    return Line(**content | changed)
