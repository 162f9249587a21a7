"""The lines that a model card gives, taken from its text as a reader would, and run."""

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from nanonas import load_model
from nanonas.data.dataset import load_dataset


def examples_of(run: Path, language: str) -> dict[str, str]:
    """File → lines."""
    card = (run / "exports" / "model.md").read_text()
    lines = re.findall(rf"^```{language}\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    named = ((re.findall(r"[\"'](model[^\"']*)[\"']", example), example) for example in lines)
    return {names[0]: example for names, example in named if names}  # others are about photographs


EACH = """\
import importlib, json, os, sys, numpy
pixels = numpy.load(sys.argv[1])
for name in sys.argv[3:]:
    importlib.import_module(name)
for script in json.loads(sys.argv[2]):  # each by itself, since it may lean on what another imports
    if os.fork() == 0:
        exec(script, {"pixels": pixels})
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1]:
        sys.exit(1)
"""


def check_examples(run: Path, examples: Mapping[str, str], python: Path, folder: Path) -> None:
    """The lines, run beside their files with this Python on the test images, are as often right as the card says."""
    pixels, labels = load_dataset(load_model(run).card.data).test()
    np.save(folder / "pixels.npy", pixels)
    files = {Path(file["path"]).name: file for file in json.loads((run / "export.json").read_text())["files"]}
    for preloaded, absent in ((["torch"], {"nanonas"}), ([], {"nanonas", "torch"})):  # torch takes seconds to import
        chosen = {name: lines for name, lines in examples.items() if name.endswith(".onnx") != bool(preloaded)}
        if not chosen:
            continue
        scripts = [f"{lines}import sys\nassert not {absent} & set(sys.modules)\n" for lines in chosen.values()]
        arguments = [str(folder / "pixels.npy"), json.dumps(scripts), *preloaded]
        command = [str(python), "-I", "-W", "ignore", "-c", EACH, *arguments]
        done = subprocess.run(command, cwd=run / "exports", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for name, printed in zip(chosen, done.stdout.splitlines(), strict=True):
            found = json.loads(printed.replace("'", '"'))
            right = np.mean([int(found_class) == label for found_class, label in zip(found, labels, strict=True)])
            assert right == pytest.approx(files[name]["test_accuracy"], abs=1e-9)
