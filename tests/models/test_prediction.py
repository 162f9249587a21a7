"""What is predicted of image files: the same by a run and by all its files."""

import os
import shutil
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import nanonas
from nanonas import load_model, predict
from nanonas.core.errors import DataError, ExportError, RunError
from nanonas.exporters import EXPORTERS
from nanonas.finish.export import metadata_of, targets_of
from nanonas.models import prediction
from nanonas.models.classifier import Classifier, WithPreprocessing, save_model
from nanonas.models.inference import Model
from nanonas.models.prediction import BATCH, Predictor


def external(name: str) -> Any:
    """A format that needs an extra is tested where that is installed, among the external tests."""
    extra = EXPORTERS[name].extra
    missing = pytest.mark.skipif(bool(extra) and find_spec(extra) is None, reason=f"needs the extra {extra}")
    return pytest.param(name, marks=[pytest.mark.external, missing]) if extra else name


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of several sizes and modes, smooth, so that rounding after resizing decides nothing."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate([(8, 8), (31, 17), (64, 200), (9, 9), (120, 90)]):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).convert("RGB" if number % 2 else "L").save(
            folder / f"{number}.png"
        )
    upright = Image.fromarray(rng.integers(0, 256, (24, 8, 3), dtype=np.uint8))
    marked = Image.Exif()
    marked[0x0112] = 6
    upright.save(folder / "turned.jpg", exif=marked)
    return folder


@pytest.mark.parametrize("name", [external(name) for name in EXPORTERS])
def test_a_file_predicts_what_its_run_does(name: str, exported_run: Path, pictures: Path) -> None:
    expected = list(predict(exported_run, [pictures]))
    found = list(predict(exported_run / "exports" / EXPORTERS[name].file_name, [pictures]))
    assert [one.path for one in found] == [one.path for one in expected]
    assert [one.answer for one in found] == [one.answer for one in expected]
    for ours, other in zip(found, expected, strict=True):
        assert [p for _, p in ours.top] == pytest.approx([p for _, p in other.top], abs=1e-5)


@pytest.mark.parametrize("name", [name for name in EXPORTERS if EXPORTERS[name].takes_pixels])
def test_a_file_with_preprocessing_takes_pixels_of_any_size(name: str, exported_run: Path, pictures: Path) -> None:
    target = next(one for one in targets_of([name], False, True) if one.kind == "pixels")
    expected = list(predict(exported_run, [pictures]))
    found = list(predict(exported_run / "exports" / target.file_name, [pictures]))
    assert [one.answer for one in found] == [one.answer for one in expected]
    for ours, other in zip(found, expected, strict=True):
        assert [p for _, p in ours.top] == pytest.approx([p for _, p in other.top], abs=0.01)


def test_a_prediction_is_what_classify_says(exported_run: Path, pictures: Path) -> None:
    found = list(predict(exported_run, [pictures]))
    said = load_model(exported_run).classify([one.path for one in found])
    assert [one.answer for one in found] == [name for name, _ in said]
    assert [one.top[0].probability for one in found] == pytest.approx([p for _, p in said], abs=1e-6)
    for one in found:
        assert [p for _, p in one.top] == sorted((p for _, p in one.top), reverse=True)
        assert len(one.top) == 3


def test_more_images_than_a_batch_keep_their_order(exported_run: Path, tmp_path: Path) -> None:
    for number in range(2 * BATCH + 5):
        Image.new("L", (8, 8), number).save(tmp_path / f"{number:03}.png")
    (tmp_path / "070.png").write_bytes(b"")
    found = list(predict(exported_run / "exports" / "model.onnx", [tmp_path]))
    assert [Path(one.path).stem for one in found] == [f"{number:03}" for number in range(2 * BATCH + 5)]
    assert [one.path for one in found if one.error] == [str(tmp_path / "070.png")]
    one_by_one = [next(predict(exported_run, one.path)) for one in found[60:75]]
    assert [one.answer for one in one_by_one] == [one.answer for one in found[60:75]]


def test_an_unsure_answer_is_unknown_and_keeps_its_guesses(exported_run: Path, pictures: Path) -> None:
    sure = list(predict(exported_run, [pictures]))
    least = sorted(one.top[0].probability for one in sure)[2]
    found = list(predict(exported_run, [pictures], min_probability=least))
    assert [one.answer == "unknown" for one in found].count(True) == 2
    assert [one.top for one in found] == [one.top for one in sure]


