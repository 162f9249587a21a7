"""What each part of the search is worth: cifar10-evo as it is, and with one part switched off at a time.

    python benchmarks/parts.py --root cifar10-jpeg [--seed 0] [--again 0 1 2] [--times 1 2.6]
    python benchmarks/parts.py --table

Each search is as a user types it, for the preset's minutes, on two cores without a GPU; as many run side by side as
there are pairs of cores. Its winner is then trained by the recipe of `train` for as many epochs as two cores make in a
third of the preset's minutes, which is measured on them, without the validation images that score it: on the GPU if
there is one, else on a core each; and for so many --times these epochs, since searches side by side slow one another.
Linux only. Appends to benchmarks/results/parts.json a row a search, a timing and a training; skips what is there.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training a core

import torch
from common import Record, as_trained, evaluated, side_by_side
from whole_runs import data_of, options, search, settings

from nanonas import load_spec
from nanonas.data.dataset import load_dataset
from nanonas.data.images import Images
from nanonas.devices.compute import threads
from nanonas.devices.environment import environment
from nanonas.spaces import SPACES
from nanonas.training.trainer import Trainer, parts_of_a_batch

RECORD = Record("parts")
PRESET = "cifar10-evo"
SHARE = 1 / 3  # of the preset's minutes of training
STEPS = 40  # that say how long one takes
PARTS: dict[str, list[str]] = {
    "all": [],
    "random proposals instead of evolution's": ["strategy.sampler={name: random}"],
    "not the largest of several": ["strategy.candidates=1"],
    "random search": ["strategy.name=random"],
    "MACs not bounded": ["constraints={params: 247000, activations_at_32: 130000}"],
    "activations not bounded": ["constraints={params: 247000, macs_at_32: 30000000}"],
    "images in full size": ["evaluator.image_size=null"],
    "all images": ["evaluator.shown=null"],
    "one worker": ["executor.workers=1"],
}


def searched(job: tuple[str, int, list[str], Path], cores: list[int]) -> dict[str, Any]:
    name, seed, sets, out = job
    os.sched_setaffinity(0, cores)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    found, seconds = search(PRESET, [*sets, f"seed={seed}", *PARTS[name]], out / f"{name}-{seed}")
    best = found["best"]
    return {
        "part": name,
        "seed": seed,
        "sets": PARTS[name],
        "search_seconds": seconds,
        **{key: found[key] for key in ("trials", "cached", "failed")},
        "genotype": best["genotype"],
        **{key: best["metrics"][key] for key in ("val_accuracy", "params", "macs")},
        "environment": environment(threads=1) | {"gpu": []},
    }


def timed(job: tuple[str, list[str]], cores: list[int]) -> dict[str, Any]:
    """How many epochs of `train`, without the validation images, two threads make in their share of its minutes."""
    genotype, sets = job
    os.sched_setaffinity(0, cores)
    spec = as_trained(PRESET, sets)
    space = SPACES[spec.space.name](spec.space)
    dataset = load_dataset(spec.data, print)
    images = Images.of(dataset.train_images, dataset.train_labels, dataset.mean, dataset.std, torch.device("cpu"))
    with threads(2):
        network = space.build(space.parse(genotype), dataset.task)
        macs = int(space.measure(space.parse(genotype), dataset.task)["macs"])
        parts = parts_of_a_batch(macs, torch.device("cpu"), spec.train.batch_size)
        trainer = Trainer(network, images, spec.train, dataset.flip, 0, parts)
        trainer.steps_left = 1e9  # so that it stays at the beginning, and its images small
        trainer.run_epoch(steps=STEPS)  # to warm up
        start = time.perf_counter()
        trainer.run_epoch(steps=STEPS)
        steps = trainer.steps_in(60 * SHARE * (spec.train.minutes or 0), (time.perf_counter() - start) / STEPS)
    shown = len(images) * (1 - spec.data.validation_fraction)
    epochs = round(steps * spec.train.batch_size / shown)
    return {"timed": genotype, "epochs": epochs, "environment": environment(threads=2) | {"gpu": []}}


def in_pairs(function: Callable[[Any, list[int]], dict[str, Any]], jobs: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Results as they come: two cores a job, all of a round begun together. What fails is raised in the end."""
    cores, errors = sorted(os.sched_getaffinity(0)), []
    pairs = [cores[at : at + 2] for at in range(0, max(1, len(cores) - 1), 2)]
    for at in range(0, len(jobs), len(pairs)):
        with ProcessPoolExecutor(len(pairs), mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(function, job, pair) for job, pair in zip(jobs[at:], pairs, strict=False)]
            for done in as_completed(waiting):
                error = done.exception()
                errors += [error] if error else []
                yield from [] if error else [done.result()]
    if errors:
        raise errors[0]


