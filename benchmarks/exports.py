"""Whether ONNX, TorchScript and pt2 files compute what random networks of every space compute.

python benchmarks/exports.py [--genotypes 100] [--space NAME …] [--seed 0] [--no-record]

The networks are untrained; the scale and shift of every batch norm are drawn at random, and its statistics are those of
a batch of noise, so that no layer is one that an exporter could drop. Every file is run on 1, 2 and 7 images of noise,
32×32, and has to pass the parity gate of `nanonas export`. A row of benchmarks/results/exports.json holds the failures,
the largest difference of each format, and the options of the space that no genotype had.
"""

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import Record, space_rows
from torch import nn

from nanonas.core.errors import ExportError
from nanonas.core.genotype import Genotype
from nanonas.core.space import SearchSpace
from nanonas.core.task import Task
from nanonas.devices.environment import environment
from nanonas.exporters import EXPORTERS
from nanonas.finish.export import check_parity, parity, rounding
from nanonas.networks.layers import ACTIVATIONS
from nanonas.spaces import SPACES

FORMATS = ("onnx", "torchscript", "pt2")
BATCHES = (1, 2, 7)
TASK = Task(3, 32, 32, 10)
SETTINGS = {"mobile": [{"kernels": [1, 3, 5, 7], "activation": name} for name in ACTIVATIONS]}  # all there is in it


def spaces_of(name: str) -> list[SearchSpace]:
    """The space with each of its settings; networks take them turn about, and any of them draws the genotypes."""
    return [SPACES[name](SPACES[name].Config.model_validate(given)) for given in SETTINGS.get(name, [{}])]


def network_of(space: SearchSpace, genotype: Genotype, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = space.build(genotype, TASK)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(noise(64))
    return network.eval()


def noise(images: int) -> torch.Tensor:
    return torch.randn(images, TASK.channels, TASK.height, TASK.width)


def difference(network: nn.Module, name: str, folder: Path) -> float:
    """Of the worst batch; ExportError when one does not pass the gate."""
    path = folder / EXPORTERS[name].file_name
    EXPORTERS[name].write(network, noise(2), path, {})
    file = EXPORTERS[name].read(path)
    worst = 0.0
    for batch in BATCHES:
        images = noise(batch)
        with torch.inference_mode():
            expected = network(images).numpy()
        found, agreement = parity(expected, file.run(images.numpy()))
        check_parity(name, found, agreement, batch, partial(rounding, network, images))
        worst = max(worst, found)
    return worst


def drawn(space: SearchSpace, count: int, seed: int) -> list[Genotype]:
    """Random genotypes that a search would train."""
    rng = random.Random(seed)
    found: list[Genotype] = []
    while len(found) < count:
        genotype = space.sample(rng)
        if space.is_connected(genotype):
            found.append(genotype)
    return found


def not_drawn(space: SearchSpace, genotypes: Sequence[Genotype]) -> list[str]:
    """`choice=option` of every option that none of them has."""
    seen = {(i, value) for genotype in genotypes for i, value in enumerate(genotype.values)}
    choices = enumerate(space.choices)
    return [f"{choice.name}={option}" for i, choice in choices for option in choice.options if (i, option) not in seen]


def measure(name: str, count: int, seed: int) -> dict[str, Any]:
    start = time.monotonic()
    spaces = spaces_of(name)
    genotypes = drawn(spaces[0], count, seed)
    worst, failures = dict.fromkeys(FORMATS, 0.0), []
    for number, genotype in enumerate(genotypes):
        network = network_of(spaces[number % len(spaces)], genotype, seed + number)
        for form in FORMATS:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    worst[form] = max(worst[form], difference(network, form, Path(folder)))
                except ExportError as error:
                    failures.append({"genotype": str(genotype), "error": str(error)})
        print(f"{name} {number + 1} of {count}, {len(failures)} failures", flush=True)
    return {
        "space": name,
        "genotypes": count,
        "seed": seed,
        "batches": BATCHES,
        "failures": failures,
        "largest_difference": {form: float(f"{value:.2g}") for form, value in worst.items()},
        "options_not_drawn": not_drawn(spaces[0], genotypes),
        "seconds": round(time.monotonic() - start),
        "environment": environment(torch.get_num_threads()),
    }


def main() -> None:
    rows = space_rows(Record("exports"), __doc__, "genotypes", 100, list(SPACES), measure)
    for row in rows:
        print(
            f"{row['space']}: {row['genotypes']} genotypes (seed {row['seed']}), {len(row['failures'])} failures, "
            f"largest difference {row['largest_difference']}, options not drawn: {row['options_not_drawn'] or 'none'}"
        )
    sys.exit(any(row["failures"] for row in rows))


if __name__ == "__main__":
    main()
