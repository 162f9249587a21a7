"""Class names and folders that would break out of HTML, a shell or a format go through the whole pipeline unharmed."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nanonas import compare, evaluate, export, load_model, load_spec, search, train

CLASSES = ("<script>alert(1)<", "' \"; rm -rf $HOME `x` &amp;", "Ünïcode – 猫 {{7*7}} %s")
SMALL = ["space.widths=[8]", "space.cells=[1]", "evaluator.epochs=1", "budget={trials: 2}", "train={epochs: 1}"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images 'of' \"ü\" & <b>"
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name / f"{number} ü.png")
    return folder


def test_search_train_export_and_report(images: Path, tmp_path: Path) -> None:
    run = tmp_path / "a 'run' \"of\" <i>ü</i> $(x)".replace("/", "_")
    spec = load_spec(
        "folder-evo", [*SMALL, f"data.root={json.dumps(str(images))}", "data.image_size=8", "executor.name=inline"]
    )
    assert len(list(search(spec, run))) == 2
    train(run)
    assert set(evaluate(run)["per_class"]) == set(CLASSES)
    assert set(load_model(run).card.classes) == set(CLASSES)
    (exported,) = export(run, ["onnx"])["files"]
    import onnx

    model = onnx.load(run / exported["path"])
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert set(metadata["classes"]) == set(CLASSES)

    document = compare([run], html=tmp_path / "report ü.html", plots=tmp_path / "plots ü")
    page = (tmp_path / "report ü.html").read_text(encoding="utf-8")
    assert not [name for name in (*CLASSES, run.name) if any(c in name for c in "<&\"'") and name in page]
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert len(list((tmp_path / "plots ü").iterdir())) == 2 * 5

    command = shlex.split(document["groups"][0]["runs"][0]["commands"][0])
    again = tmp_path / f"{run.name}-again"
    assert command == ["nanonas", "search", "--spec", str(run / "spec.yaml"), "--out", str(again)]
