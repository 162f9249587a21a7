"""What each trick of the trainer is worth: one network, trained with all of them and then without one.

    python benchmarks/ablation.py --root cifar10-jpeg --genotype G --epochs 25 --seed 0 1 2
    python benchmarks/ablation.py --table

The recipe is that of `train` in the preset cifar10-evo; accuracy is that of validation images, the seconds are those
of a training on one core while the other cores train too, or while they share the GPU. Appends to
benchmarks/results/ablation.json, a row a variant and seed; skips what is there. Parts of the search are switched off
by `parts.py`.
"""

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training a core

import torch
from common import Record, as_trained, evaluated, machine_of, side_by_side
from torch import Tensor

from nanonas.devices.environment import environment
from nanonas.training.trainer import Trainer

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


def preset(data: list[str]) -> dict[str, Any]:
    """What all variants have in common."""
    spec = as_trained(PRESET, data)
    return {"data": spec.data.name, **spec.model_dump(mode="json", include={"space", "evaluator"})}


def of_what(row: dict[str, Any]) -> str:
    return json.dumps([row["genotype"], row["epochs"], machine_of(row), row.get("preset")])


def run(job: tuple[str, int, list[str], str, int]) -> dict[str, Any]:
    genotype, epochs, data, name, seed = job
    changes = VARIANTS[name]
    recipe = {key: value for key, value in changes.items() if key not in ELSEWHERE}
    spec = as_trained(PRESET, data, recipe | {"epochs": round(epochs * changes.get("times", 1))})
    trainer = RandomFlips if "mirrored" in changes else Trainer
    with patch("nanonas.training.trainer.Trainer", trainer):
        metrics = evaluated(spec, genotype, seed)
    return {
        "variant": name,
        "seed": seed,
        "genotype": genotype,
        "epochs": epochs,
        "changes": changes,
        "preset": preset(data),
        **metrics,
        "environment": environment(threads=1),
    }


def table() -> None:
    rows = RECORD.rows()
    for group in dict.fromkeys(map(of_what, rows)):
        alike = [row for row in rows if of_what(row) == group]
        first = alike[0]
        print(f"{first['genotype']}, {first['epochs']} epochs, {machine_of(first)}, commit {first['commit']}")
        for name in dict.fromkeys([*VARIANTS, *(row["variant"] for row in alike)]):
            found = [row for row in alike if row["variant"] == name]
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
        key = {"genotype": arguments.genotype, "epochs": arguments.epochs, "preset": preset(data)}
        todo = [
            (arguments.genotype, arguments.epochs, data, name, seed)
            for seed in arguments.seed
            for name, changes in VARIANTS.items()
            if not RECORD.has(**key, variant=name, seed=seed, changes=changes)
        ]
        for row in side_by_side(run, todo):
            RECORD.append(row)
            print(f"{row['variant']}, seed {row['seed']}: {row['val_accuracy']:.4f}", file=sys.stderr)
    table()


if __name__ == "__main__":
    main()
