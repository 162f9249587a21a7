"""A few of each kind of the drills in benchmarks/faults.py and of the inputs in benchmarks/fuzz.py."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.mark.parametrize(
    "fault",
    [
        "SIGKILL of one worker",
        "SIGINT twice",
        "out of memory",
        "an operation that never returns",
        "a torn last line",
        "a line of garbage in the middle",
        "a second search on the directory",
    ],
)
def test_a_broken_search_loses_nothing(fault: str, made_once: Callable[..., Path]) -> None:
    once = ["--times", "1", "--trials", "16", "--no-record", "--only", fault]
    undisturbed = made_once("undisturbed-drill", lambda folder: None) / "trials.json"
    command = [sys.executable, str(BENCHMARKS / "faults.py"), *once, "--undisturbed", str(undisturbed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["spec", "genotype", "journal", "results"])
def test_malformed_input_is_refused_or_read(kind: str, trained_run: Path) -> None:
    of_run = ["--count", "100", "--run", str(trained_run)]
    command = [sys.executable, str(BENCHMARKS / "fuzz.py"), "--only", kind, *of_run]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 wrong" in done.stdout
