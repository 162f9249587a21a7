"""The model card: what it says, that nothing breaks out of it, and that its lines run."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import check_examples, examples_of
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from scipy.stats import binomtest

from nanonas import export, load_spec, train
from nanonas.core.errors import RunError
from nanonas.core.statistics import wilson
from nanonas.data.picture import Form, decode
from nanonas.exporters import EXPORTERS
from nanonas.finish.card import code, markdown, opening
from nanonas.runs.record import read_record

NAMES = ["<script>alert(1)</script>", "a|b", "`", "``x`", "*_[x](http://x)_*", "&lt;", "  ", "zwei\n# drei", "ö\u202e"]


@pytest.fixture(scope="module")
def card(exported_run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((exported_run / "exports" / "model.json").read_text())
    return loaded


def test_it_says_what_the_model_is_and_how_it_was_found(exported_run: Path, card: dict[str, Any]) -> None:
    trained = json.loads((exported_run / "train.json").read_text())
    assert (card["kind"], card["task"], card["classes"]) == ("model_card", "image classification", list("0123456789"))
    assert card["data"]["name"] == "digits"
    assert card["data"]["train_images"] + card["data"]["test_images"] == 1797
    assert card["test_accuracy"]["value"] == trained["test_accuracy"]
    assert card["test_accuracy"]["interval"][0] < trained["test_accuracy"] < card["test_accuracy"]["interval"][1]
    assert (card["params"], card["macs"], card["genotype"]) == tuple(trained[k] for k in ("params", "macs", "genotype"))
    assert card["search"]["strategy"]["name"] == "evolution"
    assert (card["search"]["trials"], card["search"]["seed"], card["search"]["is_winner"]) == (2, 3, True)
    assert card["search"]["budget"] == {"trials": 2, "minutes": None}
    assert card["training"]["epochs"] == 2
    exported = json.loads((exported_run / "export.json").read_text())["files"]
    for said, file in zip(card["files"], exported, strict=True):
        assert said["test_accuracy"]["value"] == file["test_accuracy"]
        assert all(said[key] == file[key] for key in ("path", "bytes", "latency_ms", "with_preprocessing"))


def test_the_text_says_the_same(exported_run: Path, card: dict[str, Any]) -> None:
    text = (exported_run / "exports" / "model.md").read_text()
    assert text == markdown(card)
    accuracy, interval = card["test_accuracy"]["value"], card["test_accuracy"]["interval"]
    assert f"{100 * accuracy:.2f} % ({100 * interval[0]:.2f} to {100 * interval[1]:.2f} %)" in text
    assert "the winner of a search with strategy `evolution` in space `nano`: 2 trials (0 failed)" in text
    assert f"{card['params']:,} parameters" in text
    assert text.count("\n| `model") == len(card["files"]) == 7


def test_another_genotype_than_the_winner_is_said_to_be_chosen_by_hand(card: dict[str, Any]) -> None:
    assert "not the winner of" in markdown(card | {"search": card["search"] | {"place": "other"}})
    assert "from the front of a search" in markdown(card | {"search": card["search"] | {"place": "front"}})
    assert "not by a finished search of this run" in markdown(card | {"search": None, "training": None})


def test_a_run_without_search_and_a_damaged_search(trained_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    (run / "search.json").write_text('{"trials": "many"}')
    with pytest.raises(RunError, match=r"search\.json is damaged: best"):
        export(run, ["torchscript"])
    assert not (run / "exports").exists()
    (run / "search.json").unlink()
    trained = json.loads((run / "train.json").read_text())
    told = {key: value for key, value in trained["search"].items() if key not in ("seconds", "spec")}
    assert told == {"run": str(trained_run), "place": "best", "trials": 2, "failed": 0}
    assert trained["search"]["spec"] == load_spec(trained_run / "spec.yaml").model_dump(mode="json")
    (run / "train.json").write_text(json.dumps(trained | {"search": None}))  # as where no search is finished
    export(run, ["torchscript"])
    assert json.loads((run / "exports" / "model.json").read_text())["search"] is None


# ---- the lines that it gives


def test_what_its_lines_import_is_what_it_says_to_install() -> None:
    for name in EXPORTERS:
        exporter = EXPORTERS[name]
        imported = re.findall(r"^import (.*)$", exporter.python + exporter.python_pixels, re.MULTILINE)
        packages = {re.split("[. ]", name)[0] for names in imported for name in names.split(", ")} - {"json"}
        assert packages <= set(exporter.needs.split())


def test_the_card_of_a_network_trained_elsewhere_tells_of_its_search(trained_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    search = json.loads((run / "search.json").read_text())
    lines = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    other = next(line["genotype"] for line in lines if line["genotype"] != search["best"]["genotype"])
    search["front"].append(search["front"][0] | {"genotype": other})  # as if it were one of the front
    (run / "search.json").write_text(json.dumps(search))
    train(run, genotype=other, out=tmp_path / "other", overrides=["train.epochs=1", "seed=8", "strategy.name=random"])
    export(tmp_path / "other")
    card = json.loads((tmp_path / "other" / "exports" / "model.json").read_text())
    assert (card["search"]["place"], card["search"]["is_winner"], card["search"]["trials"]) == ("front", False, 2)
    assert (card["search"]["seed"], card["search"]["strategy"]["name"]) == (3, "evolution")
    assert read_record(tmp_path / "other").trained_the_chosen


def test_its_lines_of_python_run_without_nanonas(exported_run: Path, card: dict[str, Any], tmp_path: Path) -> None:
    examples = examples_of(exported_run, "python")
    assert list(examples) == [Path(file["path"]).name for file in card["files"]]
    assert max(len(example.splitlines()) for example in examples.values()) <= 5
    check_examples(exported_run, examples, Path(sys.executable), tmp_path)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(40, 17), (16, 50), (12, 20)])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_its_lines_for_a_photograph_make_the_pixels_that_nanonas_makes(
    fit: Any, size: tuple[int, int], mode: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (*size, 3), np.uint8)
    image = Image.fromarray(values) if mode != "I;16" else Image.fromarray(values[..., 0].astype(np.uint16) * 16)
    image = image.convert(mode) if mode == "L" else image
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "photo.png", exif=exif)
    form = Form(20, 12, 3 if mode == "RGB" else 1, fit, (100.0, 4000.0) if mode == "I;16" else None)
    found: dict[str, Any] = {"PHOTO": tmp_path / "photo.png"}
    exec(opening(form), found)
    assert (found["pixels"][0] == decode(str(tmp_path / "photo.png"), form)).all()


# ---- names that are anything


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_and_does_nothing(name: str, card: dict[str, Any]) -> None:
    hostile = card | {"classes": [name, "harmless"], "genotype": name, "data": card["data"] | {"name": name}}
    rendered, plain = (MarkdownIt("gfm-like", {"linkify": False}).render(markdown(each)) for each in (hostile, card))
    assert set(re.findall(r"<(\w+)", rendered)) == set(re.findall(r"<(\w+)", plain))
    assert rendered.count("<h1>") == 1
    assert "<code>harmless</code>" in rendered


@given(st.text())
def test_a_code_span_holds_any_text(text: str) -> None:
    rendered = MarkdownIt().render(f"before {code(text)} after")
    found = re.fullmatch(r"<p>before <code>(.*)</code> after</p>\n", rendered)
    assert found
    shown = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    if text.isprintable() and text.strip():
        assert shown.strip() == text.strip()


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(method="wilson")
    assert wilson(*counts) == pytest.approx((expected.low, expected.high), abs=1e-6)
