"""What the benchmarks share: a record of rows, networks as a preset's search sees them, and a clock on strategies."""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nanonas import load_spec
from nanonas.core.files import write_text
from nanonas.core.genotype import Genotype
from nanonas.core.space import SearchSpace
from nanonas.devices.environment import environment
from nanonas.devices.latency import Latency
from nanonas.devices.machine import cores
from nanonas.engine.search import problem_of
from nanonas.evaluators import Evaluator
from nanonas.spaces import SPACES
from nanonas.spec.schema import Spec
from nanonas.strategies import STRATEGIES
from nanonas.training.recipe import Recipe


class Record:
    """Rows in benchmarks/results/NAME.json, a list, a line a row. What is there is not measured again."""

    def __init__(self, name: str) -> None:
        self.path = Path(__file__).parent / "results" / f"{name}.json"

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.path.read_text()) if self.path.exists() else []
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """With the commit."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [*self.rows(), {"commit": environment(threads=1)["commit"]} | row]
        write_text(self.path, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")

    def here(self) -> list[dict[str, Any]]:
        """Those of this kind of machine, and those that do not tell theirs, since it makes no difference to them."""
        machine = this_machine()
        return [row for row in self.rows() if machine_of(row) in (machine, None)]

    def has(self, **fields: Any) -> bool:
        """Whether there is such a row of this kind of machine."""
        return any(all(row.get(name) == value for name, value in fields.items()) for row in self.here())


@cache
def this_machine() -> str | None:
    return machine_of({"environment": environment(threads=1)})


def machine_of(row: dict[str, Any]) -> str | None:
    """The GPU, or the processor with its widest instructions: in bfloat16 trainings score differently."""
    told = row.get("environment")
    return str(next(iter(told.get("gpu", [])), told["cpu"])) if told else None


def needs(*packages: str, extra: str) -> None:
    """Ends the script with one line where a package is missing."""
    if missing := [name for name in packages if find_spec(name) is None]:
        sys.exit(f"{missing[0]} is not installed; type: pip install -e '.[{extra}]'")


def side_by_side(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
    """Results in the order of the jobs, a core each; processes are started anew, since CUDA survives no fork."""
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs)


def as_trained(preset: str, sets: Sequence[str], changes: dict[str, Any] | None = None) -> Spec:
    """The preset with an evaluator that trains as its `train` does, on all training images in full size.

    Args:
        changes: fields of the recipe that differ from `train`'s; `activation` is one of the space.
    """
    train = load_spec(preset, list(sets)).train
    recipe = {name: getattr(train, name) for name in Recipe.model_fields} | (changes or {})
    words = [f"space.activation={recipe.pop('activation')}"] if "activation" in recipe else []
    words += [f"evaluator.{name}={str(value).lower()}" for name, value in recipe.items()]
    return load_spec(preset, [*sets, *words, "evaluator.image_size=null", "evaluator.shown=null"])


def opened(spec: Spec) -> tuple[SearchSpace, Evaluator]:
    return spec.assignment.make_space(), spec.assignment.make_evaluator(print)


def feasible(spec: Spec, rng: random.Random) -> Iterator[Genotype]:
    """Random genotypes that meet the constraints, without end."""
    space, evaluator = opened(spec)
    problem = problem_of(spec, evaluator, Latency())
    return (g for g in iter(lambda: space.sample(rng), None) if problem.is_feasible(g))


def evaluated(spec: Spec, genotype: str, seed: int) -> dict[str, Any]:
    """Metrics of one network, trained at the evaluator's full fidelity."""
    space, evaluator = opened(spec)
    return dict(evaluator.evaluate(space, space.parse(genotype), evaluator.fidelity, seed))


def space_rows(
    record: Record,
    description: str | None,
    counted: str,
    count: int,
    spaces: Sequence[str],
    measure: Callable[..., dict[str, Any]],
    flags: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The command line of a benchmark that measures so many random networks of each space, and its rows.

    Args:
        counted: the option and the column that tell how many, such as `networks`.
        measure: a row, of a space, a count, a seed and the flags.
        flags: what else is an option and a column, True or absent; and the help.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(f"--{counted}", type=int, default=count)
    parser.add_argument("--space", nargs="+", default=spaces, choices=list(SPACES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="measure anew, print, and keep nothing")
    for flag, text in (flags or {}).items():
        parser.add_argument(f"--{flag}", action="store_const", const=True, help=text)
    arguments = vars(parser.parse_args())
    asked = {name: arguments[name] for name in (counted, "seed", *(flags or {}))}
    if arguments["no_record"]:
        return [measure(space, *asked.values()) for space in arguments["space"]]
    for space in arguments["space"]:
        if not record.has(space=space, **asked):
            record.append(measure(space, *asked.values()))
    return record.rows()


class StrategyClock:
    """The seconds that each `ask` and `tell` of any strategy takes, while inside; the space's work included.

    Attributes:
        asks, tells: seconds of each call, in order. A strategy that asks another counts once.
    """

    def __enter__(self) -> "StrategyClock":
        self.asks: list[float] = []
        self.tells: list[float] = []
        self._inside = False
        self._kept = [(STRATEGIES[name], STRATEGIES[name].ask, STRATEGIES[name].tell) for name in STRATEGIES]
        for strategy, ask, tell in self._kept:
            strategy.ask = self._timed(ask, self.asks)  # type: ignore[method-assign]
            strategy.tell = self._timed(tell, self.tells)  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        for strategy, ask, tell in self._kept:
            strategy.ask, strategy.tell = ask, tell  # type: ignore[method-assign]

    def _timed(self, method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            if self._inside:
                return method(*arguments)
            self._inside = True
            start = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                seconds.append(time.perf_counter() - start)
                self._inside = False

        return timed
