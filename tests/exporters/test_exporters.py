"""Contracts that every registered export format keeps, and the parity gate."""

import importlib
import json
import shutil
from contextlib import nullcontext
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from source import ROOT
from torch import nn
from typer.testing import CliRunner

from nanonas import evaluate, export, load_model
from nanonas.app import app
from nanonas.core.errors import ExportError, NanonasError, RunError, UnknownName
from nanonas.data.dataset import load_dataset
from nanonas.exporters import EXPORTERS, Metadata
from nanonas.exporters.executorch import _folded
from nanonas.finish.export import check_loss, check_parity, metadata_of, parity, rounding, targets_of, training_pixels
from nanonas.models.classifier import Classifier, WithPreprocessing
from nanonas.models.inference import Model
from nanonas.runs.exported import ExportedFile
from nanonas.spaces import SPACES


def external(name: str) -> Any:
    """A format that needs an extra is tested where that is installed, among the external tests."""
    extra = EXPORTERS[name].extra
    missing = pytest.mark.skipif(bool(extra) and find_spec(extra) is None, reason=f"needs the extra {extra}")
    return pytest.param(name, marks=[pytest.mark.external, missing]) if extra else name


BASIC = [name for name in EXPORTERS if not EXPORTERS[name].extra]
FORMATS = [external(name) for name in EXPORTERS]
PIXELS = [name for name in EXPORTERS if EXPORTERS[name].takes_pixels]
INT8 = [external(name) for name in EXPORTERS if EXPORTERS[name].quantizes]
REQUIRED = [name for name, field in Metadata.model_fields.items() if field.is_required()]


def file_with_preprocessing(name: str, run: Path) -> Path:
    path = run / "exports" / EXPORTERS[name].file_name
    return path.with_stem(f"{path.stem}-pixels")


def training_images(run: Path) -> tuple[Classifier, np.ndarray, torch.Tensor]:
    """The network, 256 training images as pixels, and preprocessed."""
    classifier = load_model(run)
    pixels = training_pixels(load_dataset(classifier.card.data))
    return classifier, pixels, classifier.preprocess(pixels)


