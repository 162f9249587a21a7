"""What a search found: its best, its front, search.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..core.errors import NewerVersion, RunError
from ..core.files import document, read_json
from ..core.pareto import front, scores
from ..core.problem import LATENCY, Problem
from ..core.ranking import aggregate, kendall
from ..core.space import SearchSpace
from ..core.trial import Trial, at_highest_fidelity, trial_of
from ..devices.latency import Latency
from ..evaluators import Evaluator
from ..runs.journal import Journal
from ..spec.schema import Spec
from ..strategies import STRATEGIES


def best_trial(trials: Sequence[Trial], spec: Spec) -> Trial | None:
    """The best by the first objective, of those at the highest fidelity that was reached; the earliest of equals."""
    done = at_highest_fidelity(trials, spec.objectives)
    return max(done, key=lambda trial: (scores(trial.metrics, spec.objectives), -trial.trial), default=None)


def front_of(trials: Sequence[Trial], spec: Spec) -> list[Trial]:
    """Those at the highest fidelity that no other dominates, the best by the first objective first."""
    return front(at_highest_fidelity(trials, spec.objectives), spec.objectives)


def read_trials(run: Path, space: SearchSpace) -> list[Trial]:
    """The trials of a run directory, without running anything."""
    return [trial_of(line, space.parse(line.genotype)) for line in Journal(run / "trials.jsonl").lines]


def summary(
    run: Path,
    spec: Spec,
    trials: Sequence[Trial],
    cached: int,
    ended: str,
    problem: Problem,
    evaluator: Evaluator,
    latency: Latency,
) -> dict[str, Any]:
    """The content of search.json.

    Args:
        ended: by what: trials, minutes, failures or space.
        evaluator: adds its report to the best, for readers.
        latency: measures the best and the front, for readers too, where the search looked at predictions.
    """

    def timed(trial: Trial) -> Mapping[str, float]:
        if LATENCY not in {**spec.objectives, **spec.constraints}:
            return {}
        return {f"measured_{LATENCY}": latency.measured(problem.program(trial.genotype))}

    best = best_trial(trials, spec)
    failed = sum(not trial.ok for trial in trials)
    return document(
        "search",
        run,
        name=spec.name,
        seed=spec.seed,
        spec=spec.model_dump(mode="json"),
        best=_entry(best, {**evaluator.report(best.genotype), **timed(best)}) if best else None,
        front=[_entry(trial, timed(trial)) for trial in front_of(trials, spec)],
        trials=len(trials),
        evaluated=len(trials) - failed,
        cached=cached,
        failed=failed,
        ended=ended,
        seconds=trials[-1].elapsed if trials else 0.0,
        random=_random_sample(trials, spec),
        **_proxies(trials, spec, problem.space),
        task=asdict(problem.task),
        environment=read_json(run / "environment.json"),
    )


def is_finished(run: Path, spec: Spec, trials: int) -> bool:
    """Whether search.json tells of a search that ended after so many trials because these minutes were over."""
    try:
        found = read_json(run / "search.json")
    except NewerVersion:
        raise
    except RunError:
        return False
    told = found.get("spec")
    budget = told.get("budget") if isinstance(told, dict) else None
    same = found.get("trials") == trials and budget == spec.budget.model_dump(mode="json")
    return same and found.get("ended") == "minutes"


def _entry(trial: Trial, report: Mapping[str, float]) -> dict[str, Any]:
    entry = {"trial": trial.trial, "genotype": str(trial.genotype), "metrics": dict(trial.metrics)}
    return entry | ({"report": dict(report)} if report else {})


def _random_sample(trials: Sequence[Trial], spec: Spec) -> Mapping[str, Any]:
    """What random sampling reached inside this search: its trials without a parent. Not an equal-budget arm."""
    strategy = STRATEGIES[spec.strategy.name]
    sampled = strategy.starts_at_random and not strategy.one_shot  # whose scores are no architecture's
    metric, way = next(iter(spec.objectives.items()))
    scored = at_highest_fidelity(trials, spec.objectives)
    drawn = [trial.metrics[metric] for trial in scored if sampled and trial.parent is None]
    if not drawn:
        return {"n": 0, "equal_budget": False}
    return {
        "n": len(drawn),
        "equal_budget": len(drawn) == sum(trial.ok for trial in trials),
        "metric": metric,
        "mean": sum(drawn) / len(drawn),
        "best": max(drawn) if way == "maximize" else min(drawn),
    }


def _proxies(trials: Sequence[Trial], spec: Spec, space: SearchSpace) -> Mapping[str, Any]:
    """How zero-cost scores agreed with what was then measured, beside `params` alone; nothing when there are none."""
    unmeasured = [trial for trial in trials if trial.ok and trial.untrained]
    measured = at_highest_fidelity(trials, spec.objectives)
    if not unmeasured or all(trial.untrained for trial in measured):
        return {}
    fresh = {space.canonical(trial.genotype): trial for trial in unmeasured}
    metric, way = next(iter(spec.objectives.items()))
    pairs = [(fresh[key].metrics, t.metrics[metric]) for t in measured if (key := space.canonical(t.genotype)) in fresh]
    reached = [value if way == "maximize" else -value for _, value in pairs]
    used = getattr(spec.strategy, "proxies", ())
    columns = {name: [metrics[name] for metrics, _ in pairs] for name in next(iter(fresh.values())).metrics}
    if len(used) > 1:
        columns[" + ".join(used)] = aggregate([metrics for metrics, _ in pairs], used)
    tau = {name: kendall(column, reached) for name, column in columns.items()}
    return {"proxies": {"scored": len(unmeasured), "n": len(pairs), "used": " + ".join(used), "kendall_tau": tau}}
