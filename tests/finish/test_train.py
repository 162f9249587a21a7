"""The last training: complete, tested once, resumable, and never overwritten."""

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from nanonas import compare, evaluate, export, load_model, train
from nanonas.app import app
from nanonas.core.errors import EvaluationError, NanonasError, RunError, SpecError
from nanonas.data.dataset import load_dataset
from nanonas.devices.compute import threads
from nanonas.devices.machine import AdaptiveThreads
from nanonas.finish import train as winner
from nanonas.networks.weights import load_tensors, save_tensors
from nanonas.runs.directory import count_test_look
from nanonas.training.recipe import Progress
from nanonas.training.trainer import Trainer


@pytest.fixture
def untrained(run: Path) -> Path:
    for name in ("train.json", "model.safetensors", "model.json", "test_looks.jsonl"):
        (run / name).unlink()
    return run


def test_a_trained_run_is_complete(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"model.safetensors", "model.json", "train.json", "test_looks.jsonl"} < names
    assert not any("checkpoint" in name or name.startswith(".") for name in names)
    result = json.loads((run / "train.json").read_text())
    assert result["kind"] == "train"
    assert result["genotype"] == json.loads((run / "search.json").read_text())["best"]["genotype"]
    assert result["epochs"] == 2
    assert [record["epoch"] for record in result["history"]] == [1, 2]
    assert result["test_looks"] == 1
    assert 0.1 < result["test_accuracy"] <= 1


def test_train_again_prints_its_result(run: Path) -> None:
    before = (run / "train.json").read_text()
    assert train(run) == json.loads(before) | {"run": str(run)}  # where it is now
    assert (run / "train.json").read_text() == before
    assert len((run / "test_looks.jsonl").read_text().splitlines()) == 1


