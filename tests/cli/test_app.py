"""The command line: what it prints, where, and with which exit code."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nanonas.app import app
from nanonas.spaces.nasbench201 import PUBLISHED
from nanonas.spec.load import preset_names

ENVIRONMENT = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
COMMANDS = ("search", "train", "eval", "export", "predict", "compare", "presets")
TINY = [
    "--set",
    "space.widths=[8]",
    "--set",
    "space.cells=[1]",
    "--set",
    "evaluator.epochs=1",
    "--set",
    "train.epochs=2",
]
FAKE = ["--set", "evaluator.name=fake", "--set", "executor.name=inline", "--set", "budget.trials=6"]


def call(*arguments: object, stdin: str | None = None) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, env=ENVIRONMENT)


def error(*arguments: object, code: int = 1, stdin: str | None = None) -> str:
    """What a mistake prints: nothing on stdout, one line on stderr (usage errors have typer's frame)."""
    result = call(*arguments, stdin=stdin)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if code == 1:
        lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, result.stderr
        return str(lines[0])
    return " ".join(result.stderr.split())


# ---- help


def test_help_lists_every_command() -> None:
    said = call("--help").stdout
    assert all(f"{name} " in said for name in COMMANDS)
    assert "<bool>" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_two_commands(name: str) -> None:
    said = call(name, "--help").stdout
    assert said.count(f"nanonas {name}") >= 2
    assert "Traceback" not in said
    assert "<bool>" not in said  # of a flag


def test_version() -> None:
    assert call("--version").stdout.startswith("nanonas 0.")


def test_help_imports_no_torch() -> None:
    script = (
        "import sys\nsys.argv = ['nanonas', '--help']\nfrom nanonas.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'pydantic', 'yaml', 'scipy', 'onnx') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"


# ---- search


def test_search_prints_the_winner_and_what_random_reached(tmp_path: Path) -> None:
    result = call("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "winner" in result.stdout
    assert "random" in result.stdout
    assert "n=6" in result.stdout
    assert "stage 1" in result.stdout
    assert f"nanonas train {tmp_path / 'run'}" in result.stdout


def test_json_is_all_that_is_on_stdout(tmp_path: Path) -> None:
    result = call("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "run", "--json")
    document = json.loads(result.stdout)
    assert document == json.loads((tmp_path / "run" / "search.json").read_text())
    again = call("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "run", "--json", "--quiet")
    assert again.stdout == result.stdout
    assert again.stderr == ""


def test_without_out_the_run_is_named_after_spec_and_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("search", "--preset", "digits-evo", *FAKE, "--set", "seed=4").exit_code == 0
    assert (tmp_path / "runs" / "digits-evo-seed4" / "search.json").exists()


def test_the_spec_of_a_run_repeats_it(tmp_path: Path) -> None:
    call("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "a")
    call("search", "--spec", tmp_path / "a" / "spec.yaml", "--out", tmp_path / "b")
    best = [json.loads((tmp_path / name / "search.json").read_text())["best"] for name in "ab"]
    assert best[0] == best[1]


def test_dry_run_measures_and_estimates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("search", "--preset", "digits-evo", *TINY, "--set", "budget.trials=50", "--dry-run", "--json")
    document = json.loads(result.stdout)
    fields = ["spec", "space_size", "feasible_share", "seconds_per_trial", "seconds", "bytes"]
    assert document["kind"] == "dry-run"
    assert all(field in document for field in fields)
    assert document["space_size"] == 2**3 * 8**18
    assert 0 < document["feasible_share"] <= 1
    assert document["seconds"] > document["seconds_per_trial"] > 0
    assert not list(tmp_path.iterdir())
    assert "one evaluation" in call("search", "--preset", "digits-evo", *TINY, "--dry-run").stdout


def test_neither_preset_nor_spec_and_both_are_usage_errors(tmp_path: Path) -> None:
    assert "nanonas search --preset digits-evo" in error("search", code=2)
    assert "both --preset and --spec" in error("search", "--preset", "digits-evo", "--spec", "x.yaml", code=2)


def test_unknown_names_suggest_the_nearest() -> None:
    assert "did you mean 'digits-evo'?" in error("search", "--preset", "digit-evo")
    assert "search" in error("serach", code=2)
    assert "did you mean" in error("search", "--preset", "digits-evo", "--set", "strategy.name=evolutoin")
    assert "did you mean 'strategy'?" in error("search", "--preset", "digits-evo", "--set", "stratgy.name=random")
    assert "--preset" in error("search", "--prest", "digits-evo", code=2)


def test_a_preset_is_a_name_never_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("name: mine\nbudget: {trials: 1}\n")
    assert "unknown preset" in error("search", "--preset", "mine.yaml")


def test_a_folder_named_like_a_preset_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert call("search", "--preset", "digits-evo", *FAKE, "--out", "digits-evo").exit_code == 0
    assert call("presets").exit_code == 0
    assert "does not exist" in error("search", "--spec", "nothing")


def test_failures_are_told_also_after_a_restart(tmp_path: Path) -> None:
    arguments = [
        "search",
        "--preset",
        "digits-evo",
        *FAKE,
        "--set",
        "evaluator.fail_share=1",
        "--out",
        tmp_path / "run",
    ]
    assert "trial 5: failed" in call(*arguments).stderr
    said = call(*arguments, "--set", "budget.trials=8").stderr
    assert "trial 7: failed" in said
    assert "trial 5: failed" not in said


def test_lines_to_copy_are_not_broken(tmp_path: Path) -> None:
    out = tmp_path / "a-directory-with-a-long-name" / "and-another-one" / "run"
    result = CliRunner().invoke(
        app, ["search", "--preset", "digits-evo", *FAKE, "--out", str(out)], env={**ENVIRONMENT, "COLUMNS": "40"}
    )
    assert json.loads((out / "search.json").read_text())["best"]["genotype"] in result.stdout.splitlines()
    assert f"next: nanonas train {out}" in result.stdout.splitlines()


def test_an_out_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("")
    assert "choose another --out" in error("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path)
    assert "choose another --out" in error("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "thesis.txt")


def test_data_mistakes_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    folder = ["search", "--preset", "digits-evo", "--set", "data.name=folder"]
    assert "needs data.root" in error(*folder)
    assert "does not exist" in error(*folder, "--set", f"data.root={tmp_path / 'none'}")
    assert "single class" in error(*folder, "--set", f"data.root={tmp_path / 'one'}")
    (tmp_path / "empty").mkdir()
    assert "no folder of images" in error(*folder, "--set", f"data.root={tmp_path / 'empty'}")
    for name in ("cat", "dog"):
        (tmp_path / "two" / name).mkdir(parents=True)
        for i in range(6):
            (tmp_path / "two" / name / f"{i}.jpg").write_bytes(b"not an image")
    assert "is not a readable image" in error(
        *folder, "--set", f"data.root={tmp_path / 'two'}", "--out", tmp_path / "r"
    )


def test_an_impossible_constraint_is_said_before_training(tmp_path: Path) -> None:
    said = error("search", "--preset", "digits-evo", "--set", "constraints.params=10", "--out", tmp_path / "run")
    assert "the smallest has" in said


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nanonas.runs.journal import Journal

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "trials.jsonl")

    monkeypatch.setattr(Journal, "append", full)
    result = call("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "error: no space left on the disk (trials.jsonl)" in result.stderr
    assert "Go on with:\n  nanonas search --preset digits-evo --set" in result.stderr
    assert f"--out {tmp_path / 'run'}" in result.stderr


def test_a_bug_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nanonas.strategies.evolution.RegularizedEvolution.ask", lambda *_: 1 / 0)
    result = call("search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "run")
    assert isinstance(result.exception, ZeroDivisionError)


# ---- the pipeline


def test_the_pipeline_runs_through_pipes(tmp_path: Path) -> None:
    nanonas = f"{sys.executable} -m nanonas"
    tiny = " ".join(f"'{word}'" if "=" in word else word for word in TINY)
    command = (
        f"{nanonas} search --preset digits-evo {tiny} --set budget.trials=2 --set executor.name=inline --workers 1"
        " --json --quiet"
        f" | {nanonas} train - --json | {nanonas} export - --format torchscript --format pt2 --json"
    )
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["run"] == "runs/digits-evo-seed0"
    assert [entry["format"] for entry in document["files"]] == ["torchscript", "pt2"]
    assert all((tmp_path / document["run"] / entry["path"]).exists() for entry in document["files"])
    evaluated = call("eval", "-", "--json", stdin=json.dumps({"run": str(tmp_path / document["run"])}))
    assert json.loads(evaluated.stdout)["kind"] == "eval"


@pytest.mark.parametrize("stdin", ["", "not json", "[]", '{"kind": "search"}', "[" * 100_000])
def test_a_broken_pipe_says_what_went_wrong(stdin: str) -> None:
    for command in ("train", "eval"):
        assert "standard input holds no result" in error(command, "-", stdin=stdin)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_result_may_come_from_powershell(encoding: str, tmp_path: Path) -> None:
    stdin = json.dumps({"run": str(tmp_path / "none")}).encode(encoding)
    result = CliRunner().invoke(app, ["eval", "-"], input=stdin, env=ENVIRONMENT)
    assert f"error: {tmp_path / 'none'} does not exist" in result.stderr


# ---- train, eval, export, compare


def test_tables_are_readable(run: Path) -> None:
    assert "test accuracy" in call("train", run).stdout
    said = call("eval", run).stdout
    assert "calibration error" in said
    assert "batch 64" in said
    assert "params" in said
    said = call("export", run, "--format", "onnx").stdout
    (file,) = json.loads((run / "export.json").read_text())["files"]
    assert "exports/model.onnx" in said
    assert f"{file['latency_ms']['batch_1']['median']:.2f} ms" in said
    assert f"{file['bytes'] / 1000:.1f} K" in said or f"{file['bytes'] / 1000:.0f} K" in said
    assert "digits-evo" in call("compare", run).stdout


def test_nothing_is_cut_and_a_pipe_gets_no_colour(run: Path, tmp_path: Path) -> None:
    def printed(words: list[object], width: int) -> list[str]:
        terminal = {"COLUMNS": str(width), "NO_COLOR": None, "TERM": "xterm-256color"}
        result = CliRunner().invoke(app, [str(word) for word in words], env=terminal)
        assert result.exit_code == 0, result.stderr
        assert "\x1b" not in result.output
        assert "…" not in result.stdout
        return result.stdout.splitlines()

    search = ["search", "--preset", "digits-pareto", *FAKE, "--out", tmp_path / "front"]
    export = ["export", run, "--format", "torchscript", "--format", "pt2"]
    compare = ["compare", run, tmp_path / "front", "--allow-mismatch"]
    for words in (search, ["train", run], ["eval", run], export, compare, ["presets"]):
        narrow = printed(words, 80)
        wide = printed(words, 1000)
        assert all(line in wide for line in narrow if len(line) > 80), words  # lines to copy, which no width breaks
        assert {line for line in wide if "nanonas " in line} <= set(narrow), words
        if words is search:
            front = json.loads((tmp_path / "front" / "search.json").read_text())["front"]
            assert len(front) > 1
            assert all(any(entry["genotype"] in line for line in narrow) for entry in front)


@pytest.mark.parametrize("command", ["train", "eval", "compare"])
def test_what_is_no_run_is_one_line(command: str, tmp_path: Path) -> None:
    assert "nanonas search" in error(command, tmp_path / "missing")
    assert "not a run directory" in error(command, tmp_path)


def test_export_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    assert "--format onnx" in error("export", run, code=2)
    assert "did you mean 'onnx'?" in error("export", run, "--format", "onxx")
    assert "nanonas search" in error("export", tmp_path / "missing", "--format", "onnx")
    (run / "model.safetensors").unlink()
    assert "nanonas train" in error("export", run, "--format", "onnx")


def test_a_half_written_run_is_continued(tmp_path: Path) -> None:
    arguments = ["search", "--preset", "digits-evo", *FAKE, "--out", tmp_path / "run", "--json"]
    expected = json.loads(call(*arguments).stdout)
    journal = tmp_path / "run" / "trials.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    (tmp_path / "run" / "search.json").unlink()
    assert json.loads(call(*arguments).stdout)["best"] == expected["best"]
    assert len(journal.read_text().splitlines()) == 6


def test_compare_prints_json_and_writes_html(run: Path, tmp_path: Path) -> None:
    result = call("compare", run, "--html", tmp_path / "report.html", "--json")
    assert json.loads(result.stdout)["kind"] == "compare"
    assert "<html" in (tmp_path / "report.html").read_text()


# ---- presets


def test_presets_are_listed_printed_and_described(tmp_path: Path) -> None:
    listed = call("presets").stdout
    for name in preset_names():
        assert name in listed
        printed = call("presets", name).stdout
        (tmp_path / "my.yaml").write_text(printed)
        assert printed.startswith("# ")
        assert f"nanonas search --preset {name}" in printed
    assert json.loads(call("presets", "--schema").stdout)["title"] == "Spec"
    assert "did you mean" in error("presets", "digits-ev")


@pytest.mark.parametrize("name", ["digits-evo", "--schema"])
def test_a_full_standard_output_is_one_line(name: str) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-m", "nanonas", "presets", name], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("error: no space left on the disk")


@pytest.mark.parametrize("words", ["--help", "--version", "", "search --help", "presets"])
def test_a_full_standard_output_is_one_line_for_help_too(words: str) -> None:
    done = in_bash(f"{sys.executable} -m nanonas {words} > /dev/full")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: no space left on the disk")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_nobody_who_listens(closed: str) -> None:
    for words, code in (("presets digits-evo", 0), ("train -", 1), ("--version", 0)):
        done = in_bash(f"{sys.executable} -m nanonas {words} {'< /dev/null' if '<' not in closed else ''} {closed}")
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        if code == 1 and "2>" not in closed:
            assert done.stderr.startswith("error: standard input holds no result")


@pytest.mark.parametrize("module", ["", "-m nanonas"])
def test_a_file_named_like_a_module_is_not_imported(module: str, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "command.py"
    script.parent.mkdir()
    script.write_text("from nanonas.app import main\n\nif __name__ == '__main__':\n    main()\n")
    (tmp_path / "here").mkdir()
    for name in ("select", "signal", "struct", "socket", "random", "numpy", "torch", "yaml"):
        (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('the best of my runs')")
    (tmp_path / "here" / "nanonas").mkdir()
    done = search_a_table(tmp_path / "here", f"{sys.executable} {module or script}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "run" / "search.json").exists()


def test_workers_do_without_any_stream(tmp_path: Path) -> None:
    done = search_a_table(tmp_path, f"{sys.executable} -m nanonas", "<&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == 2


def search_a_table(folder: Path, command: str, streams: str = "") -> "subprocess.CompletedProcess[str]":
    """With worker processes, which import no torch for it."""
    text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|,0.5"
    rows = [text.format(*operations) for operations in itertools.product(PUBLISHED, repeat=6)]
    (folder / "cells.csv").write_text("\n".join(["cell,accuracy", *rows[::5]]))
    sets = ["evaluator.path=cells.csv", "evaluator.metric=accuracy", "strategy.name=random", "executor.name=processes"]
    words = " ".join(f"--set {item}" for item in [*sets, "budget.trials=2", "evaluator.report=[]"])
    return in_bash(f"cd {folder} && {command} search --preset nasbench201 {words} --out run {streams}")


def in_bash(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m nanonas presets --schema | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={**os.environ, **ENVIRONMENT})
    assert "Traceback" not in done.stderr


# ---- paths


def test_a_tilde_is_the_home_folder_where_no_shell_sees_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my.yaml").write_text(call("presets", "digits-evo").stdout)
    searched = call("search", "--spec=~/my.yaml", *FAKE, "--out=~/found")
    assert f"nanonas train {tmp_path / 'found'}" in searched.stdout
    assert call("train", "~/run").exit_code == 0
    assert call("compare", "~/run", "--html=~/r.html", "--plots=~/plots").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"work", "my.yaml", "run", "found", "r.html", "plots"}
    assert list(Path().iterdir()) == []


def test_the_home_of_nobody_is_one_line() -> None:
    for words in (["train", "~no-such-user/x"], ["search", "--spec=~no-such-user/x"]):
        assert "there is no home folder for ~no-such-user/x; write the whole path" in error(*words)
    said = error("search", "--preset", "digits-evo", "--set", "data.root=~no-such-user/x")
    assert "--set data.root: there is no home folder for ~no-such-user/x" in said
