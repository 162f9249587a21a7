"""What benchmarks of whole commands share: options, whole commands, and a table of such runs."""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nanonas import load_spec
from nanonas.core.files import write_text
from nanonas.core.statistics import mean_and_interval
from nanonas.data.dataset import load_dataset
from nanonas.devices.environment import environment
from nanonas.devices.machine import cores


def options(description: str | None, out: Path, varied: bool = True) -> argparse.ArgumentParser:
    """The options of every benchmark of whole runs.

    Args:
        varied: whether seeds and settings are among them.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if varied:
        parser.add_argument("--seed", type=int, nargs="+", default=[0])
        parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--root", type=Path, help="the JPEG copy of CIFAR-10; left out, the preset's own data")
    parser.add_argument("--out", type=Path, default=out, help="where run directories go")
    parser.add_argument("--table", action="store_true", help="print what is there and stop")
    return parser


def data_of(arguments: argparse.Namespace) -> list[str]:
    return ["data.name=folder", f"data.root={arguments.root}"] if arguments.root else []


def nanonas(*arguments: str) -> tuple[dict[str, Any], float]:
    """The JSON document of a command, and its wall seconds."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "nanonas", *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document, round(time.perf_counter() - start, 1)


def search(preset: str, sets: list[str], out: Path) -> tuple[dict[str, Any], float]:
    """A search from nothing, as a user types it; what lay in `out` is gone."""
    shutil.rmtree(out, ignore_errors=True)
    words = [word for item in sets for word in ("--set", item)]
    return nanonas("search", "--preset", preset, *words, "--out", str(out))


def measure(preset: str, genotype: str | None, seed: int, sets: list[str], out: Path) -> dict[str, Any]:
    spec = load_spec(preset, [*sets, f"seed={seed}"])
    load_dataset(spec.data, lambda text: print(text, file=sys.stderr))
    row: dict[str, Any] = {"preset": preset, "given": genotype, "seed": seed, "sets": sets}
    if genotype is None:
        found, row["search_seconds"] = search(preset, [*sets, f"seed={seed}"], out)
        row |= {key: found[key] for key in ("trials", "cached", "failed", "random")}
        row["trained"] = found["evaluated"] - found.get("proxies", {}).get("scored", 0)
        row["val_accuracy"] = found["best"]["metrics"]["val_accuracy"]
    else:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        write_text(out / "spec.yaml", spec.text())
        row |= {"trials": 0, "search_seconds": 0.0}
    given = ["--genotype", genotype] if genotype else []
    trained, train_seconds = nanonas("train", str(out), *given)
    evaluated, _ = nanonas("eval", str(out))
    return row | {
        "train_seconds": train_seconds,
        "genotype": trained["genotype"],
        "params": trained["params"],
        "macs": trained["macs"],
        "epochs": trained["epochs"],
        "precision": trained["precision"],
        "test_accuracy": trained["test_accuracy"],
        "test_accuracy_tta": trained["test_accuracy_tta"],
        "ece": evaluated["ece"],
        "latency_ms": evaluated["latency_ms"]["batch_1"]["median"],
        "environment": environment(threads=cores()),
    }


def settings(sets: list[str]) -> list[str]:
    return [item for item in sets if not item.startswith("data.root")]  # where the data lie is not what was measured


def name_of_row(row: dict[str, Any]) -> str:
    given = [row["given"][:20] + "…"] if row.get("given") else []
    return " ".join([row["preset"], *given, *settings(row["sets"])])


def grouped(rows: list[dict[str, Any]], name_of: Callable[[dict[str, Any]], str]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(name_of(row), []).append(row)
    return groups


def table(rows: list[dict[str, Any]], name_of: Callable[[dict[str, Any]], str] = name_of_row) -> None:
    print(f"{'preset':<44} n  {'test accuracy':<18} {'params':>8} {'trials':>6} {'search s':>9} {'train s':>8}")
    for name, group in grouped(rows, name_of).items():
        accuracies = [100 * row["test_accuracy"] for row in group]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(group) > 1 else ""
        means = [
            statistics.fmean(row[k] for row in group) for k in ("params", "trials", "search_seconds", "train_seconds")
        ]
        accuracy = f"{statistics.fmean(accuracies):.2f}{spread} %"
        print(
            f"{name:<44} {len(group)}  {accuracy:<18} {means[0]:8,.0f} {means[1]:6.0f} {means[2]:9.0f} {means[3]:8.0f}"
        )


def difference(rows: list[dict[str, Any]], arms: tuple[str, str], key: str, of: str = "") -> None:
    """Prints how far the first arm is ahead of the second in `key`, over the seeds that both have; `of` names them."""
    ours, others = ({row["seed"]: row[key] for row in rows if row["arm"] == arm} for arm in arms)
    pairs = [ours[seed] - others[seed] for seed in ours if seed in others]
    estimate = mean_and_interval(pairs) if pairs else None
    if estimate and estimate.interval:
        low, high = estimate.interval
        interval = f"95 % interval {low:+.4f} to {high:+.4f} (t, n={estimate.n} pairs)"
        print(f"{' - '.join(arms)} {of}".rstrip() + f", {key}: {estimate.mean:+.4f}, {interval}")
