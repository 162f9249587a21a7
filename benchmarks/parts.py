"""What each part of the search is worth: cifar10-evo as it is, and with one part switched off at a time.

    python benchmarks/parts.py --root cifar10-jpeg [--seed 0] [--again 0 1 2] [--times 1 2.6]
    python benchmarks/parts.py --table

Each search is as a user types it, for the preset's minutes, on two cores without a GPU; as many run side by side as
there are pairs of cores. Its winner is then trained by the recipe of `train` for as many epochs as two cores make in a
third of the preset's minutes, which is measured on them, without the validation images that score it: on the GPU if
there is one, else on a core each; and for so many --times these epochs, since searches side by side slow one another.
Linux only. Appends to benchmarks/results/parts.json, a row a search and a row a training; skips what is there.
"""

import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training a core

import torch
from common import Record, as_trained, side_by_side
from whole_runs import data_of, options, search

from nanonas import load_spec
from nanonas.data import load_dataset
from nanonas.environment import environment
from nanonas.evaluators import EVALUATORS
from nanonas.images import Images
from nanonas.spaces import SPACES
from nanonas.training import Trainer, parts_of_a_batch, threads

RECORD = Record("parts")
PRESET = "cifar10-evo"
SHARE = 1 / 3  # of the preset's minutes of training
STEPS = 40  # that say how long one takes
PARTS: dict[str, list[str]] = {
    "all": [],
    "random search instead of evolution": ["strategy.name=random"],
    "MACs not bounded": ["constraints={params: 247000, activations: 130000}"],
    "activations not bounded": ["constraints={params: 247000, macs: 30000000}"],
    "images in full size": ["evaluator.image_size=null"],
    "all images": ["evaluator.shown=null"],
    "one worker": ["executor.workers=1"],
}


def epochs_in(minutes: float, genotype: str, data: list[str]) -> int:
    """How many epochs of `train`, without the validation images, two threads make."""
    spec = as_trained(PRESET, data)
    evaluator = EVALUATORS[spec.evaluator.name](spec.evaluator, spec, print)
    space = SPACES[spec.space.name](spec.space)
    dataset = load_dataset(spec.data, print)
    images = Images.of(dataset.train_images, dataset.train_labels, dataset.mean, dataset.std, torch.device("cpu"))
    with threads(2):
        network = space.build(space.parse(genotype), evaluator.task)
        parts = parts_of_a_batch(network, torch.device("cpu"), spec.train.batch_size)
        trainer = Trainer(network, images, spec.train, dataset.flip, 0, parts)
        trainer.steps_left = 1e9  # so that it stays at the beginning, and its images small
        trainer.run_epoch(steps=STEPS)  # to warm up
        start = time.perf_counter()
        trainer.run_epoch(steps=STEPS)
        steps = trainer.steps_in(60 * minutes, (time.perf_counter() - start) / STEPS)
    shown = len(images) * (1 - spec.data.validation_fraction)
    return round(steps * spec.train.batch_size / shown)


def searched(job: tuple[str, int, list[str], Path, list[int]]) -> dict[str, Any]:
    name, seed, data, out, cores = job
    os.sched_setaffinity(0, cores)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found, seconds = search(PRESET, [*data, f"seed={seed}", *PARTS[name]], out / f"{name}-{seed}")
    best = found["best"]
    minutes = SHARE * (load_spec(PRESET, data).train.minutes or 0)
    return {
        "part": name,
        "seed": seed,
        "sets": PARTS[name],
        "search_seconds": seconds,
        **{key: found[key] for key in ("trials", "cached", "failed")},
        "genotype": best["genotype"],
        **{key: best["metrics"][key] for key in ("val_accuracy", "params", "macs")},
        "epochs": epochs_in(minutes, best["genotype"], data),
        "environment": environment(threads=1),
    }


def trained(job: tuple[str, int, int, list[str]]) -> dict[str, Any]:
    genotype, epochs, again, data = job
    spec = as_trained(PRESET, data, {"epochs": epochs})
    space = SPACES[spec.space.name](spec.space)
    evaluator = EVALUATORS[spec.evaluator.name](spec.evaluator, spec, print)
    metrics = evaluator.evaluate(space, space.parse(genotype), evaluator.fidelity, again)
    return {"trained": genotype, "epochs": epochs, "again": again, **metrics, "environment": environment(threads=1)}


def table(longer: list[float]) -> None:
    rows = RECORD.rows()
    print(f"{'one part switched off':<42} trials  search   MACs  validation accuracy")
    for row in (row for row in rows if "part" in row):
        numbers = f"{row['trials']:6} {row['search_seconds']:5.0f} s {row['macs'] / 1e6:4.1f} M"
        means = []
        for times in longer:
            epochs = round(times * row["epochs"])
            accuracies = [
                100 * r["val_accuracy"] for r in rows if (r.get("trained"), r["epochs"]) == (row["genotype"], epochs)
            ]
            spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
            mean = f"{statistics.fmean(accuracies):.2f}{spread} %" if accuracies else "–"
            means.append(f"{mean} after {epochs} epochs (n={len(accuracies)})")
        print(f"{row['part'] + ', seed ' + str(row['seed']):<42} {numbers}  {', '.join(means)}")


def main() -> None:
    parser = options(__doc__, Path("runs/parts"))
    parser.add_argument("--again", type=int, nargs="+", default=[0, 1, 2], help="seeds of the trainings")
    parser.add_argument("--times", type=float, nargs="+", default=[1.0], help="so many times the measured epochs")
    arguments = parser.parse_args()
    data = [*data_of(arguments), *arguments.sets]
    if not arguments.table:
        load_dataset(load_spec(PRESET, data).data, lambda text: print(text, file=sys.stderr))
        cores = sorted(os.sched_getaffinity(0))
        pairs = [cores[at : at + 2] for at in range(0, max(1, len(cores) - 1), 2)]
        todo = [(name, seed) for seed in arguments.seed for name in PARTS if not RECORD.has(part=name, seed=seed)]
        for at in range(0, len(todo), len(pairs)):
            jobs = [(*job, data, arguments.out, pair) for job, pair in zip(todo[at:], pairs, strict=False)]
            with ProcessPoolExecutor(len(pairs), mp_context=get_context("spawn")) as pool:
                for row in pool.map(searched, jobs):
                    RECORD.append(row)
        winners = [(row["genotype"], row["epochs"]) for row in RECORD.rows() if "part" in row]
        wanted = dict.fromkeys((name, round(times * epochs)) for times in arguments.times for name, epochs in winners)
        trainings = [
            (genotype, epochs, again, data)
            for again in arguments.again
            for genotype, epochs in wanted
            if not RECORD.has(trained=genotype, epochs=epochs, again=again)
        ]
        for row in side_by_side(trained, trainings):
            RECORD.append(row)
    table(arguments.times)


if __name__ == "__main__":
    main()
