"""The headline: half an hour from nothing on CIFAR-10, one arm and seed at a time, each as a user types it.

    python benchmarks/headline.py search --seed 0 1 2 --root cifar10-jpeg    the preset cifar10-evo: search, then train
    python benchmarks/headline.py random --seed 0 1 2 --root cifar10-jpeg    random search in the same minutes
    python benchmarks/headline.py sample --seed 0 1 2 3 4 --root …           random networks, trained only
    python benchmarks/headline.py resnet --seed 0 --root …                   a residual network by hand, likewise
    python benchmarks/headline.py --table

The data are decoded before the clock starts. Appends to benchmarks/results/headline.json; skips what is there of such
a machine, unless it has another --label: the preset may have been another then.
"""

import random
from pathlib import Path

from common import Record, feasible
from whole_runs import data_of, difference, grouped, measure, options, settings, table

from nanonas import load_spec

RECORD = Record("headline")
PRESET = "cifar10-evo"
CELL = "conv_3x3+none,none+none,conv_3x3,none"  # two convolutions one after the other, with a residual connection
RESNET = "/".join(["w16", *[f"x2r:{CELL}"] * 3])  # a ResNet-20 of 218,906 parameters
ARMS = ("search", "random", "sample", "resnet")


def sampled(seed: int, sets: list[str]) -> str:
    """A random genotype that meets the preset's constraints."""
    return str(next(feasible(load_spec(PRESET, sets), random.Random(f"sample/{seed}"))))


def main() -> None:
    parser = options(__doc__, Path("runs/headline"))
    parser.add_argument("arm", nargs="?", choices=ARMS)
    parser.add_argument("--label", help="of rows measured once more on such a machine, at another commit")
    arguments = parser.parse_args()
    data = data_of(arguments)
    for seed in arguments.seed if arguments.arm and not arguments.table else []:
        arm, sets = arguments.arm, list(arguments.sets)
        changes = [*settings(arguments.sets), *([arguments.label] if arguments.label else [])]
        changes += [] if data or any(item.startswith("data.") for item in sets) else ["images as published"]
        if RECORD.has(arm=arm, seed=seed, changes=changes):
            continue
        sets += ["strategy.name=random"] if arm == "random" else ["space.name=nano"] if arm == "resnet" else []
        sets += ["constraints={}"] if arm == "resnet" else []
        genotype = RESNET if arm == "resnet" else sampled(seed, [*data, *sets]) if arm == "sample" else None
        row = measure(PRESET, genotype, seed, [*data, *sets], arguments.out / f"{arm}-seed{seed}-{len(RECORD.rows())}")
        RECORD.append({"arm": arm, "changes": changes} | row)
    table(RECORD.rows(), lambda row: " ".join([row["arm"], *row["changes"]]))
    for name, rows in grouped(RECORD.rows(), lambda row: " ".join(row["changes"])).items():
        difference(rows, ("search", "random"), "test_accuracy", name)


if __name__ == "__main__":
    main()
