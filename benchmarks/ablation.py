"""What each trick of the trainer is worth: one network, trained with all of them and then without one.

    python benchmarks/ablation.py --root cifar10-jpeg --genotype G --epochs 25
    python benchmarks/ablation.py --table

The recipe is that of `train` in the preset cifar10-evo; accuracy is that of validation images, the seconds are those
of one core, two trainings side by side. Appends to benchmarks/results/ablation.json, a row a variant; skips what is
there. Parts of the search are switched off with `headline.py search --set …`.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training a core

from common import Record

from nanonas import load_spec
from nanonas.environment import cores, environment
from nanonas.evaluators import EVALUATORS
from nanonas.recipe import Recipe
from nanonas.spaces import SPACES

RECORD = Record("ablation")
PRESET = "cifar10-evo"
VARIANTS: dict[str, dict[str, Any]] = {
    "all": {},
    "the same, another seed": {},
    "full size from the start, in the same time": {"first_side": 1.0, "times": 2 / 3},
    "ReLU instead of GELU": {"activation": "relu"},
    "SGD instead of Muon": {"optimizer": "sgd"},
    "SGD as it is usually used": {"optimizer": "sgd", "batch_size": 128, "decay": "cosine", "warmup_fraction": 0.2},
    "filters decay like all else": {"filter_decay": 5e-4},
    "cosine instead of linear decay": {"decay": "cosine"},
    "float32": {"precision": "float32"},
    "no label smoothing": {"label_smoothing": 0.0},
    "no flip": {"flip": False},
    "no translation": {"translate": 0.0},
    "cutout of a quarter": {"cutout": 0.25},
}


def run(job: tuple[str, int, list[str], str]) -> dict[str, Any]:
    genotype, epochs, data, name = job
    spec = load_spec(PRESET, data)
    recipe = {key: getattr(spec.train, key) for key in Recipe.model_fields} | VARIANTS[name]
    recipe["epochs"] = round(epochs * recipe.pop("times", 1))
    sets = [f"space.activation={recipe.pop('activation')}"] if "activation" in recipe else []
    sets += [f"evaluator.{key}={str(value).lower()}" for key, value in recipe.items()]
    spec = load_spec(PRESET, [*data, *sets, "evaluator.image_size=null", "evaluator.shown=null"])
    space = SPACES[spec.space.name](spec.space)
    evaluator = EVALUATORS[spec.evaluator.name](spec.evaluator, spec, print)
    seed = int("another seed" in name)
    metrics = evaluator.evaluate(space, space.parse(genotype), evaluator.fidelity, seed)
    return {
        "variant": name,
        "genotype": genotype,
        "epochs": epochs,
        "changes": VARIANTS[name],
        **metrics,
        "environment": environment(threads=1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the JPEG copy of CIFAR-10")
    parser.add_argument("--genotype", help="a network of the preset's space")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--table", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.genotype and not arguments.table:
        data = ["data.name=folder", f"data.root={arguments.root}"] if arguments.root else []
        key = {"genotype": arguments.genotype, "epochs": arguments.epochs}
        todo = [name for name in VARIANTS if not RECORD.has(variant=name, **key)]
        with ProcessPoolExecutor(cores()) as pool:
            for row in pool.map(run, [(arguments.genotype, arguments.epochs, data, name) for name in todo]):
                RECORD.append(row)
                print(f"{row['variant']}: {row['val_accuracy']:.4f}", file=sys.stderr)
    for row in RECORD.rows():
        print(
            f"{row['variant']:<32} {100 * row['val_accuracy']:6.2f} % {row['train_seconds']:6.0f} s  {row['genotype']}"
        )


if __name__ == "__main__":
    main()
