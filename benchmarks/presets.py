"""A preset from nothing to a tested model, one run at a time: search, train, eval, each as a user types it.

    python benchmarks/presets.py cifar10-evo --seed 0 --root /tmp/cifar10
    python benchmarks/presets.py cifar10-evo --genotype w16/… --set …   a given network, no search
    python benchmarks/presets.py --table

Appends to benchmarks/results/presets.json, and skips a run that is there (same preset, genotype, seed and settings).
Wall seconds are those of whole commands, imports included; the data are decoded before the clock starts.
"""

from pathlib import Path

from common import Record
from whole_runs import data_of, measure, options, settings, table

RECORD = Record("presets")


def main() -> None:
    parser = options(__doc__, Path("runs/benchmark"))
    parser.add_argument("preset", nargs="?")
    parser.add_argument("--genotype", help="train this instead of searching")
    arguments = parser.parse_args()
    if arguments.preset and not arguments.table:
        sets = [*data_of(arguments), *arguments.sets]
        for seed in arguments.seed:
            rows = RECORD.here()
            wanted = (arguments.preset, arguments.genotype, seed, settings(sets))
            if wanted in [(r["preset"], r.get("given"), r["seed"], settings(r["sets"])) for r in rows]:
                continue
            out = arguments.out / f"{arguments.preset}-{len(RECORD.rows())}-seed{seed}"
            row = measure(arguments.preset, arguments.genotype, seed, sets, out)
            RECORD.append(row)
    table(RECORD.rows())


if __name__ == "__main__":
    main()
