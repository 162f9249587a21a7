"""Malformed input by the thousand: what a stranger may send, or a disk may do to a file.

    python benchmarks/fuzz.py                          5,000 specs, genotypes, journals and result files each
    python benchmarks/fuzz.py --models 1000            model files, in child processes with 4 GB of address space
    python benchmarks/fuzz.py --only journal --first 1234 --count 1     one again

Each input is a valid one with bytes, tokens or lines changed, drawn from its number. It passes when it is read without
complaint or refused by a NanonasError; anything else is printed with its number, as is whatever takes longer than 10
seconds, and any file that is made or changed outside the run directory. Without --only, appends to
benchmarks/results/fuzz.json.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from common import Record

from nanonas import compare, load_spec, search
from nanonas.core.errors import NanonasError
from nanonas.engine.results import read_trials
from nanonas.spaces import SPACES

RECORD = Record("fuzz")
SECONDS, MEMORY, BATCH = 10, 4_000_000_000, 25
SMALL = ["space.widths=[8]", "space.cells=[1]", "strategy.population_size=4", "strategy.sample_size=2"]
SETS = [*SMALL, "budget.trials=6", "executor.name=inline", "evaluator.epochs=1", "train.epochs=1"]
TOKENS = [
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"99999999999999999999", b'""', b"[]", b"{}"),
    *(
        b"\0",
        b"\xff\xfe",
        b"\n",
        b"\r",
        b"\t",
        b'"',
        b"'",
        b"\\",
        b"&a",
        b"*a",
        b"? ",
        b"- ",
        b"<<: ",
        b"%YAML 9",
        b": ",
    ),
    *(b"!!python/object:os.system", b"../" * 5, b"/etc/passwd", b"[" * 1000, b"{a: " * 500, b"x" * 100_000, b"%YAML 9"),
    "🦆é\u202e".encode(),
]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four changes."""
    for _ in range(rng.randrange(1, 5)):
        start, end = sorted(rng.choices(range(len(data) + 1), k=2))
        end = min(end, start + rng.choice((1, 8, 64, 100_000)))
        data = data[:start] + changed(data[start:end], rng) + data[end:]
    return data


def changed(part: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return bytes(rng.choices(range(256), k=rng.randrange(1, 9)))
    if kind == 2:
        return rng.choice(TOKENS)
    if kind == 3:
        return part * 2
    if kind == 4:
        return part[:-1] + bytes(byte ^ (1 << rng.randrange(8)) for byte in part[-1:])
    return part[::-1]


def swapped(data: bytes, rng: random.Random) -> bytes:
    """A JSON file in which one value is another."""
    document = json.loads(data)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(document)
    container, key = rng.choice(places)
    strange: list[Any] = [
        None,
        True,
        -1,
        0,
        10**30,
        1e308,
        "",
        "x" * 10_000,
        [],
        {},
        [[]],
        {"a": {}},
        "../../x",
        "\0",
        [1, "a", None],
    ]
    container[key] = rng.choice(strange)
    if rng.random() < 0.2 and isinstance(container, dict):
        del container[key]
    return json.dumps(document).encode()


# ---- what reads them: each takes a scratch folder with a whole run in it, and a generator


def spec(folder: Path, rng: random.Random) -> None:
    path = folder / "my.yaml"
    path.write_bytes(mutated((folder / "run" / "spec.yaml").read_bytes(), rng))
    load_spec(path, [mutated(b"evaluator.epochs=3", rng).decode(errors="replace")] if rng.random() < 0.3 else [])


def genotype(folder: Path, rng: random.Random) -> None:
    name = rng.choice(list(SPACES))
    made = SPACES[name](SPACES[name].Config(name=name))
    made.parse(mutated(str(made.sample(rng)).encode(), rng).decode(errors="replace"))


def journal(folder: Path, rng: random.Random) -> None:
    run = folder / "run"
    lines = (run / "trials.jsonl").read_bytes().splitlines(keepends=True)
    number = rng.randrange(len(lines))
    lines[number] = swapped(lines[number], rng) + b"\n" if rng.random() < 0.5 else mutated(lines[number], rng)
    (run / "trials.jsonl").write_bytes(b"".join(lines))
    loaded = load_spec(run / "spec.yaml")
    read_trials(run, SPACES[loaded.space.name](loaded.space))


def results(folder: Path, rng: random.Random) -> None:
    path = folder / "run" / rng.choice(["search.json", "train.json", "environment.json", "model.json", "spec.yaml"])
    json_too = path.suffix == ".json" and rng.random() < 0.7
    path.write_bytes((swapped if json_too else mutated)(path.read_bytes(), rng))
    compare([folder / "run"], folder / "run" / "report.html" if rng.random() < 0.2 else None)


def models(folder: Path, rng: random.Random) -> None:
    from nanonas import evaluate, load_model

    path = (
        folder
        / "run"
        / rng.choice(["model.safetensors", "model.json", "exports/model.onnx", "exports/model.ts", "exports/model.pt2"])
    )
    if path.suffix == ".json":
        path.write_bytes(swapped(path.read_bytes(), rng))
    else:
        data = path.read_bytes()
        head = rng.random() < 0.7  # the header is where the sizes are
        path.write_bytes(mutated(data[:2000], rng) + data[2000:] if head else mutated(data, rng))
    if path.parent.name == "exports":
        evaluate(path)
    else:
        load_model(folder / "run")


READERS: dict[str, Callable[[Path, random.Random], None]] = {
    "spec": spec,
    "genotype": genotype,
    "journal": journal,
    "results": results,
}


def template(folder: Path, exports: bool) -> Path:
    """A whole run of digits."""
    from nanonas import train

    run = folder / "run"
    for _ in search(load_spec("digits-evo", SETS), run):
        pass
    train(run)
    if exports:
        from nanonas import export

        export(run, formats=["onnx", "torchscript", "pt2"])
    return run


@contextmanager
def limited() -> Iterator[None]:
    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"longer than {SECONDS} seconds")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def outside(folder: Path) -> set[tuple[str, int]]:
    """What lies beside the run directory."""
    return {(path.name, path.lstat().st_mtime_ns) for path in folder.iterdir() if path.name not in ("run", "my.yaml")}