def trained(job: tuple[str, int, int, list[str]]) -> dict[str, Any]:
    genotype, epochs, again, sets = job
    metrics = evaluated(as_trained(PRESET, sets, {"epochs": epochs}), genotype, again)
    return {"trained": genotype, "epochs": epochs, "again": again, **metrics, "environment": environment(threads=1)}


def table(longer: list[float]) -> None:
    rows = RECORD.rows()
    epochs_of = {(row["timed"], str(row["changes"])): row["epochs"] for row in rows if "timed" in row}
    print(f"{'one part switched off':<42} trials  search   MACs  validation accuracy")
    for row in (row for row in rows if "part" in row):
        numbers = f"{row['trials']:6} {row['search_seconds']:5.0f} s {row['macs'] / 1e6:4.1f} M"
        means = []
        for times in longer:
            epochs = round(times * epochs_of.get((row["genotype"], str(row["changes"])), 0))
            wanted = {"trained": row["genotype"], "epochs": epochs, "changes": row["changes"]}
            accuracies = [100 * other["val_accuracy"] for other in rows if wanted.items() <= other.items()]
            spread = f" ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
            mean = f"{statistics.fmean(accuracies):.2f}{spread} %" if accuracies else "–"
            means.append(f"{mean} after {epochs} epochs (n={len(accuracies)})")
        told = " ".join([row["part"], *row["changes"], f"seed {row['seed']}"])
        print(f"{told:<42} {numbers}  {', '.join(means)}")


def main() -> None:
    parser = options(__doc__, Path("runs/parts"))
    parser.add_argument("--again", type=int, nargs="+", default=[0, 1, 2], help="seeds of the trainings")
    parser.add_argument("--times", type=float, nargs="+", default=[1.0], help="so many times the measured epochs")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments)
    table(arguments.times)


def measure(arguments: argparse.Namespace) -> None:
    sets, changes = [*data_of(arguments), *arguments.sets], settings(arguments.sets)
    load_dataset(load_spec(PRESET, sets).data, lambda text: print(text, file=sys.stderr))
    arms = [(name, seed) for seed in arguments.seed for name in PARTS]
    searches = [
        (*arm, sets, arguments.out) for arm in arms if not RECORD.has(part=arm[0], seed=arm[1], changes=changes)
    ]
    for row in in_pairs(searched, searches):
        RECORD.append({"changes": changes} | row)
    found = [row for row in RECORD.rows() if "part" in row and row["changes"] == changes]
    winners = dict.fromkeys(row["genotype"] for row in found if row["seed"] in arguments.seed)
    for row in in_pairs(timed, [(name, sets) for name in winners if not RECORD.has(timed=name, changes=changes)]):
        RECORD.append({"changes": changes} | row)
    epochs = {row["timed"]: row["epochs"] for row in RECORD.rows() if "timed" in row and row["changes"] == changes}
    trainings = [
        (name, round(times * epochs[name]), again, sets)
        for again in arguments.again
        for times in arguments.times
        for name in winners
    ]
    todo = [job for job in trainings if not RECORD.has(trained=job[0], epochs=job[1], again=job[2], changes=changes)]
    for row in side_by_side(trained, todo):
        RECORD.append({"changes": changes} | row)


if __name__ == "__main__":
    main()