def test_a_training_of_a_version_that_knew_fewer_settings_is_the_same(run: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.record:
            raise KeyboardInterrupt

    result = json.loads((run / "train.json").read_text())
    del result["request"]["train"]["shift_rate"]
    (run / "train.json").write_text(json.dumps(result))
    assert train(run)["test_accuracy"] == result["test_accuracy"]
    (run / "train.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        train(run, on_progress=kill)
    tensors, metadata = load_tensors(run / "checkpoint.safetensors")
    state = json.loads(metadata["state"])
    request = json.loads(state["request"])
    del request["train"]["shift_rate"]
    old = json.dumps(state | {"request": json.dumps(request)})
    save_tensors(run / "checkpoint.safetensors", tensors, {"state": old})
    said: list[str] = []
    assert train(run, say=said.append)["test_accuracy"] == result["test_accuracy"]
    assert any("continuing after epoch 1" in text for text in said)
    with pytest.raises(RunError, match="another train"):
        train(run, overrides=["train.shift_rate=2"])


def test_what_was_said_of_an_earlier_model_goes_with_it(untrained: Path) -> None:
    for name in ("eval.json", "export.json"):
        (untrained / name).write_text("{}")
    train(untrained)
    assert not (untrained / "eval.json").exists()
    assert not (untrained / "export.json").exists()


def test_a_run_trained_on_other_data_is_evaluated_and_exported_with_those(untrained: Path) -> None:
    train(untrained, overrides=["data.image_size=16"])
    assert evaluate(untrained)["test_accuracy"] == json.loads((untrained / "eval.json").read_text())["test_accuracy"]
    assert export(untrained, ["torchscript"])["files"][0]["top1_agreement"] == 1


@pytest.mark.parametrize(("override", "word"), [("train.epochs=3", "train"), ("seed=9", "seed")])
def test_another_setting_needs_out(override: str, word: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"another {word}.*--out"):
        train(run, overrides=[override])
    result = train(run, overrides=[override], out=tmp_path / "other")
    assert result["run"] == str(tmp_path / "other")
    assert load_model(tmp_path / "other").card.genotype == result["genotype"]


def test_another_genotype_needs_out(run: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (run / "trials.jsonl").read_text().splitlines()]
    best = json.loads((run / "search.json").read_text())["best"]["genotype"]
    other = next(line["genotype"] for line in lines if line["genotype"] != best)
    with pytest.raises(RunError, match="another genotype"):
        train(run, other)
    assert train(run, other, out=tmp_path / "other")["genotype"] == other


@pytest.mark.parametrize(("saving", "saved"), [(1e9, 2), (1e-9, 1)])
def test_a_killed_training_goes_on_from_the_last_epoch_that_was_saved(
    saving: float, saved: int, untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winner, "SAVING", saving)
    straight = train(untrained, overrides=["train.epochs=4"], out=tmp_path / "straight")

    class Killed(Exception):
        pass

    def kill(progress: Progress) -> None:
        if progress.record and progress.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        train(untrained, overrides=["train.epochs=4"], out=tmp_path / "killed", on_progress=kill)
    said: list[str] = []
    resumed = train(untrained, overrides=["train.epochs=4"], out=tmp_path / "killed", say=said.append)
    assert any(f"continuing after epoch {saved}" in text for text in said)
    losses = [[record["train_loss"] for record in result["history"]] for result in (straight, resumed)]
    assert losses[0] == losses[1]
    first, second = (load_model(tmp_path / name).state_dict() for name in ("straight", "killed"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_half_done_training_with_other_settings_is_not_continued(untrained: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(untrained, on_progress=kill)
    with pytest.raises(RunError, match="other settings"):
        train(untrained, overrides=["train.epochs=5"])
    checkpoint = untrained / "checkpoint.safetensors"
    tensors, metadata = load_tensors(checkpoint)
    for lost in ("network.", "momentum."):
        name = next(name for name in tensors if name.startswith(lost) and name.endswith(".weight"))
        save_tensors(checkpoint, {key: tensor for key, tensor in tensors.items() if key != name}, metadata)
        with pytest.raises(RunError, match="damaged"):
            train(untrained)
    state = json.loads(metadata["state"]) | {"request": "{"}
    save_tensors(checkpoint, tensors, {"state": json.dumps(state)})
    with pytest.raises(RunError, match="damaged"):
        train(untrained)
    checkpoint.write_bytes(b"torn")
    with pytest.raises(RunError, match="damaged"):
        train(untrained)


def test_what_only_a_search_reads_is_named(untrained: Path) -> None:
    said: list[str] = []
    train(untrained, overrides=["evaluator.epochs=9", "train.epochs=1"], say=said.append)
    assert any("--set changes evaluator, but training reads only seed" in line for line in said)


def test_minutes_fit_the_epochs(untrained: Path) -> None:
    result = train(untrained, overrides=["train.minutes=0.03", "train.epochs=1"])
    assert result["epochs"] > 1
    assert result["train_seconds"] < 60


def test_a_long_epoch_is_cut_when_the_machine_slows_down(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Trainer._step

    def slow(trainer: Trainer, *of: Any) -> torch.Tensor:
        time.sleep(0.01)
        return step(trainer, *of)

    monkeypatch.setattr(Trainer, "_step", slow)
    monkeypatch.setattr(winner, "FIT_SECONDS", 0.1)
    monkeypatch.setattr(winner._Training, "_calibrate", lambda training: 1e-4)  # as if a step took next to no time
    result = train(untrained, overrides=["train.minutes=0.02", "train.batch_size=2"])
    assert result["epochs"] == 1
    assert result["train_seconds"] < 4  # its 718 steps would take 7


def test_a_run_that_train_made_trains_again(run: Path, tmp_path: Path) -> None:
    result = train(run, overrides=["seed=5"], out=tmp_path / "other")
    assert train(tmp_path / "other") == result


def test_a_half_done_training_says_what_goes_on(run: Path, tmp_path: Path) -> None:
    def kill(progress: Progress) -> None:
        if progress.record:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, overrides=["seed=5"], out=tmp_path / "other", on_progress=kill)
    with pytest.raises(RunError, match="a training that is not done; type the command again that began it"):
        train(tmp_path / "other")


def test_a_training_that_another_process_has_just_done_is_not_done_again(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results: list[dict[str, Any]] = []

    def slowly(*arguments: Any) -> Any:
        monkeypatch.undo()
        results.append(train(untrained))
        return load_dataset(*arguments)

    monkeypatch.setattr(winner, "load_dataset", slowly)
    results.append(train(untrained))
    assert results[0] == results[1]
    assert results[1]["test_looks"] == 1
    assert len((untrained / "test_looks.jsonl").read_text().splitlines()) == 1


def test_a_run_whose_path_is_no_text_is_trained(untrained: Path, tmp_path: Path) -> None:
    run = untrained.rename(tmp_path / os.fsdecode(b"l\xe4ufe"))
    assert "l?ufe" in train(run)["search"]["run"]
    assert json.loads((run / "train.json").read_text())["kind"] == "train"
    assert compare([run], html=tmp_path / "report.html")["groups"][0]["n"] == 1


def test_weights_that_are_no_numbers_are_no_result(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overflowing(training: Any, start: float) -> None:
        epoch(training, start)
        next(training.classifier.network.buffers()).fill_(float("inf"))

    epoch = winner._Training._epoch
    monkeypatch.setattr(winner._Training, "_epoch", overflowing)
    with pytest.raises(EvaluationError, match=r"no finite numbers; .* --out DIR --set train.learning_rate="):
        train(untrained)
    assert not (untrained / "train.json").exists()
    assert not (untrained / "test_looks.jsonl").exists()


def test_a_loss_that_is_no_number_says_what_to_type(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "_gradient", lambda *arguments: torch.tensor(float("nan")))
    with pytest.raises(EvaluationError, match=r"loss is nan after epoch 1; .* --out DIR --set train.learning_rate="):
        train(untrained)


def test_out_of_memory_says_what_to_type(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: Any, **more: Any) -> float:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(Trainer, "run_epoch", exhausted)
    with pytest.raises(EvaluationError, match=r"out of memory; .* --set train\.batch_size=\d+$"):
        train(untrained)


def test_a_kill_while_testing_is_one_training(untrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(winner, "predict", killed)
        train(untrained)
    assert train(untrained)["test_looks"] == 2
    checks = {check["item"]: check for check in compare([untrained])["conformance"]}
    assert checks["no choice made on test data"]["status"] == "pass"


def test_images_that_have_changed_are_trained_on_elsewhere(run: Path, tmp_path: Path) -> None:
    begun = json.loads((run / "environment.json").read_text())
    begun["data"]["fingerprint"] = "0" * 64
    (run / "environment.json").write_text(json.dumps(begun))
    (run / "train.json").unlink()
    with pytest.raises(RunError, match="choose another --out"):
        train(run)
    said: list[str] = []
    assert train(run, out=tmp_path / "other", say=said.append)["data"]["fingerprint"] != "0" * 64
    assert f"warning: {run} was begun on other data; this training is on what lies there now" in said


def test_an_out_that_holds_another_search_is_refused(run: Path, untrained: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(untrained, tmp_path / "search"))
    with pytest.raises(RunError, match="a search of its own"):
        train(run, overrides=["seed=5"], out=other)


def test_a_training_killed_in_its_first_moment_can_begin_again(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    out.mkdir()
    (out / ".lock").write_text("1")
    shutil.copy(run / "environment.json", out)
    assert train(run, overrides=["seed=5"], out=out)["kind"] == "train"
    assert (out / "spec.yaml").exists()


def test_a_device_that_is_not_there_leaves_nothing(run: Path, tmp_path: Path) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("it is there")
    with pytest.raises(SpecError, match="mps is not available"):
        train(run, overrides=["device=mps"], out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_relative_root_is_stored_absolute(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(run, overrides=["data.root=photos"], out=tmp_path / "other")
    assert load_model(tmp_path / "other").card.data.root == str(tmp_path / "photos")


def test_an_unfinished_search_can_be_trained(untrained: Path) -> None:
    (untrained / "search.json").unlink()
    assert train(untrained)["test_accuracy"] > 0


def test_no_finished_trial_is_one_line(untrained: Path) -> None:
    (untrained / "trials.jsonl").unlink()
    with pytest.raises(RunError, match=r"no finished trial yet; run: nanonas search --spec .*spec.yaml --out "):
        train(untrained)


def test_bad_genotypes_are_one_line(untrained: Path) -> None:
    with pytest.raises(SpecError, match="not of the form"):
        train(untrained, "resnet50")
    dead = "w8/" + "/".join(["x1:none+none,none+none,none,none"] * 3)
    with pytest.raises(SpecError, match="nothing to train"):
        train(untrained, dead)


@pytest.mark.parametrize("what", ["missing", "file", "folder"])
def test_what_is_no_run_is_one_line(what: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.write_text("")
    elif what == "folder":
        path.mkdir()
    with pytest.raises(RunError, match="does not exist" if what == "missing" else "not a run directory"):
        train(path)


def test_an_out_that_is_something_else_is_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("")
    with pytest.raises(RunError, match="not a run directory"):
        train(run, overrides=["seed=5"], out=out)


# ---- the model


def test_a_loaded_model_preprocesses_anything(run: Path, tmp_path: Path) -> None:
    from PIL import Image

    model = load_model(run)
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 1), dtype=np.uint8)
    x = model.preprocess(pixels)
    assert x.shape == (5, 1, 8, 8)
    expected = (pixels.transpose(0, 3, 1, 2) / 255 - model.card.mean[0]) / model.card.std[0]
    assert np.allclose(x.numpy(), expected, atol=1e-5)
    image = Image.fromarray(pixels[0, :, :, 0])
    image.save(tmp_path / "digit.png")
    for one in (image, tmp_path / "digit.png", str(tmp_path / "digit.png"), pixels[0]):
        assert torch.equal(model.preprocess(one), x[:1])
    assert model.preprocess([image.resize((30, 20)).convert("RGB")]).shape == (1, 1, 8, 8)
    assert not model.training
    label, probability = model.classify(image)[0]
    assert label in model.classes
    assert 0.1 <= probability <= 1


def test_an_untrained_run_says_what_to_type(untrained: Path) -> None:
    with pytest.raises(RunError, match="no trained model yet; run: nanonas train"):
        load_model(untrained)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 8 + b"{}"),
        ("model.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00[]"),
        ("model.safetensors", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"),
        ("model.safetensors", None),
        ("model.json", b""),
        ("model.json", b"{}"),
        ("model.json", b"[" * 100_000),
    ],
)
def test_damaged_model_files_are_one_line(name: str, content: bytes | None, run: Path) -> None:
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: len(data) // 2] if content is None else content)
    with pytest.raises(RunError) as caught:
        load_model(run)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"genotype": "w8/../../etc"},
        {"space": {"name": "nano", "widths": [512], "cells": [8]}},
        {"space": {"name": "os.system"}},
        {"classes": ["only"]},
        {"mean": [0.5, 0.5]},
        {"mean": ["x"]},
        {"input_size": [1, 10**9, 10**9]},
        {"schema_version": 9},
        {"extra": 1},
        {"classes": [str(i) for i in range(90_000)]},
    ],
)
def test_a_hostile_card_is_one_line(change: dict[str, object], run: Path) -> None:
    card = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(card | change))
    with pytest.raises(NanonasError) as caught:
        load_model(run)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("other", [torch.zeros(1000), None])
def test_weights_of_another_network_are_refused(other: torch.Tensor | None, run: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor.clone() for name, tensor in load_file(run / "model.safetensors").items()}
    name = next(key for key in tensors if key.endswith("weight"))
    save_file(tensors | {name: tensors[name].double() if other is None else other}, run / "model.safetensors")
    with pytest.raises(RunError, match="does not fit"):
        load_model(run)


@pytest.mark.parametrize("change", [{"test_accuracy": [1]}, {"params": None}, {"macs": 10**400}, {"device": 3}])
def test_a_damaged_result_is_refused_and_not_shown(change: dict[str, object], run: Path) -> None:
    result = json.loads((run / "train.json").read_text())
    (run / "train.json").write_text(json.dumps(result | change))
    with pytest.raises(RunError, match=f"train.json is damaged: {next(iter(change))}"):
        train(run)


def test_a_count_of_looks_needs_no_text(run: Path) -> None:
    (run / "test_looks.jsonl").write_bytes(b"\xff\n\xfe\n")
    assert count_test_look(run, "eval") == 3


def with_little_memory(*command: str) -> Result:
    """The command in this process, which may take 3 GB more than it has: another one would import torch for seconds."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    taken = re.search(r"VmData:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert taken
    resource.setrlimit(resource.RLIMIT_DATA, (1000 * int(taken[1]) + 3_000_000_000, before[1]))
    try:
        return CliRunner().invoke(app, list(command))
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.parametrize(
    "name", ["test_looks.jsonl", "model.safetensors", "checkpoint.safetensors", "exports/model.onnx"]
)
def test_a_hole_of_many_gigabytes_is_not_read(name: str, run: Path) -> None:
    (run / "exports").mkdir(exist_ok=True)
    with (run / name).open("wb") as file:
        file.write(b"\xff" * 7 + b"\x0f")  # the length of a safetensors header
        file.truncate(50_000_000_000)
    if name == "checkpoint.safetensors":
        (run / "train.json").unlink()
    command = ["train" if name == "checkpoint.safetensors" else "eval", str(run / name if "/" in name else run)]
    done = with_little_memory(*command)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("error: "), done.stderr


def test_a_network_larger_than_any_memory_is_not_built(run: Path) -> None:
    card = json.loads((run / "model.json").read_text())
    card["space"] |= {"widths": [512], "cells": [8]}
    stage = "x8:conv_3x3+conv_3x3,conv_3x3+conv_3x3,conv_3x3,conv_3x3"
    (run / "model.json").write_text(json.dumps(card | {"genotype": f"w512/{stage}/{stage}/{stage}"}))
    with (run / "model.safetensors").open("r+b") as file:
        file.truncate(50_000_000_000)
    done = with_little_memory("eval", str(run))
    assert done.stderr.splitlines()[-1].startswith(f"error: {run}/model.safetensors is damaged"), done.stderr


def test_a_training_beside_busy_processes_says_so_and_counts_its_steps(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winner, "threads_pay", lambda macs, batch_size: True)
    monkeypatch.setattr(AdaptiveThreads, "threads", property(lambda room: 1))
    said: list[str] = []
    with threads(2):
        result = train(untrained, say=said.append)
    assert result["threads"] == 2
    assert result["crowded_steps"] == result["epochs"] * (1438 // 64)
    assert [text for text in said if "other processes are busy" in text] == [
        "warning: other processes are busy; while they are, fewer than 2 threads train"
    ]


def test_a_small_network_trains_on_one_thread(untrained: Path) -> None:
    with threads(2):
        result = train(untrained)
    assert result["threads"] == 1 and result["crowded_steps"] == 0
