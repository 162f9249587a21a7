"""Names of classes and folders that are anything go through the whole pipeline, as a user types it: none breaks out of
HTML, Markdown, a shell or a format."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from PIL import Image
from typer.testing import CliRunner

from nanonas.app import app
from nanonas.exporters import EXPORTERS
from nanonas.finish.export import targets_of

CLASSES = ("<script>alert(1)<", "`|*_[x](http:x)", "' \"; rm -rf $HOME &amp; – ö 猫 {{0}} %s")
FORMATS = [name for name in EXPORTERS if not EXPORTERS[name].extra]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A copy of the preset for folders, on images under names that no one should choose."""
    root = tmp_path / "Bilder 'für' \"uns\" & <b> #1: [x]"
    rng = np.random.default_rng(0)
    for shade, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(60 * shade, 60 * shade + 60, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"ä {number}.png")
    printed = yaml.safe_load(call("presets", "folder-evo"))
    printed["data"] |= {"root": str(root), "image_size": 8}
    printed |= {"space": {"name": "nano", "widths": [8], "cells": [1]}, "budget": {"trials": 2}, "train": {"epochs": 2}}
    printed |= {"evaluator": {"name": "training", "epochs": 1}, "executor": {"name": "inline"}, "device": "cpu"}
    path = tmp_path / "mein 'Spec'.yaml"
    path.write_text(yaml.safe_dump(printed, allow_unicode=True), encoding="utf-8")
    return path


def call(*arguments: object) -> str:
    environment = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_from_search_to_report(spec: Path, tmp_path: Path) -> None:
    run = tmp_path / "läufe & <i>" / "ein \"run\" 'x'"
    call("search", "--spec", spec, "--out", run, "--quiet")
    call("train", run, "--quiet")
    assert all(name in call("eval", run, "--quiet") for name in CLASSES)
    formats = [word for name in FORMATS for word in ("--format", name)]
    table = call("export", run, *formats, "--int8", "--with-preprocessing", "--force", "--quiet")
    for target in targets_of(FORMATS, int8=True, with_preprocessing=True):
        assert f"exports/{target.file_name}" in table
        document: dict[str, Any] = json.loads(call("eval", run / "exports" / target.file_name, "--json", "--quiet"))
        assert tuple(sorted(document["per_class"])) == tuple(sorted(CLASSES))
    card = json.loads((run / "exports" / "model.json").read_text(encoding="utf-8"))
    assert sorted(card["classes"]) == sorted(CLASSES)
    shown = MarkdownIt("commonmark").render((run / "exports" / "model.md").read_text(encoding="utf-8"))
    assert "<script" not in shown
    assert "<code>&lt;script&gt;alert(1)&lt;</code>, <code>" in shown

    html, plots = tmp_path / "report ü.html", tmp_path / "plots ü"
    compared: dict[str, Any] = json.loads(call("compare", run, "--html", html, "--plots", plots, "--json"))
    page = html.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert not [name for name in (*CLASSES, run.name) if set(name) & set("<&\"'") and name in page]
    assert len(list(plots.iterdir())) == 2 * 5
    command = shlex.split(compared["groups"][0]["runs"][0]["commands"][0])
    assert command == ["nanonas", "search", "--spec", str(run / "spec.yaml"), "--out", f"{run}-again"]
