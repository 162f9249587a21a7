"""Does the cheap score that a search chooses by rank networks as longer trainings do?

    python benchmarks/fidelity.py --root cifar10-jpeg --epochs 25           cifar10-evo's fidelity, and 25 epochs as in
                                                                            its `train`
    python benchmarks/fidelity.py --root cifar10-jpeg --fidelity 2,16,0.5   epochs, image size and data fraction
    python benchmarks/fidelity.py --root cifar10-jpeg --epochs 25 --again   with other seeds: agreement with itself
    python benchmarks/fidelity.py --table

Random networks that meet the preset's constraints, each trained at every fidelity and scored on validation images, a
core each. Prints Kendall's τ of each fidelity, of params, of macs and of both with the longest training, a table a
device; rows of what the preset's space was before do not count. Appends to benchmarks/results/fidelity.json, a row a
network and fidelity; skips what is there.
"""

import argparse
import json
import os
import random
import statistics
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a training a core

from common import Record, as_trained, feasible, machine_of, opened, side_by_side, this_machine

from nanonas import load_spec
from nanonas.core.ranking import aggregate, kendall
from nanonas.core.space import SearchSpace
from nanonas.core.trial import training_seed
from nanonas.devices.environment import environment
from nanonas.evaluators import Evaluator
from nanonas.spec.schema import Spec

RECORD = Record("fidelity")
PRESET = "cifar10-evo"
RESAMPLES = 1000


@lru_cache(maxsize=1)
def preset(sets: tuple[str, ...], long: bool = False) -> tuple[Spec, SearchSpace, Evaluator]:
    spec = as_trained(PRESET, sets) if long else load_spec(PRESET, list(sets))
    return spec, *opened(spec)


def drawn(sets: tuple[str, ...], count: int) -> list[str]:
    """Feasible, and different networks."""
    spec, space, _ = preset(sets)
    found: dict[str, str] = {}
    for genotype in feasible(spec, random.Random("fidelity")):
        found.setdefault(space.canonical(genotype), str(genotype))
        if len(found) == count:
            break
    return list(found.values())


def trained(job: tuple[tuple[str, ...], str, dict[str, Any]]) -> dict[str, Any]:
    sets, text, fidelity = job
    spec, space, evaluator = preset(sets, fidelity.get("recipe") == "train")
    genotype = space.parse(text)
    metrics = evaluator.evaluate(space, genotype, fidelity, training_seed(spec.seed, text, json.dumps(fidelity)))
    row = {"space": spec.space.model_dump(mode="json"), "genotype": text, "fidelity": fidelity}
    return {**row, **metrics, "environment": environment(threads=1)}


def rows_now() -> list[dict[str, Any]]:
    """Those of the preset's space as it is."""
    space = load_spec(PRESET).space.model_dump(mode="json")
    return [row for row in RECORD.rows() if row.get("space") == space]


def table() -> None:
    rows = rows_now()
    for machine in dict.fromkeys(map(machine_of, rows)):
        table_of(machine, [row for row in rows if machine_of(row) == machine])


def table_of(machine: str | None, rows: list[dict[str, Any]]) -> None:
    scores: dict[str, dict[str, float]] = {"params": {}, "macs": {}}
    seconds: dict[str, list[float]] = {}
    for row in rows:
        name = ", ".join(f"{key} {value}" for key, value in row["fidelity"].items())
        scores.setdefault(name, {})[row["genotype"]] = row["val_accuracy"]
        seconds.setdefault(name, []).append(row["train_seconds"])
        for measure in ("params", "macs"):
            scores[measure][row["genotype"]] = row[measure]
    genotypes = list(scores["params"])
    ranks = aggregate([{name: scores[name][g] for name in ("params", "macs")} for g in genotypes], ("params", "macs"))
    scores["params + macs, ranks"] = dict(zip(genotypes, ranks, strict=True))
    first = [name for name in seconds if "again" not in name]
    if not first:
        return
    dear = max(first, key=lambda name: statistics.fmean(seconds[name]))
    reached = [100 * accuracy for accuracy in scores[dear].values()]
    spread = f"{statistics.fmean(reached):.2f} ± {statistics.stdev(reached):.2f} %" if len(reached) > 1 else "n=1"
    print(f"{machine}: Kendall's τ with {dear} ({spread}), and its bootstrap 95 % interval")
    for name, found in scores.items():
        common = [genotype for genotype in found if genotype in scores[dear]]
        if name == dear or len(common) < 3:
            continue
        pairs = [(found[genotype], scores[dear][genotype]) for genotype in common]
        rng = random.Random(0)
        resampled = [kendall(*zip(*rng.choices(pairs, k=len(pairs)), strict=True)) or 0.0 for _ in range(RESAMPLES)]
        low, high = (sorted(resampled)[round(q * (RESAMPLES - 1))] for q in (0.025, 0.975))
        cost = f"{statistics.fmean(seconds[name]):5.0f} s" if name in seconds else ""
        tau = kendall(*zip(*pairs, strict=True))
        print(f"{name:<50} n={len(pairs):<3} τ {tau:.2f} ({low:.2f} to {high:.2f}) {cost}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the JPEG copy of CIFAR-10")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--epochs", type=int, help="of a training as in the preset's `train`")
    parser.add_argument(
        "--fidelity", action="append", default=[], help="epochs,image_size,data_fraction; again for more"
    )
    parser.add_argument("--again", action="store_true", help="a second training at each, with another seed")
    parser.add_argument("--table", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if not arguments.table:
        sets = ("data.name=folder", f"data.root={arguments.root}") if arguments.root else ()
        _, _, evaluator = preset(sets)
        fidelities: list[dict[str, Any]] = [dict(evaluator.fidelity)]
        for text in arguments.fidelity:
            epochs, side, fraction = text.split(",")
            fidelities.append({"epochs": int(epochs), "image_size": int(side), "data_fraction": float(fraction)})
        if arguments.epochs:
            side = max(evaluator.task.height, evaluator.task.width)
            fidelities.append({"epochs": arguments.epochs, "image_size": side, "data_fraction": 1.0, "recipe": "train"})
        if arguments.again:
            fidelities = [fidelity | {"again": True} for fidelity in fidelities]
        jobs = [(sets, g, f) for f in fidelities for g in drawn(sets, arguments.networks)]
        there = [(row["genotype"], row["fidelity"]) for row in rows_now() if machine_of(row) == this_machine()]
        jobs = [job for job in jobs if (job[1], job[2]) not in there]
        for number, row in enumerate(side_by_side(trained, jobs), 1):
            RECORD.append(row)
            print(f"{number} of {len(jobs)}: {row['val_accuracy']:.4f} {row['genotype']}", file=sys.stderr)
    table()


if __name__ == "__main__":
    main()
