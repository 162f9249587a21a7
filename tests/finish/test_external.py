"""Exported files in other environments: a Python with onnxruntime and numpy only, onnxruntime-web, ExecuTorch."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import check_examples, examples_of
from torch import nn

from nanonas import load_model
from nanonas.data.dataset import load_dataset
from nanonas.exporters import EXPORTERS

pytestmark = pytest.mark.external

LOGITS = """
import * as ort from "onnxruntime-web";
import { readFileSync } from "node:fs";
const [file, input, type, output, ...shape] = process.argv.slice(2);
const bytes = readFileSync(input);
const data = type === "uint8" ? new Uint8Array(bytes) : new Float32Array(new Uint8Array(bytes).buffer);
const session = await ort.InferenceSession.create(file);
const name = session.inputNames[0];
const scores = await session.run({ [name]: new ort.Tensor(type, data, shape.map(Number)) });
console.log(JSON.stringify(Array.from(scores[output].data)));
"""


def test_onnx_files_run_where_there_are_only_onnxruntime_and_numpy(exported_run: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "onnxruntime", "numpy"], check=True)
    script = (
        "from importlib.util import find_spec as f; print([n for n in ('torch', 'onnx', 'nanonas', 'PIL') if f(n)])"
    )
    assert subprocess.run([str(python), "-I", "-c", script], capture_output=True, text=True).stdout.strip() == "[]"
    examples = {name: lines for name, lines in examples_of(exported_run, "python").items() if name.endswith(".onnx")}
    assert list(examples) == ["model.onnx", "model-pixels.onnx", "model-int8.onnx"]
    check_examples(exported_run, examples, python, tmp_path)


@pytest.mark.skipif(find_spec("executorch") is None, reason="needs the extra executorch")
def test_executorch_files_run_on_their_runtime(exported_run: Path, tmp_path: Path) -> None:
    examples = {name: lines for name, lines in examples_of(exported_run, "python").items() if name.endswith(".pte")}
    assert list(examples) == ["model.pte", "model-int8.pte"]
    assert max(len(lines.splitlines()) for lines in examples.values()) <= 5
    check_examples(exported_run, examples, Path(sys.executable), tmp_path)


@pytest.fixture(scope="module")
def web(exported_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with onnxruntime-web and the exported files."""
    if shutil.which("npm") is None:
        pytest.skip("needs Node and npm")
    folder = tmp_path_factory.mktemp("web")
    shutil.copytree(exported_run / "exports", folder, dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "onnxruntime-web@1"], cwd=folder, check=True
    )
    return folder


def node(folder: Path, script: str, *arguments: str) -> str:
    (folder / "script.js").write_text(script)
    done = subprocess.run(["node", "script.js", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["model.onnx", "model-int8.onnx", "model-pixels.onnx"])
def test_onnxruntime_web_computes_the_same(name: str, exported_run: Path, web: Path) -> None:
    classifier = load_model(exported_run)
    pixels = load_dataset(classifier.card.data).train_images[:7]
    is_pixels = "pixels" in name
    data = np.array(pixels) if is_pixels else classifier.preprocess(np.array(pixels)).numpy()
    check_scores(web, name, data, "probabilities" if is_pixels else "logits")


def check_scores(web: Path, name: str, data: np.ndarray, output: str) -> None:
    (web / "input").write_bytes(data.tobytes())
    said = node(web, LOGITS, name, "input", str(data.dtype), output, *map(str, data.shape))
    expected = EXPORTERS["onnx"].read(web / name).run(data)
    assert np.abs(np.reshape(json.loads(said), expected.shape) - expected).max() <= 1e-4


def test_onnxruntime_web_computes_a_network_with_gelu(web: Path, gelu_network: nn.Module) -> None:
    images = torch.randn(64, 3, 16, 16)
    EXPORTERS["onnx"].write(gelu_network, images[:2], web / "gelu.onnx", {})
    EXPORTERS["onnx"].write_int8(gelu_network, images, web / "gelu-int8.onnx", {})
    for name in ("gelu.onnx", "gelu-int8.onnx"):
        check_scores(web, name, images[:7].numpy(), "logits")


def test_the_javascript_of_the_card_names_the_class(exported_run: Path, web: Path) -> None:
    classifier = load_model(exported_run)
    pixels = np.array(load_dataset(classifier.card.data).train_images[3])
    examples = examples_of(exported_run, "js")
    assert list(examples) == ["model.onnx", "model-pixels.onnx", "model-int8.onnx"]
    for name, lines in examples.items():
        given = (
            'import { readFileSync } from "node:fs";\n'
            'const card = JSON.parse(readFileSync("model.json", "utf8"));\n'
            f"const pixels = new Uint8Array({pixels.flatten().tolist()});\n"
        )
        file = EXPORTERS["onnx"].read(exported_run / "exports" / name)
        inputs = pixels[None] if "pixels" in name else classifier.preprocess(pixels).numpy()
        assert node(web, given + lines).strip() == classifier.classes[file.run(inputs).argmax()]