def test_a_pipe_is_no_image_and_is_not_waited_for(exported_run: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    (found,) = predict(exported_run / "exports" / "model.onnx", [tmp_path])
    assert found.error == f"{tmp_path / 'x.png'} is no regular file"
    (tmp_path / "y.png").symlink_to("nowhere")
    (found,) = predict(exported_run / "exports" / "model.onnx", [tmp_path / "y.png"])
    assert found.error == f"cannot read {tmp_path / 'y.png'}: No such file or directory"


@pytest.mark.parametrize("name", [external(name) for name in EXPORTERS if EXPORTERS[name].holds_code])
def test_a_file_that_can_hold_code_needs_trust(name: str, exported_run: Path, pictures: Path, tmp_path: Path) -> None:
    stray = Path(shutil.copy(exported_run / "exports" / EXPORTERS[name].file_name, tmp_path))
    with pytest.raises(ExportError, match="--trust"):
        next(predict(stray, [pictures]))
    assert next(predict(stray, [pictures], trust=True)).answer


def test_a_file_that_does_not_run_is_one_line(
    exported_run: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "outputs", lambda model, pixels: 1 / 0)
    with pytest.raises(ExportError, match="loads but does not run: division by zero"):
        next(predict(exported_run / "exports" / "model.onnx", [pictures]))


def test_targets_that_are_not_there(exported_run: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist; files are made by: nanonas export"):
        next(predict(tmp_path / "model.onnx", [pictures]))
    with pytest.raises(RunError, match="does not exist"):
        next(predict(tmp_path / "run", [pictures]))
    with pytest.raises(ExportError, match="is of no known format"):
        next(predict(pictures / "0.png", [pictures]))
    with pytest.raises(DataError, match="has no images"):
        next(predict(exported_run, [tmp_path]))


def test_an_onnx_file_needs_no_torch(exported_run: Path, pictures: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "model-pixels.onnx", "model-int8.onnx"):
        words = [
            "nanonas",
            "predict",
            str(exported_run / "exports" / name),
            str(pictures),
            "--csv",
            str(tmp_path / "o"),
        ]
        script = (
            f"import sys\nsys.argv = {words!r}\nfrom nanonas.app import main\n"
            "try:\n    main()\nexcept SystemExit as end:\n    print(end.code)\n"
            "print('torch' in sys.modules, 'onnxruntime' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-2:] == ["0", "False True"], done.stderr


def test_who_stops_listening_waits_for_no_image(
    exported_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3 * BATCH):
        Image.new("L", (8, 8), number % 256).save(tmp_path / f"{number:03}.png")
    read: list[str] = []
    lock, decode = threading.Lock(), prediction.decode

    def counted(path: str, form: Any) -> Any:
        with lock:
            read.append(path)
        return decode(path, form)

    monkeypatch.setattr(prediction, "decode", counted)
    batches = Predictor.open(exported_run / "exports" / "model-pixels.onnx").batches(
        [str(path) for path in sorted(tmp_path.iterdir())]
    )
    next(batches)
    batches.close()
    assert 1 <= len(read) < BATCH


def test_predict_is_a_verb_of_the_package() -> None:
    assert nanonas.predict is predict
    assert "predict" in nanonas.__all__


@pytest.mark.parametrize("name", [name for name in EXPORTERS if EXPORTERS[name].takes_pixels])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_each_fit_is_the_same_in_a_run_and_in_its_file(
    fit: str, name: str, trained_run: Path, pictures: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    before = load_model(run)
    card = before.card.model_copy(update={"data": before.card.data.model_copy(update={"fit": fit})})
    classifier = Classifier(card)
    classifier.load_state_dict(before.state_dict())
    save_model(run, classifier.eval())
    network, file = WithPreprocessing(classifier.network, card).eval(), tmp_path / EXPORTERS[name].file_name
    example = torch.zeros(2, 9, 9, 1, dtype=torch.uint8)
    EXPORTERS[name].write(network, example, file, metadata_of(classifier, True).texts())
    expected = list(predict(run, [pictures]))
    assert fit == "squash" or expected != list(predict(trained_run, [pictures]))
    found = list(predict(file, [pictures], trust=True))
    assert [one.answer for one in found] == [one.answer for one in expected]
    for ours, other in zip(found, expected, strict=True):
        assert [p for _, p in ours.top] == pytest.approx([p for _, p in other.top], abs=0.01)
