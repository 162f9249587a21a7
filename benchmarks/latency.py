"""How well latency_ms predicts: random networks of a space, predicted against measured.

python benchmarks/latency.py [--networks 50] [--space mobile nano] [--seed 0] [--busy] [--no-record]

Kernels of `mobile` are 1 to 7, and every other of its networks has GELU instead of ReLU. Each network is exported to
ONNX and measured as `nanonas eval` measures: one image of 32×32, one thread, the median. The prediction comes from a
table as a search makes it, but none of the measured networks is in it: an operator that the table lacks is timed in a
mutant of the network, three choices away. With `--busy` as many processes as there are cores train while the table is
made, as the workers of a search do, and rest while a network is measured. A row of benchmarks/results/latency.json
holds the rank correlation and the relative errors.
"""

import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Record, space_rows
from exports import TASK, drawn, network_of, noise, spaces_of
from scipy.stats import spearmanr

from nanonas.core.genotype import Genotype
from nanonas.core.program import Program
from nanonas.core.space import SearchSpace
from nanonas.devices.compute import threads
from nanonas.devices.environment import environment
from nanonas.devices.latency import Latency, operators
from nanonas.devices.machine import cores
from nanonas.devices.timing import latency_ms
from nanonas.exporters import EXPORTERS

MUTATIONS = 3
ATTEMPTS = 100  # mutants of a network, before it may teach the table itself


def measured(space: SearchSpace, genotype: Genotype, seed: int) -> float:
    """Milliseconds of the exported file."""
    with tempfile.TemporaryDirectory() as folder, threads(1):
        path = Path(folder) / "model.onnx"
        EXPORTERS["onnx"].write(network_of(space, genotype, seed), noise(2), path, {})
        size = (TASK.channels, TASK.height, TASK.width)
        return latency_ms(EXPORTERS["onnx"].read(path).run, size, batches=(1,))["batch_1"]["median"]


def train(under_way: Event) -> None:
    """For ever, on one core; sets the event after the first step."""
    torch.set_num_threads(1)
    layer, images = torch.nn.Conv2d(32, 64, 3), torch.randn(125, 32, 20, 20)
    while True:
        layer(images).mean().backward()
        under_way.set()


class Neighbours:
    """Processes that train while they are awake, and otherwise stand still."""

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        under_way = [context.Event() for _ in range(count)]
        self._processes = [context.Process(target=train, args=(event,), daemon=True) for event in under_way]
        for process in self._processes:
            process.start()
        if not all(event.wait(timeout=120) for event in under_way):
            raise RuntimeError("a neighbour does not train")
        self._tell(signal.SIGSTOP)

    @contextmanager
    def awake(self) -> Iterator[None]:
        self._tell(signal.SIGCONT)
        yield
        self._tell(signal.SIGSTOP)

    def end(self) -> None:
        self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.pid:
                os.kill(process.pid, number)


class Table:
    """A Latency, and which operators it has timed."""

    def __init__(self) -> None:
        self.latency = Latency()
        self.known: set[str] = set()
        self.networks = 0

    def lacks(self, program: Program) -> set[str]:
        return {operator.text for operator in operators(program)} - self.known

    def learn(self, program: Program) -> None:
        self.latency(program)
        self.networks += 1
        self.known |= {operator.text for operator in operators(program)}

    def teach(self, space: SearchSpace, genotype: Genotype, rng: random.Random) -> bool:
        """From mutants of a network, all that its prediction needs; whether that was possible."""
        program = space.program(genotype, TASK).folded()
        for _ in range(ATTEMPTS):
            if not self.lacks(program):
                return True
            mutant = genotype
            for _ in range(MUTATIONS):
                mutant = space.mutate(mutant, rng)
            other = space.program(mutant, TASK).folded()
            new = self.lacks(program) & self.lacks(other)
            if new and space.is_connected(mutant) and space.canonical(mutant) != space.canonical(genotype):
                self.learn(other)
        return not self.lacks(program)


def measure(name: str, count: int, seed: int, busy: bool | None) -> dict[str, Any]:
    start = time.monotonic()
    spaces, neighbours = spaces_of(name), Neighbours(cores() if busy else 0)
    table, rng, rows = Table(), random.Random(seed), []
    for number, genotype in enumerate(drawn(spaces[0], count, seed)):
        space = spaces[number % len(spaces)]
        with neighbours.awake():
            foreign = table.teach(space, genotype, rng)
            predicted = table.latency(space.program(genotype, TASK).folded())
        rows.append((predicted, measured(space, genotype, seed + number), foreign))
        print(f"{name} {number + 1} of {count}: {rows[-1][0]:.3f} ms predicted, {rows[-1][1]:.3f} measured", flush=True)
    neighbours.end()
    errors = [abs(predicted / found - 1) for predicted, found, _ in rows]
    return {
        "space": name,
        "networks": count,
        "seed": seed,
        "busy": busy,
        "spearman": round(float(spearmanr([row[0] for row in rows], [row[1] for row in rows]).statistic), 4),
        "median_error": round(statistics.median(errors), 4),
        "error_90": round(float(np.quantile(errors, 0.9)), 4),
        "median_ratio": round(statistics.median(predicted / found for predicted, found, _ in rows), 4),
        "measured_ms": [min(row[1] for row in rows), max(row[1] for row in rows)],
        "taught_by_themselves": sum(not foreign for _, _, foreign in rows),
        "operators": len(table.known),
        "timed_networks": table.networks,
        "seconds": round(time.monotonic() - start),
        "environment": environment(1),
    }


def main() -> None:
    flags = {"busy": "make the table beside trainings"}
    for row in space_rows(Record("latency"), __doc__, "networks", 50, ["mobile", "nano"], measure, flags):
        low, high = row["measured_ms"]
        name = f"{row['space']}, beside trainings" if row.get("busy") else row["space"]
        print(
            f"{name}: {row['networks']} networks (seed {row['seed']}) of {low:.2f} to {high:.2f} ms: Spearman "
            f"{row['spearman']:.3f}, error {100 * row['median_error']:.1f} % (median), {100 * row['error_90']:.1f} % "
            f"(90 % quantile); {row['operators']} operators timed in {row['timed_networks']} other networks"
        )


if __name__ == "__main__":
    main()
