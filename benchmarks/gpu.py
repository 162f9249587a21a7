"""The preset cifar10-evo on a GPU: candidates an hour, one at a time and several at once; then the whole of it, short.

    python benchmarks/gpu.py --root cifar10-jpeg --minutes 1
    python benchmarks/gpu.py --table

Appends to benchmarks/results/gpu.json; skips what is there of such a GPU.
"""

from pathlib import Path

import torch
from common import Record
from whole_runs import data_of, measure, options, search

from nanonas.devices.environment import environment

RECORD = Record("gpu")
PRESET = "cifar10-evo"
ARMS = {
    "one at a time": ["executor.name=inline"],
    "as the preset says": [],
    "twelve at once": ["executor.lookahead=12"],
}


def main() -> None:
    parser = options(__doc__, Path("runs/gpu"), varied=False)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each search, and of the training")
    arguments = parser.parse_args()
    if not arguments.table and not torch.cuda.is_available():
        parser.error("no GPU here; --table prints what was measured")
    for arm, sets in {} if arguments.table else ARMS.items():
        if not RECORD.has(arm=arm, minutes=arguments.minutes):
            words = [*data_of(arguments), *sets, f"budget.minutes={arguments.minutes}"]
            found, seconds = search(PRESET, words, arguments.out / arm)
            hourly = round(3600 * found["trials"] / seconds)
            row = {"arm": arm, "minutes": arguments.minutes, "trials": found["trials"], "candidates_an_hour": hourly}
            RECORD.append(row | {"seconds": seconds, "environment": environment(threads=1)})
    if not arguments.table and not RECORD.has(arm="whole", minutes=arguments.minutes):
        words = [f"budget.minutes={arguments.minutes}", f"train.minutes={arguments.minutes}", "executor.lookahead=12"]
        row = measure(PRESET, None, 0, [*data_of(arguments), *words], arguments.out / "whole")
        RECORD.append({"arm": "whole", "minutes": arguments.minutes} | row)
    for row in RECORD.rows():
        print(f"{row['arm']:<20} {row['minutes']:3.1f} min {row['trials']:4} trials", end="  ")
        if "test_accuracy" in row:
            print(f"{100 * row['test_accuracy']:.2f} % test accuracy, {row['params']:,} params, {row['epochs']} epochs")
        else:
            print(f"{row['candidates_an_hour']:,} candidates an hour")


if __name__ == "__main__":
    main()