REFUSED = "refused"


def tried(name: str, number: int, run: Path, folder: Path) -> str:
    """What is wrong with this input's treatment; REFUSED or empty when it was refused or read as it should."""
    reader = models if name == "models" else READERS[name]
    shutil.rmtree(folder / "run", ignore_errors=True)
    shutil.copytree(run, folder / "run")
    (folder / "beside").write_text("untouched")
    before, text = outside(folder), ""
    try:
        with limited():
            reader(folder, random.Random(f"{name}/{number}"))
    except NanonasError:
        text = REFUSED
    except Exception:
        text = traceback.format_exc(limit=-3)
    return "wrote beside the run directory" if outside(folder) != before else text


def rounds(name: str, first: int, count: int, run: Path) -> Iterator[tuple[int, str]]:
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for number in range(first, first + count):
            yield number, tried(name, number, run, Path(scratch))


def children(first: int, count: int, run: Path) -> Iterator[tuple[int, str]]:
    """Model files in processes of their own: a crash is found, too."""
    for start in range(first, first + count, BATCH):
        size = min(BATCH, first + count - start)
        command = [sys.executable, __file__, "--child", str(run), "--first", str(start), "--count", str(size)]

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=SECONDS * (size + 6))
        found = json.loads(done.stdout or "[]")
        yield from found
        if done.returncode:
            yield start + len(found), f"the process ended with {done.returncode}: {done.stderr[-300:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=READERS, metavar="KIND")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--models", type=int, default=0, metavar="N", help="model files instead")
    parser.add_argument("--run", type=Path, help="a trained run of digits, instead of making one")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(list(rounds("models", arguments.first, arguments.count, arguments.child))))
        return
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or template(Path(folder), exports=bool(arguments.models))
        for name in ["models"] if arguments.models else arguments.only or READERS:
            count = arguments.models or arguments.count
            ways = Counter({"read": 0, "refused": 0, "wrong": 0})
            for number, text in (children if arguments.models else partial(rounds, name))(arguments.first, count, run):
                ways["refused" if text == REFUSED else "wrong" if text else "read"] += 1
                if text not in ("", REFUSED):
                    print(f"{name} {number}: {text}", flush=True)
            found = ", ".join(f"{number:,} {way}" for way, number in ways.items())
            print(f"{name}: {ways.total():,} inputs, {found}", flush=True)
            if not arguments.only:
                RECORD.append({"kind": name, "first": arguments.first, "count": count, **ways})
            bad += ways["wrong"]
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
