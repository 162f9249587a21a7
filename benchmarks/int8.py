"""What 8 bits cost and give: accuracy, size and latency of a trained run's ONNX and ExecuTorch files, fp32 and int8.

python benchmarks/int8.py RUN [--rounds 7] [--set data.root=…] [--no-record]

Exports the run to both formats with `--int8 --force` (one counted look at the test images), then runs every file on all
test images: accuracy, and on how many its class is that of the network in PyTorch. Latency is of one image on one
thread; the files take turns, so that a busy moment of the machine meets them all, and the median over rounds counts.
A row of benchmarks/results/int8.json. Needs `pip install -e '.[executorch]'`.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

from common import Record, needs

from nanonas import export, load_model
from nanonas.data.dataset import load_dataset
from nanonas.devices.compute import threads
from nanonas.devices.environment import environment
from nanonas.devices.timing import latency_ms
from nanonas.exporters import EXPORTERS
from nanonas.finish.export import metadata_of
from nanonas.models.inference import Model
from nanonas.runs.directory import count_test_look
from nanonas.spec.load import override_data

FORMATS = ("onnx", "onnx-int8", "executorch", "executorch-int8")


def measure(run: Path, rounds: int, sets: list[str]) -> dict[str, Any]:
    document = export(run, ["onnx", "executorch"], int8=True, overrides=sets, force=True, say=print)
    files = {entry["format"]: entry for entry in document["files"] if entry["format"] in FORMATS}
    classifier = load_model(run)
    metadata = metadata_of(classifier)
    models = {
        name: Model.of_file(EXPORTERS[name.removesuffix("-int8")].read(run / entry["path"]), metadata)
        for name, entry in files.items()
    }
    count_test_look(run, "eval")
    pixels, labels = load_dataset(override_data(classifier.card.data, sets)).test()
    expected = classifier.as_model().outputs(pixels).argmax(1)
    found = {name: model.outputs(pixels).argmax(1) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    with threads(1):
        for _ in range(rounds):
            for name, model in models.items():
                times[name].append(latency_ms(model.run, model.input_size, batches=(1,))["batch_1"]["median"])
    return {
        "run": run.name,
        "genotype": classifier.card.genotype,
        "data": classifier.card.data.name,
        "params": classifier.params,
        "macs": classifier.macs,
        "test_images": len(labels),
        "test_accuracy": float((expected == labels).mean()),
        "rounds": rounds,
        "files": {
            name: {
                "bytes": files[name]["bytes"],
                "test_accuracy": float((found[name] == labels).mean()),
                "agreement": float((found[name] == expected).mean()),
                "max_abs_diff": files[name]["max_abs_diff"],
                "latency_ms": statistics.median(times[name]),
                "latency_ms_rounds": times[name],
            }
            for name in files
        },
        "environment": environment(1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--set", action="append", default=[], dest="sets", help="data.root=… when the images have moved"
    )
    parser.add_argument("--no-record", action="store_true", help="print, and keep nothing")
    arguments = parser.parse_args()
    needs("executorch", extra="executorch")
    row = measure(arguments.run, arguments.rounds, arguments.sets)
    if not arguments.no_record:
        Record("int8").append(row)
    for name, file in row["files"].items():
        print(
            f"{name:<16} {100 * file['test_accuracy']:.2f} %, {file['bytes'] / 1000:.1f} kB, "
            f"{file['latency_ms']:.3f} ms, PyTorch's class on {100 * file['agreement']:.2f} %"
        )
    for name in ("onnx", "executorch"):
        large, small = row["files"][name], row["files"][f"{name}-int8"]
        print(
            f"{name}: int8 loses {100 * (large['test_accuracy'] - small['test_accuracy']):.2f} points, "
            f"{large['bytes'] / small['bytes']:.2f} times smaller, "
            f"{large['latency_ms'] / small['latency_ms']:.2f} times faster"
        )


if __name__ == "__main__":
    main()
