"""What a search found: its best, its front, search.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .journal import Journal
from .pareto import front, scores
from .run_directory import document, read_json
from .space import SearchSpace
from .spec import Spec
from .trial import Fidelity, Trial, trial_of


def best_trial(trials: Sequence[Trial], spec: Spec) -> Trial | None:
    """The best by the first objective, of those at the highest fidelity that was reached; the earliest of equals."""
    done = _at_highest_fidelity(trials)
    return max(done, key=lambda trial: (scores(trial.metrics, spec.objectives), -trial.trial), default=None)


def _at_highest_fidelity(trials: Sequence[Trial]) -> list[Trial]:
    highest = max((_cost(trial.fidelity) for trial in trials if trial.ok), default=0.0)
    return [trial for trial in trials if trial.ok and _cost(trial.fidelity) == highest]


def _cost(fidelity: Fidelity) -> float:
    cost = 1.0
    for value in fidelity.values():
        cost *= value
    return cost


def read_trials(run: Path, space: SearchSpace) -> list[Trial]:
    """The trials of a run directory, without running anything."""
    return [trial_of(line, space.parse(line.genotype)) for line in Journal(run / "trials.jsonl").lines]


def summary(run: Path, spec: Spec, trials: Sequence[Trial], cached: int) -> dict[str, Any]:
    """The content of search.json."""
    best = best_trial(trials, spec)
    failed = sum(not trial.ok for trial in trials)
    return document(
        "search",
        run,
        name=spec.name,
        seed=spec.seed,
        spec=spec.model_dump(mode="json"),
        best=_entry(best) if best else None,
        front=[_entry(trial) for trial in front(_at_highest_fidelity(trials), spec.objectives)],
        trials=len(trials),
        evaluated=len(trials) - failed,
        cached=cached,
        failed=failed,
        seconds=trials[-1].elapsed if trials else 0.0,
        random=_random_sample(trials, spec),
        environment=read_json(run / "environment.json"),
    )


def _entry(trial: Trial) -> dict[str, Any]:
    return {"trial": trial.trial, "genotype": str(trial.genotype), "metrics": dict(trial.metrics)}


def _random_sample(trials: Sequence[Trial], spec: Spec) -> Mapping[str, Any]:
    """What random sampling reached inside this search: its trials without a parent. Not an equal-budget arm."""
    metric, way = next(iter(spec.objectives.items()))
    drawn = [trial.metrics[metric] for trial in trials if trial.ok and trial.parent is None]
    if not drawn:
        return {"n": 0, "equal_budget": False}
    return {
        "n": len(drawn),
        "equal_budget": len(drawn) == sum(trial.ok for trial in trials),
        "metric": metric,
        "mean": sum(drawn) / len(drawn),
        "best": max(drawn) if way == "maximize" else min(drawn),
    }
