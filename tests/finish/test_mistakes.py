"""eval --html: the page of mistakes; --second-look: labels that may be wrong."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nanonas import evaluate, train
from nanonas.core.errors import NanonasError
from nanonas.data.dataset import load_dataset
from nanonas.spec.load import load_spec


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """A trained run on images whose classes and names are hostile; two labels are wrong."""
    folder = tmp_path_factory.mktemp("mistakes")
    rng = np.random.default_rng(0)
    for label, name in enumerate(("<script>alert(1)<", "b & 'c'")):
        for n in range(40):
            shade = 190 - 130 * (label if n > 1 else 1 - label)
            pixels = np.clip(rng.normal(shade, 25, (8, 8, 3)), 0, 255).astype(np.uint8)
            place = folder / "images" / ("train" if n < 25 else "test") / name
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"<b>{n}.png")
    sets = ["data.name=folder", f"data.root={folder / 'images'}", "space.widths=[8]", "space.cells=[1]"]
    sets += ["train.epochs=8", "train.batch_size=16", "evaluator.epochs=8", "evaluator.batch_size=16", "device=cpu"]
    (folder / "run").mkdir()
    spec = load_spec("digits-evo", sets)
    (folder / "run" / "spec.yaml").write_text(spec.text())
    cell = "conv_3x3+none,none+none,conv_3x3,none"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NANONAS_CACHE", str(session_cache))
        train(folder / "run", f"w8/x1r:{cell}/x1r:{cell}/x1r:{cell}")
    return folder / "run"


@pytest.fixture
def run(photographs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(photographs, tmp_path / "run"))


def test_the_page_stands_alone_and_names_do_nothing(run: Path, tmp_path: Path) -> None:
    document = evaluate(run, html=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert not re.findall(r"(?:src|href)=[\"'](?!data:|#)", page)
    assert f"{document['test_images']}" in page
    assert sum(entry["n"] for entry in document["classes"]) == document["test_images"] == 30
    first = page
    evaluate(run, html=tmp_path / "page.html")  # it takes the place of a page of ours
    again = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.sub(r"\d+", "", again) == re.sub(r"\d+", "", first)


def test_another_file_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("my own")
    with pytest.raises(NanonasError) as caught:
        evaluate(run, html=tmp_path / "page.html")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "page.html").read_text() == "my own"


def test_labels_that_are_wrong_are_looked_at_first(run: Path, tmp_path: Path) -> None:
    document: dict[str, Any] = evaluate(run, html=tmp_path / "page.html", second_look=True)
    dataset = load_dataset(load_spec(run / "spec.yaml").data)
    names = dataset.train_names() or ()
    wrong = {name for name in names if Path(name).name in ("<b>0.png", "<b>1.png")}
    told = json.dumps(document["second_look"])
    assert len(wrong) == 4
    assert sum(json.dumps(name)[1:-1] in told for name in wrong) >= 3
    assert json.loads((run / "eval.json").read_text())["second_look"] == document["second_look"]
