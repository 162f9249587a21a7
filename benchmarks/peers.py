"""Other libraries on the cells of NAS-Bench-201, each as its documentation says: `pip install -e '.[peers]'`.

A peer is a function of (evaluate, seed, evaluations). It calls `evaluate` with the six operations of a cell that often,
and gets val_accuracy_12, or with it the parameters to be kept low: repeats count, as they do for whoever uses it so.
"""

import logging
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from nanonas.spaces.nasbench201 import PUBLISHED

OPERATIONS = list(PUBLISHED)
EDGES = [f"edge{i}" for i in range(6)]
Evaluate = Callable[[Sequence[str]], tuple[float, float]]
"""Operations of the six edges → (val_accuracy_12 in per cent, params)."""


def optuna(evaluate: Evaluate, seed: int, evaluations: int, sampler: str, **settings: Any) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=getattr(optuna.samplers, sampler)(seed=seed, **settings))

    def objective(trial: Any) -> float:
        return evaluate([trial.suggest_categorical(edge, OPERATIONS) for edge in EDGES])[0]

    study.optimize(objective, n_trials=evaluations)


def neps(evaluate: Evaluate, seed: int, evaluations: int, algorithm: str) -> None:
    """Its own choice for a space of categories without fidelities is bayesian_optimization."""
    import neps
    import numpy as np
    import torch

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    space = type("Cell", (neps.PipelineSpace,), {edge: neps.Categorical(choices=tuple(OPERATIONS)) for edge in EDGES})
    optimizer = neps.AskAndTell(getattr(neps.algorithms, algorithm)(space()))
    for _ in range(evaluations):
        trial = optimizer.ask()
        optimizer.tell(trial, -evaluate([trial.config[edge] for edge in EDGES])[0])


def pymoo(evaluate: Evaluate, seed: int, evaluations: int, population_size: int) -> None:
    """Its NSGA-II for variables that are choices."""
    import numpy as np
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice
    from pymoo.optimize import minimize

    class Cells(ElementwiseProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(vars={edge: Choice(options=OPERATIONS) for edge in EDGES}, n_obj=2)

        def _evaluate(self, chosen: dict[str, str], out: dict[str, Any], *_: Any, **__: Any) -> None:
            accuracy, params = evaluate([str(chosen[edge]) for edge in EDGES])
            out["F"] = np.array([-accuracy, params])

    distinct = MixedVariableDuplicateElimination()
    algorithm = NSGA2(
        pop_size=population_size,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=distinct),
        eliminate_duplicates=distinct,
    )
    minimize(Cells(), algorithm, ("n_eval", evaluations), seed=seed)
