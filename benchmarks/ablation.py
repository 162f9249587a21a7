"""What each trick of the trainer is worth: one network, trained with all of them and then without one.

    python benchmarks/ablation.py --root cifar10-jpeg --genotype G --epochs 25 --seed 0 1 2
    python benchmarks/ablation.py --table

The recipe is that of `train` in the preset cifar10-evo; accuracy is that of validation images, the seconds are those
of a training on one core while the other cores train too, or while they share the GPU. Appends to
benchmarks/results/ablation.json, a row a variant and seed; skips what is there. Parts of the search are switched off
by `parts.py`.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training a core

import torch
from common import Record, as_trained, device_of, evaluated, here, side_by_side
from torch import Tensor

from nanonas.environment import environment
from nanonas.training import Trainer

RECORD = Record("ablation")
PRESET = "cifar10-evo"
VARIANTS: dict[str, dict[str, Any]] = {
    "all": {},
    "full size from the start, in the same time": {"first_side": 1.0, "times": 2 / 3},
    "ReLU instead of GELU": {"activation": "relu"},
    "SGD instead of Muon": {"optimizer": "sgd"},
    "SGD as it is usually used": {"optimizer": "sgd", "batch_size": 128, "decay": "cosine", "warmup_fraction": 0.2},
    "filters decay like all else": {"filter_decay": 5e-4},
    "filters decay half as fast": {"filter_decay": 0.05},
    "shifts of batch norm learn like all else": {"shift_rate": 1.0},
    "cosine instead of linear decay": {"decay": "cosine"},
    "float32": {"precision": "float32"},
    "no label smoothing": {"label_smoothing": 0.0},
    "no flip": {"flip": False},
    "random flips": {"mirrored": "at random"},
    "no translation": {"translate": 0.0},
    "cutout of a quarter": {"cutout": 0.25},
    "batches of 125": {"batch_size": 125},
    "batches of 500": {"batch_size": 500},
    "the rate rises for a fifth": {"warmup_fraction": 0.2},
}
ELSEWHERE = ("times", "mirrored")  # what is not a field of the recipe


class RandomFlips(Trainer):
    """Each image is mirrored at random in every epoch, as is usual, instead of in every other."""

    def _mirrored_in(self, chosen: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randint(2, (len(chosen),), generator=generator).bool().to(self.device)


def run(job: tuple[str, int, list[str], str, int]) -> dict[str, Any]:
    genotype, epochs, data, name, seed = job
    changes = VARIANTS[name]
    recipe = {key: value for key, value in changes.items() if key not in ELSEWHERE}
    spec = as_trained(PRESET, data, recipe | {"epochs": round(epochs * changes.get("times", 1))})
    trainer = RandomFlips if "mirrored" in changes else Trainer
    with patch("nanonas.training.Trainer", trainer):
        metrics = evaluated(spec, genotype, seed)
    return {
        "variant": name,
        "seed": seed,
        "genotype": genotype,
        "epochs": epochs,
        "changes": changes,
        **metrics,
        "environment": environment(threads=1),
    }


def table() -> None:
    rows = RECORD.rows()
    groups = dict.fromkeys((row["genotype"], row["epochs"], device_of(row)) for row in rows)
    for genotype, epochs, device in groups:
        print(f"{genotype}, {epochs} epochs, {device}")
        for name in VARIANTS:
            found = [
                row
                for row in rows
                if row["variant"] == name
                and (row["genotype"], row["epochs"], device_of(row)) == (genotype, epochs, device)
            ]
            if found:
                accuracies = [100 * row["val_accuracy"] for row in found]
                spread = f"± {statistics.stdev(accuracies):.2f}" if len(found) > 1 else " " * 6
                seconds = statistics.fmean(row["train_seconds"] for row in found)
                print(f"  {name:<45} n={len(found)} {statistics.fmean(accuracies):6.2f} {spread} % {seconds:6.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the JPEG copy of CIFAR-10")
    parser.add_argument("--genotype", help="a network of the preset's space")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--table", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.genotype and not arguments.table:
        data = ["data.name=folder", f"data.root={arguments.root}"] if arguments.root else []
        key = {"genotype": arguments.genotype, "epochs": arguments.epochs}
        there = [(row["variant"], row["seed"]) for row in RECORD.of_device(here()) if key.items() <= row.items()]
        todo = [(name, seed) for seed in arguments.seed for name in VARIANTS if (name, seed) not in there]
        for row in side_by_side(run, [(*key.values(), data, *job) for job in todo]):
            RECORD.append(row)
            print(f"{row['variant']}, seed {row['seed']}: {row['val_accuracy']:.4f}", file=sys.stderr)
    table()


if __name__ == "__main__":
    main()
