"""--dry-run: what a search would cost, from one measured evaluation."""

import random
import time
from contextlib import closing
from typing import Any

from ..core.errors import EvaluationError, SpecError
from ..core.files import SCHEMA_VERSION
from ..core.say import Say
from ..core.trial import fidelity_key, training_seed
from ..devices.latency import Latency
from ..devices.machine import cores
from ..executors import EXECUTORS, WORKER_BYTES
from ..spec.schema import Spec
from ..strategies import STRATEGIES
from .search import MAX_INFEASIBLE, problem_of

SAMPLES = 1000
LINE_BYTES = 1000  # of the journal and the log, for a trial


def plan(spec: Spec, say: Say = lambda text: None) -> dict[str, Any]:
    """Trains one random architecture, or one epoch of a supernet; the rest is arithmetic.

    Raises:
        SpecError: no architecture that can be scored meets the constraints.
    """
    evaluator = spec.assignment.make_evaluator(say)
    problem = problem_of(spec, evaluator, Latency())
    problem.check(spec.space.name)
    space = problem.space
    STRATEGIES[spec.strategy.name](spec.strategy, problem)  # for its errors
    rng = random.Random(f"{spec.seed}/plan")
    drawn = [space.sample(rng) for _ in range(SAMPLES)]
    feasible = [genotype for genotype in drawn if problem.is_feasible(genotype)]
    share = len(feasible) / SAMPLES
    more = (space.sample(rng) for _ in range(MAX_INFEASIBLE))
    chosen = feasible[0] if feasible else next((g for g in more if problem.is_feasible(g)), None)
    if chosen is None:
        raise SpecError(f"hardly anything can be scored and meets the constraints {spec.constraints}; loosen them")
    say("measuring one evaluation")
    seed = training_seed(spec.seed, space.canonical(chosen), fidelity_key(evaluator.fidelity))
    warm = {**evaluator.fidelity, "epochs": 1} if evaluator.fidelity.get("epochs") else evaluator.fidelity
    whole = {**warm, "epochs": 2} if evaluator.one_shot else evaluator.fidelity
    try:
        evaluator.evaluate(space, chosen, warm, seed)  # loads what every worker loads once
        start = time.perf_counter()
        evaluator.evaluate(space, chosen, whole, seed)
    except EvaluationError as error:
        raise SpecError(f"the measured evaluation failed: {error}; see the evaluator's settings") from None
    seconds_per_trial = time.perf_counter() - start
    with closing(EXECUTORS[spec.executor.name](spec.executor, spec.assignment)) as executor:
        workers = executor.workers
    busy = min(workers, cores())
    by_trials = spec.budget.trials * seconds_per_trial / busy if spec.budget.trials else None
    by_minutes = spec.budget.minutes * 60 if spec.budget.minutes else None
    seconds = min(limit for limit in (by_trials, by_minutes) if limit is not None)
    trials = seconds * busy / max(seconds_per_trial, 1e-9)
    return {
        "kind": "dry-run",
        "schema_version": SCHEMA_VERSION,
        "spec": spec.model_dump(mode="json"),
        "space_size": space.size,
        "feasible_share": share,
        "seconds_per_trial": round(seconds_per_trial, 3),
        "seconds": round(seconds, 1),
        "workers": workers,
        "trials": round(trials),
        "bytes": int(trials * LINE_BYTES),
        "memory_bytes": (workers + 1) * WORKER_BYTES,  # images lie in mapped files
    }
