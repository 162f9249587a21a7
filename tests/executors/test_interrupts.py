"""Killed in the middle and continued, on one worker or many: the trials are those of an undisturbed search."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from searches import SETS, lines

from nanonas.engine.search import search
from nanonas.spec.load import load_spec


@pytest.fixture(scope="module")
def undisturbed(made_once: Callable[..., Path]) -> list[dict[str, Any]]:
    spec = load_spec("digits-evo", [*SETS, "executor.name=inline"])
    return lines(made_once("undisturbed", lambda folder: list(search(spec, folder / "run"))) / "run")


def command(run: Path, *more: str) -> list[str]:
    sets = [word for item in (*SETS, *more) for word in ("--set", item)]
    return [sys.executable, "-m", "nanonas", "search", "--preset", "digits-evo", *sets, "--out", str(run)]


def start(run: Path, *more: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(command(run, *more), stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_for_lines(run: Path, count: int, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if (run / "trials.jsonl").exists() and len((run / "trials.jsonl").read_bytes().splitlines()) >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("no trial within a minute")


@pytest.mark.parametrize("workers", [2, 4])  # with one, interrupted searches are gone on with below
def test_the_number_of_workers_does_not_matter(workers: int, undisturbed: list[dict[str, Any]], tmp_path: Path) -> None:
    spec = load_spec("digits-evo", [*SETS, f"executor.workers={workers}"])
    list(search(spec, tmp_path / "run"))
    assert lines(tmp_path / "run") == undisturbed


@pytest.mark.parametrize(
    ("name", "more"),
    [("SIGINT", []), ("SIGTERM", ["executor.workers=1"]), ("SIGKILL", ["executor.workers=1"])],
)
def test_an_interrupted_search_keeps_its_lines_and_ends_the_same(
    name: str, more: list[str], undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start(run, *more)
    wait_for_lines(run, 2, process)
    os.killpg(process.pid, getattr(signal, name))
    said = process.communicate(timeout=30)[1]
    kept = (run / "trials.jsonl").read_bytes()
    if name != "SIGKILL":
        assert process.returncode == 128 + getattr(signal, name)
        assert "nanonas search --preset digits-evo --set 'space.widths=[8]'" in said
        assert f"--out {run}" in said
        assert "Traceback" not in said
    whole = kept[: kept.rfind(b"\n") + 1]
    process = start(run, "executor.workers=1")  # benchmarks/faults.py resumes with two
    assert process.wait(timeout=120) == 0, process.communicate()
    assert (run / "trials.jsonl").read_bytes().startswith(whole)
    assert lines(run) == undisturbed
    assert not [path.name for path in run.iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks processes up in /proc")
def test_no_worker_outlives_a_killed_coordinator(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start(run)
    wait_for_lines(run, 1, process)
    process.kill()
    process.wait(timeout=10)

    def left() -> list[int]:
        names = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [int(name) for name in names if group(int(name)) == process.pid]

    end = time.monotonic() + 5
    while left() and time.monotonic() < end:
        time.sleep(0.1)
    assert left() == []


def group(pid: int) -> int | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[2])


def test_a_terminal_shows_a_live_table(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    shown_here = command(tmp_path / "run", "executor.name=inline")
    process = subprocess.Popen(shown_here, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    text = shown.decode()
    for word in ("digits-evo, seed 0", "val_accuracy", "8 of 8 evaluated", "cached", "failed", "left", "Ctrl-C"):
        assert word in text
    assert "winner" in out


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(f"from nanonas import load_spec, search\nlist(search(load_spec('digits-evo', {SETS}), 'run'))\n")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "needs `if __name__ == '__main__':` around it" in done.stderr.splitlines()[-1]


def test_a_worker_that_dies_is_replaced_and_a_time_out_is_a_failed_trial(
    undisturbed: list[dict[str, Any]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = start(run)
    wait_for_lines(run, 1, process)
    workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    spawned = [pid for pid in workers if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(spawned[0], signal.SIGKILL)
    assert process.wait(timeout=120) == 0, process.communicate()
    assert lines(run) == undisturbed
    spec = load_spec(
        "digits-evo", [*SETS, "budget.trials=1", "executor.workers=1", "executor.timeout_seconds=0.001", "seed=1"]
    )
    (trial,) = search(spec, tmp_path / "late")
    assert trial.error == "ran longer than 0.001 seconds"