@pytest.fixture
def run(exported_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported_run, tmp_path / "run"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_computes_what_the_network_computes(name: str, exported_run: Path) -> None:
    model = EXPORTERS[name].read(exported_run / "exports" / EXPORTERS[name].file_name)
    classifier, _, x = training_images(exported_run)
    with torch.inference_mode():
        expected = classifier(x).numpy()
    for batch in (1, 2, 7, 64):
        logits = model.run(x[:batch].numpy())
        assert np.abs(logits - expected[:batch]).max() <= 1e-4
        assert (logits.argmax(1) == expected[:batch].argmax(1)).all()


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_carries_what_is_needed_to_use_it(name: str, exported_run: Path) -> None:
    metadata = EXPORTERS[name].read(exported_run / "exports" / EXPORTERS[name].file_name).metadata
    assert set(metadata) == set(Metadata.model_fields)
    classifier = load_model(exported_run)
    assert json.loads(metadata["classes"]) == list(classifier.classes)
    assert json.loads(metadata["mean"]) == list(classifier.card.mean)
    assert json.loads(metadata["std"]) == list(classifier.card.std)
    assert json.loads(metadata["input_size"]) == [1, 8, 8]
    assert json.loads(metadata["data"])["name"] == "digits"


def test_the_result_has_the_documented_fields(exported_run: Path) -> None:
    result = json.loads((exported_run / "export.json").read_text())
    assert (result["kind"], result["run"]) == ("export", str(exported_run))
    assert [entry["format"] for entry in result["files"]] == [
        *BASIC,
        *(f"{name}-pixels" for name in BASIC),
        *(f"{name}-int8" for name in BASIC if EXPORTERS[name].quantizes),
    ]
    assert result["test_accuracy"] == json.loads((exported_run / "train.json").read_text())["test_accuracy"]
    assert result["test_images"] == 359
    for entry in result["files"]:
        assert entry["bytes"] == (exported_run / entry["path"]).stat().st_size
        assert {"max_abs_diff", "top1_agreement", "latency_ms"} < set(entry)
        assert entry["test_accuracy"] == result["test_accuracy"] or entry["format"].endswith("int8")
    assert not [path for path in (exported_run / "exports").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", FORMATS)
def test_eval_of_a_file_equals_eval_of_its_run(name: str, run: Path) -> None:
    of_run = evaluate(run)
    of_file = evaluate(run / "exports" / EXPORTERS[name].file_name)
    for key in ("test_accuracy", "per_class", "params", "macs", "genotype", "test_images"):
        assert of_run[key] == of_file[key]
    assert of_run["ece"] == pytest.approx(of_file["ece"], abs=1e-4)


@pytest.mark.parametrize("name", PIXELS)
def test_eval_of_a_file_with_preprocessing_equals_eval_of_its_run(name: str, run: Path) -> None:
    of_run = evaluate(run)
    of_file = evaluate(file_with_preprocessing(name, run))
    assert of_run["test_accuracy"] == of_file["test_accuracy"]
    assert of_run["ece"] == pytest.approx(of_file["ece"], abs=1e-4)


# ---- int8


@pytest.mark.parametrize("name", INT8)
def test_int8_is_smaller_and_still_right(name: str, run: Path) -> None:
    files = {entry["format"]: entry for entry in json.loads((run / "export.json").read_text())["files"]}
    small, large = files[f"{name}-int8"], files[name]
    assert small["bytes"] < large["bytes"]
    assert small["top1_agreement"] > 0.9
    accuracy = evaluate(run / small["path"])["test_accuracy"]
    assert accuracy == small["test_accuracy"] > large["test_accuracy"] - 0.05


def test_8_bits_in_onnx_are_for_the_weights_that_have_a_scale_a_channel(
    gelu_network: nn.Module, tmp_path: Path
) -> None:
    path, images = tmp_path / "model.onnx", torch.randn(64, 3, 16, 16)
    EXPORTERS["onnx"].write_int8(gelu_network, images, path, {})
    graph = onnx.load_model(path).graph
    made = {name: node for node in graph.node for name in node.output}
    weights = {value.name: value.data_type for value in graph.initializer}
    sizes = {value.name: list(value.dims) for value in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            weight, scale, *_ = made[node.input[1]].input
            assert weights[weight] == onnx.TensorProto.INT8
            assert sizes[scale] == sizes[weight][:1]  # one for each channel that comes out
        if node.op_type == "BatchNormalization":
            assert all(weights[name] == onnx.TensorProto.FLOAT for name in node.input[1:])
    assert {"Conv", "Gemm", "BatchNormalization"} <= {node.op_type for node in graph.node}
    assert not any(len(name) > 3 for name in weights)
    found, wanted = EXPORTERS["onnx"].read(path).run(images.numpy()), gelu_network(images).detach().numpy()
    assert np.abs(found - wanted).max() < 0.05 * wanted.std()
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.9


def test_an_onnx_file_tells_nothing_of_the_machine_that_wrote_it(exported_run: Path) -> None:
    files = [path.read_bytes() for path in (exported_run / "exports").glob("*.onnx")]
    assert len(files) >= 2
    assert not any(word in content for content in files for word in (b"site-packages", b"stack_trace", b"network.py"))


def test_int8_lies_beside_its_float32_file_and_is_onnx_where_no_format_has_it() -> None:
    def files(*formats: str) -> list[str]:
        return [target.file_name for target in targets_of(formats, int8=True, with_preprocessing=False)]

    assert files() == ["model.onnx", "model-int8.onnx"]
    assert files("torchscript") == ["model.ts", "model.onnx", "model-int8.onnx"]
    assert files("onnx", "onnx") == ["model.onnx", "model-int8.onnx"]


@pytest.mark.parametrize("lost", [-5, 0, 10, 11])
def test_int8_may_lose_a_point(lost: int, exported_run: Path) -> None:
    entry = json.loads((exported_run / "export.json").read_text())["files"][0]
    float32 = ExportedFile.model_validate(entry | {"test_accuracy": 0.98})
    said = r"model-int8\.onnx is right on 96\.90% of 1,000 test images, model\.onnx on 98\.00%.*--force"
    with pytest.raises(ExportError, match=said) if lost > 10 else nullcontext():
        check_loss("model-int8.onnx", 0.98 - lost / 1000, float32, 1000)


def test_an_int8_file_that_loses_too_much_is_not_written_unless_forced(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run / "exports")
    exporter: Any = EXPORTERS["torchscript"]
    calibrated: list[torch.Tensor] = []

    def ruin(self: Any, network: nn.Module, images: torch.Tensor, path: Path, metadata: dict[str, str]) -> None:
        calibrated.append(images)
        self.write(Off(network, 10), images[:2], path, metadata)

    monkeypatch.setattr(type(exporter), "quantizes", True)
    monkeypatch.setattr(type(exporter), "write_int8", ruin)
    with pytest.raises(ExportError, match="more than a point is lost"):
        export(run, ["torchscript"], int8=True)
    classifier = load_model(run)
    train_images = load_dataset(classifier.card.data).train_images
    known = {image.numpy().tobytes() for image in classifier.preprocess(np.array(train_images))}
    assert len(calibrated[0]) == 256 and all(image.numpy().tobytes() in known for image in calibrated[0])
    assert [path.name for path in (run / "exports").glob("*.ts")] == ["model.ts"]
    files = export(run, ["torchscript"], int8=True, force=True)["files"]
    assert [entry["format"] for entry in files] == ["torchscript", "torchscript-int8"]
    assert files[1]["test_accuracy"] < files[0]["test_accuracy"] - 0.01


def test_an_export_is_one_look_at_test_data(run: Path) -> None:
    before = len((run / "test_looks.jsonl").read_text().splitlines())
    result = export(run, ["torchscript"], with_preprocessing=True)
    assert result["test_looks"] == before + 1 == len((run / "test_looks.jsonl").read_text().splitlines())


# ---- preprocessing in the file


@pytest.mark.parametrize("name", PIXELS)
def test_a_file_with_preprocessing_computes_the_networks_probabilities(name: str, exported_run: Path) -> None:
    file = EXPORTERS[name].read(file_with_preprocessing(name, exported_run))
    assert json.loads(file.metadata["with_preprocessing"]) is True
    classifier, pixels, images = training_images(exported_run)
    with torch.inference_mode():
        expected = classifier(images).softmax(1).numpy()
    for batch in (1, 2, 7, 64):
        assert np.abs(file.run(pixels[:batch]) - expected[:batch]).max() <= 1e-4


class Pixels(nn.Module):
    """Its input as logits, and a zero to compare them with."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.flatten(1), torch.zeros_like(x[:, :1, 0, 0])], 1)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("name", PIXELS)
def test_a_file_with_preprocessing_fits_and_resizes_as_nanonas_does(
    name: str, fit: str, exported_run: Path, tmp_path: Path
) -> None:
    classifier = load_model(exported_run)
    data = classifier.card.data.model_copy(update={"fit": fit})
    classifier.card = classifier.card.model_copy(update={"data": data})
    metadata = metadata_of(classifier, with_preprocessing=True).texts()
    path = tmp_path / EXPORTERS[name].file_name
    network = WithPreprocessing(Pixels(), classifier.card).eval()
    EXPORTERS[name].write(network, torch.zeros(2, 11, 13, 1, dtype=torch.uint8), path, metadata)
    file = EXPORTERS[name].read(path)
    std = np.array(classifier.card.std)
    for size in ((8, 8), (12, 10), (31, 44), (5, 9), (9, 5), (1, 3), (200, 100)):
        pixels = np.random.default_rng(0).integers(0, 256, (7, *size, 1), dtype=np.uint8)
        found = np.log(file.run(pixels).astype(np.float64))
        levels = (found[:, :-1] - found[:, -1:] - classifier.preprocess(pixels).numpy().reshape(7, -1)) * std * 255
        assert np.abs(levels).max() < (0.01 if size == (8, 8) else 1.01)


def test_a_file_that_resizes_in_another_way_is_not_left(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.nn.functional.interpolate", lambda x, size, **_: x[:, :, : size[0], : size[1]])
    shutil.rmtree(run / "exports")
    with pytest.raises(ExportError, match="resizes images in another way"):
        export(run, ["torchscript"], with_preprocessing=True)
    assert [path.name for path in (run / "exports").glob("*.ts")] == ["model.ts"]


def test_preprocessing_needs_a_format_that_takes_pixels(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(EXPORTERS["pt2"]), "takes_pixels", False)
    with pytest.raises(ExportError, match=r"pt2 has no file with preprocessing; allowed: onnx, torchscript"):
        export(run, ["onnx", "pt2"], with_preprocessing=True)


# ---- the gate


class Off(nn.Module):
    def __init__(self, network: nn.Module, by: float) -> None:
        super().__init__()
        self.network, self.by = network, by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) + self.by * torch.arange(10)


@pytest.mark.parametrize("by", [1e-3, float("nan")])
def test_a_file_that_computes_something_else_is_not_left(by: float, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "exports")
    exporter: Any = EXPORTERS["torchscript"]
    write = type(exporter).write
    monkeypatch.setattr(
        type(exporter), "write", lambda self, net, x, path, data: write(self, Off(net, by), x, path, data)
    )
    with pytest.raises(ExportError, match="computes something else"):
        export(run, ["torchscript"])
    assert list((run / "exports").iterdir()) == []


def test_another_class_for_one_image_is_enough_to_fail(exported_run: Path) -> None:
    classifier, pixels, images = training_images(exported_run)
    assert len(pixels) == 256
    with torch.inference_mode():
        logits = classifier(images).numpy()
    assert parity(logits, logits.copy()) == (0.0, 1.0)
    other = logits.copy()
    other[17] = np.roll(other[17], 1)
    with pytest.raises(ExportError, match=r"top-1 agrees on 99\.61%"):
        check_parity("onnx", *parity(logits, other), 256)


def test_a_file_may_be_off_by_a_few_of_the_roundings_of_the_network() -> None:
    plain, cancelling = nn.Linear(3, 2, dtype=torch.float32), nn.Linear(3, 2)
    with torch.no_grad():
        cancelling.weight.fill_(1e4)
        cancelling.bias.fill_(-1e4)
    images = torch.rand(8, 3, generator=torch.Generator().manual_seed(0)) / 3
    own = [rounding(nn.Sequential(nn.Flatten(), net), images[:, :, None, None]) for net in (plain, cancelling)]
    assert own[0] < 1e-6
    assert 1e-4 < own[1] < 1e-2
    check_parity("onnx", 3 * own[1], 1.0, 8, lambda: own[1])
    for difference, agreement, known in [
        (5 * own[1], 1.0, own[1]),
        (3 * own[1], 0.9, own[1]),
        (3 * own[1], 1.0, own[0]),
    ]:
        with pytest.raises(ExportError, match="computes something else"):
            check_parity("onnx", difference, agreement, 8, lambda known=known: known)
    with pytest.raises(ExportError, match=r"\(allowed 0\.0001\)"):
        check_parity("onnx", float("nan"), 1.0, 8, lambda: float("nan"))


def test_an_unknown_format_suggests_the_nearest(run: Path) -> None:
    with pytest.raises(UnknownName, match="unknown format 'onx'; did you mean 'onnx'"):
        export(run, ["onx"])


def test_a_format_of_an_extra_that_is_missing_says_what_to_type(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanonas.exporters.find_spec", lambda name: None)
    (run / "exports" / "model.pte").write_bytes(b"")
    looks = (run / "test_looks.jsonl").read_text()
    for attempt in (lambda: export(run, ["executorch"]), lambda: evaluate(run / "exports" / "model.pte", trust=True)):
        with pytest.raises(
            ExportError, match=r"executorch is not installed; type: pip install 'nanonas\[executorch\]'"
        ):
            attempt()
    assert (run / "test_looks.jsonl").read_text() == looks


def test_exporting_one_format_keeps_the_others_listed(run: Path) -> None:
    before = [entry["path"] for entry in json.loads((run / "export.json").read_text())["files"]]
    assert [entry["path"] for entry in export(run, ["pt2"])["files"]] == before


# ---- bad files


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"garbage" * 100, None])
def test_a_damaged_file_is_one_line(name: str, content: bytes | None, run: Path) -> None:
    path = run / "exports" / EXPORTERS[name].file_name
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if content is None else content)
    with pytest.raises(NanonasError) as caught:
        evaluate(path, trust=True)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_can_hold_code_needs_trust_outside_its_run(name: str, run: Path, tmp_path: Path) -> None:
    exporter = EXPORTERS[name]
    stray = Path(shutil.copy(run / "exports" / exporter.file_name, tmp_path / exporter.file_name))
    if exporter.holds_code:
        with pytest.raises(ExportError, match="--trust"):
            evaluate(stray)
    assert evaluate(stray, trust=True)["format"] == name


def test_batch_norms_that_follow_no_convolution_become_one(gelu_network: nn.Module) -> None:
    def bare(network: nn.Module) -> int:
        pairs = [p for s in network.modules() if isinstance(s, nn.Sequential) for p in pairwise([None, *s])]
        return sum(isinstance(b, nn.BatchNorm2d) and not isinstance(a, nn.Conv2d) for a, b in pairs)

    for module in gelu_network.eval().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    folded, x = _folded(gelu_network), torch.randn(5, 3, 16, 16)
    assert (bare(gelu_network), bare(folded)) == (1, 0)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), gelu_network(x))


def test_a_file_of_a_stranger_leads_nowhere(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (run / ".lock").symlink_to(precious)
    with pytest.raises(RunError, match=r"\.lock is a symbolic link"):
        evaluate(run / "exports" / "model.onnx")
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("name", [external(name) for name in EXPORTERS if EXPORTERS[name].holds_code])
def test_a_run_directory_of_a_stranger_does_not_vouch_for_code(
    name: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run / "exports" / EXPORTERS[name].file_name
    monkeypatch.setenv("NANONAS_CACHE", str(tmp_path))  # that of another user
    with pytest.raises(ExportError, match="not exported on this machine; add --trust"):
        evaluate(path)
    assert evaluate(path, trust=True)["format"] == name


def test_a_changed_file_in_a_run_needs_trust(run: Path) -> None:
    path = run / "exports" / "model.ts"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ExportError, match="--trust"):
        evaluate(path)


@pytest.mark.parametrize("drop", REQUIRED)
def test_a_file_of_others_says_what_it_lacks(drop: str, run: Path, tmp_path: Path) -> None:
    classifier = load_model(run)
    metadata = metadata_of(classifier).texts()
    x = torch.zeros(2, 1, 8, 8)
    EXPORTERS["torchscript"].write(classifier.network, x, tmp_path / "model.ts", {**metadata, drop: ""})
    with pytest.raises(ExportError, match=f"does not say its {drop}"):
        evaluate(tmp_path / "model.ts", trust=True)
    EXPORTERS["torchscript"].write(classifier.network, x, tmp_path / "model.ts", {**metadata, drop: "[[["})
    with pytest.raises(ExportError, match=f"its {drop} cannot be read"):
        evaluate(tmp_path / "model.ts", trust=True)


@pytest.mark.parametrize(
    "change",
    [{"mean": "[NaN]"}, {"std": "[0.0]"}, {"mean": "[0.5, 0.5]"}, {"input_size": "[]"}, {"data": '{"name": "x"}'}],
)
def test_metadata_that_cannot_be_true_is_one_line(change: dict[str, str], run: Path, tmp_path: Path) -> None:
    classifier = load_model(run)
    metadata = metadata_of(classifier).texts() | change
    EXPORTERS["torchscript"].write(classifier.network, torch.zeros(2, 1, 8, 8), tmp_path / "model.ts", metadata)
    with pytest.raises(ExportError, match="damaged") as caught:
        evaluate(tmp_path / "model.ts", trust=True)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_wrongly_says_it_preprocesses_is_one_line(run: Path, tmp_path: Path) -> None:
    classifier = load_model(run)
    metadata = metadata_of(classifier, with_preprocessing=True).texts()
    EXPORTERS["onnx"].write(classifier.network, torch.zeros(2, 1, 8, 8), tmp_path / "model.onnx", metadata)
    with pytest.raises(ExportError, match="loads but does not run"):
        evaluate(tmp_path / "model.onnx")


def test_a_file_of_a_run_counts_its_looks_at_test_data(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = [evaluate(run / "exports" / "model.onnx")["test_looks"] for _ in range(2)]
    assert looks[1] == looks[0] + 1
    result = evaluate(run / "exports" / "model.onnx")
    assert (result["run"], result["file"]) == (str(run), "exports/model.onnx")
    stray = Path(shutil.copy(run / "exports" / "model.onnx", tmp_path / "model.onnx"))
    assert evaluate(stray)["test_looks"] is None
    monkeypatch.chdir(run / "exports")
    inside = evaluate("model.onnx")
    assert (inside["run"], inside["test_looks"]) == (str(run), looks[1] + 2)


def test_a_look_counts_whatever_comes_of_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = evaluate(run / "exports" / "model.onnx")["test_looks"]
    monkeypatch.setattr(Model, "outputs", lambda model, pixels: 1 / 0)
    with pytest.raises(ExportError, match="does not run"):
        evaluate(run / "exports" / "model.onnx")
    monkeypatch.undo()
    assert evaluate(run / "exports" / "model.onnx")["test_looks"] == before + 2


def test_outputs_that_are_no_numbers_are_one_line(run: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(run / "model.safetensors")
    save_file(
        {key: t * float("nan") if t.is_floating_point() else t for key, t in tensors.items()}, run / "model.safetensors"
    )
    with pytest.raises(ExportError, match="not finite"):
        evaluate(run)


def test_an_onnx_model_of_others_is_one_line(tmp_path: Path) -> None:
    import onnx

    empty = onnx.helper.make_graph([], "empty", [], [])
    onnx.save_model(onnx.helper.make_model(empty), str(tmp_path / "model.onnx"))
    with pytest.raises(ExportError) as caught:
        evaluate(tmp_path / "model.onnx")
    assert len(str(caught.value).splitlines()) == 1


def test_a_format_that_fails_leaves_the_ones_before_it_listed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", "model.pt2")

    monkeypatch.setattr(type(EXPORTERS["pt2"]), "write", refuse)
    (run / "export.json").unlink()
    with pytest.raises(OSError, match="No space"):
        export(run, ["torchscript", "pt2"])
    assert evaluate(run / "exports" / "model.ts")["format"] == "torchscript"  # trusted, since it is listed


def test_a_full_disk_is_one_line_and_leaves_nothing(run: Path) -> None:
    shutil.rmtree(run / "exports")
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, before[1]))
    try:
        done = CliRunner().invoke(app, ["export", str(run), "--format", "torchscript"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.exit_code == 1, done.stderr
    assert "error: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((run / "exports").iterdir()) == []
    assert not (run / ".lock").exists()


def test_moved_images_can_be_named(run: Path) -> None:
    said: list[str] = []
    export(run, ["torchscript"], overrides=["data.root=/nowhere"], say=said.append)
    assert any("data.root /nowhere is not used" in text for text in said)


def test_an_unknown_suffix_lists_the_known(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_text("")
    with pytest.raises(ExportError, match=r"allowed: \.pte, \.onnx, \.pt2, \.ts"):
        evaluate(tmp_path / "model.h5")
    with pytest.raises(NanonasError, match="nanonas export RUN"):
        evaluate(tmp_path / "model.onnx")


@pytest.mark.parametrize("space", list(SPACES))
def test_random_networks_export(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of those of benchmarks/exports.py: ONNX, TorchScript and pt2 at batches of 1, 2 and 7."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    exports = importlib.import_module("exports")
    shallow = {"cells": 1} if space == "nasbench201" else {"depths": [1]} if space == "mobile" else {"cells": [1]}
    settings = [given | shallow for given in exports.SETTINGS.get(space, [{}])]
    monkeypatch.setitem(exports.SETTINGS, space, settings)  # the others take minutes
    row = exports.measure(space, 2, 0)
    assert (row["genotypes"], row["failures"]) == (2, [])
