"""A preset from nothing to a tested model, one run at a time: search, train, eval, each as a user types it.

    python benchmarks/presets.py cifar10-evo --seed 0 --set data.name=folder --set data.root=/tmp/cifar10
    python benchmarks/presets.py cifar10-evo --genotype w16/… --set …   a given network, no search
    python benchmarks/presets.py --table

Appends to benchmarks/results/presets.json, and skips a run that is there (same preset, genotype, seed and settings).
Wall seconds are those of whole commands, imports included; the data are decoded before the clock starts.
"""

import argparse
from pathlib import Path

from common import Record
from whole_runs import measure, settings, table

RECORD = Record("presets")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?")
    parser.add_argument("--genotype", help="train this instead of searching")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], dest="sets")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"), help="where run directories go")
    parser.add_argument("--table", action="store_true", help="print what is there and stop")
    arguments = parser.parse_args()
    if arguments.preset and not arguments.table:
        for seed in arguments.seed:
            rows = RECORD.rows()
            wanted = (arguments.preset, arguments.genotype, seed, settings(arguments.sets))
            if wanted in [(r["preset"], r.get("given"), r["seed"], settings(r["sets"])) for r in rows]:
                continue
            out = arguments.out / f"{arguments.preset}-{len(rows)}-seed{seed}"
            row = measure(arguments.preset, arguments.genotype, seed, arguments.sets, out)
            RECORD.append(row)
    table(RECORD.rows())


if __name__ == "__main__":
    main()
