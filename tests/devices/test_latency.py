"""Predicted latency: what onnxruntime makes of a network, the table of operators, and searches that use it."""

import json
import random
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from searches import make_spec, outcomes

from nanonas.core.errors import RunError, SpecError
from nanonas.core.program import IMAGE, Program
from nanonas.core.task import Task
from nanonas.devices import runtime
from nanonas.devices.latency import Latency, operators
from nanonas.engine.planning import plan
from nanonas.engine.search import search
from nanonas.networks.layers import Branches, Conv, gelu, relu, write
from nanonas.spaces import SPACES

TASK = Task(3, 16, 12, 10)
BOTH = {"val_accuracy": "maximize", "latency_ms": "minimize"}
FEW = {"name": "nano", "operations": ["conv_3x3", "skip_connect", "none"], "widths": [16, 24], "cells": [1, 2]}


def programs(space_name: str, count: int) -> list[Program]:
    space, rng = SPACES[space_name](SPACES[space_name].Config()), random.Random(0)
    return [space.program(space.sample(rng), TASK).folded() for _ in range(count)]


def chain(*layers: Any) -> Program:
    program = Program((4, 8, 8))
    program.mean(write(layers, program, IMAGE))
    return program.folded()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """The programs that were timed; each value takes as many ns as it has elements, a call 1 µs."""
    found: list[Program] = []

    def kernels_ms(program: Program) -> list[float]:
        found.append(program)
        return [0.0, *(prod(node.shape) / 1e6 for node in program.nodes[1:])]

    monkeypatch.setattr(runtime, "kernels_ms", kernels_ms)
    monkeypatch.setattr(runtime, "measured_ms", lambda program: sum(kernels_ms(program)) + 1)
    monkeypatch.setattr(runtime, "overhead_ms", lambda: (0.001, 0.0))
    return found


# ---- a program in onnxruntime


@pytest.mark.parametrize("name", list(SPACES))
def test_every_program_is_a_valid_file_of_its_shapes(name: str) -> None:
    for program in programs(name, 4):
        model = onnx.load_from_string(runtime.onnx_model(program))
        onnx.checker.check_model(model, full_check=True)
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
        shapes = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim[1:]) for v in graph.value_info}
        assert all(shapes[f"v{i}"] == program.shape(i) for i in range(1, len(program.nodes) - 1))
        images = np.ones((2, *program.shape(IMAGE)), np.float32)
        (scores,) = runtime.session_of(program).run(None, {"v0": images})
        assert scores.shape == (2, TASK.classes)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", list(SPACES))
def test_every_operator_has_a_kernel_of_onnxruntime(name: str, tmp_path: Path) -> None:
    for program in programs(name, 4):
        session = runtime.session_of(program, profile=str(tmp_path / "profile"))
        session.run(None, {"v0": np.ones((1, *program.shape(IMAGE)), np.float32)})
        names = [event["name"] for event in json.loads(Path(session.end_profiling()).read_bytes())]
        run = {int(match[1]) for match in map(runtime.KERNEL.search, names) if match}
        assert all(run & set(operator.values) for operator in operators(program))


def test_every_value_has_a_time() -> None:
    program = programs("mobile", 1)[0]
    times = runtime.kernels_ms(program)
    assert len(times) == len(program.nodes)
    assert min(times) >= 0
    assert runtime.measured_ms(program) > 0


def test_what_runs_as_one_kernel_is_one_operator() -> None:
    conv = Conv(4, 4, 3)
    for layers, names in [
        ([conv, relu()], ["Conv+Relu", "ReduceMean"]),
        ([Branches(((conv,), ())), relu()], ["Conv+Add+Relu", "ReduceMean"]),
        ([Branches(((conv,), (conv,)))], ["Conv+Add", "Conv", "ReduceMean"]),
        ([relu(), relu()], ["Relu", "Relu", "ReduceMean"]),
        ([conv, gelu()], ["Conv", "Gelu", "ReduceMean"]),
        ([conv, Branches(((relu(),), ()))], ["Conv", "Relu", "Add", "ReduceMean"]),  # its value is needed twice
    ]:
        program = chain(*layers)
        found = operators(program)
        assert [operator.text.split()[0] for operator in found] == names
        values = [value for operator in found for value in operator.values]
        assert sorted(values) == list(range(1, len(program.nodes)))


# ---- the table


def test_a_network_takes_what_its_operators_take(timed: list[Program]) -> None:
    latency, program = Latency(), chain(Conv(4, 8, 3), relu(), Conv(8, 8, 1))
    assert latency(program) == pytest.approx(0.001 + (2 * 8 * 64 + 8 * 64 + 8) / 1e6, abs=1e-4)
    assert latency(chain(Conv(4, 8, 3), relu())) == pytest.approx(0.001 + (2 * 8 * 64 + 8) / 1e6, abs=1e-4)


def test_an_operator_is_timed_once(timed: list[Program]) -> None:
    latency = Latency()
    first, second = chain(Conv(4, 8, 3), relu()), chain(Conv(4, 8, 3), relu(), Conv(8, 8, 1))
    assert [latency(program) for program in (first, second, second, first)]
    assert timed == [first, second]


def test_the_file_has_a_time_before_anyone_learns_of_it(timed: list[Program], tmp_path: Path) -> None:
    path, program = tmp_path / "latency.json", chain(Conv(4, 8, 3), relu())
    latency = Latency(path)
    latency(program)
    assert not path.exists()  # the run directory is not ours yet
    latency.keep()
    found = json.loads(path.read_text())
    assert found["kind"] == "latency"
    assert list(found["operators"]) == ["call", *(operator.text for operator in operators(program))]
    latency(chain(Conv(4, 8, 1)))
    assert len(json.loads(path.read_text())["operators"]) == len(found["operators"]) + 1


def test_what_was_timed_is_not_timed_again(timed: list[Program], tmp_path: Path) -> None:
    program, found = chain(Conv(4, 8, 3), relu()), []
    for _ in range(2):
        latency = Latency(tmp_path / "latency.json")
        latency.keep()
        found.append((latency(program), latency.measured(program)))
    assert found[0] == found[1]
    assert len(timed) == 2  # for the table, and for `measured`


def test_the_file_goes_before_what_was_timed_since(timed: list[Program], tmp_path: Path) -> None:
    program, path = chain(Conv(4, 8, 3), relu()), tmp_path / "latency.json"
    late = Latency(path)
    late(program)
    first = Latency(path)
    first.keep()
    first(program)
    document = json.loads(path.read_text())
    document["operators"] = dict.fromkeys(document["operators"], 2.0)
    path.write_text(json.dumps(document))
    late.keep()
    assert late(program) == 6  # the call, the convolution, the mean


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"operators": {"Relu 4x8x8": -1}}, "operators.Relu 4x8x8: Input should be greater than or equal to 0"),
        ({"operators": {"Relu 4x8x8": float("nan")}}, "finite"),
        ({"cpu": None}, "cpu: Input should be a valid string"),
    ],
)
def test_a_damaged_table_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    path.write_text(json.dumps({"cpu": "a", "onnxruntime": "1", "operators": {}, **change}))
    with pytest.raises(RunError, match=f"latency.json is damaged: .*{told}"):
        Latency(path)


def test_another_machine_goes_on_and_says_so(timed: list[Program], tmp_path: Path) -> None:
    path, said = tmp_path / "latency.json", list[str]()
    path.write_text(json.dumps({"cpu": "Z80", "onnxruntime": "0.1", "operators": {"Relu 4x8x8": 3}}))
    latency = Latency(path, said.append)
    latency.keep()
    assert len(said) == 1
    assert said[0].startswith(f"warning: {path} tells of Z80, onnxruntime 0.1; this is ")
    assert latency(chain(relu())) >= 3
    assert json.loads(path.read_text())["cpu"] == "Z80"


# ---- searches


def test_latency_is_an_objective_like_any_measure(timed: list[Program], tmp_path: Path) -> None:
    trials = list(search(make_spec("nsga2", objectives=BOTH), tmp_path / "run"))
    table = Latency(tmp_path / "run" / "latency.json")
    space = SPACES["nano"](SPACES["nano"].Config())
    result = json.loads((tmp_path / "run" / "search.json").read_text())
    task = Task(**result["task"])
    before = len(timed)
    for trial in trials:
        assert trial.metrics["latency_ms"] == table(space.program(trial.genotype, task).folded())
    for entry in [result["best"], *result["front"]]:
        program = space.program(space.parse(entry["genotype"]), task).folded()
        assert entry["report"] == {"measured_latency_ms": table.measured(program)}
        assert entry["report"]["measured_latency_ms"] > entry["metrics"]["latency_ms"]
    assert len(timed) == before  # all of it is in the file


def test_a_search_without_latency_times_nothing(timed: list[Program], tmp_path: Path) -> None:
    trials = list(search(make_spec("random"), tmp_path / "run"))
    assert "latency_ms" not in trials[0].metrics
    assert not timed
    assert not (tmp_path / "run" / "latency.json").exists()


def test_a_resumed_search_reads_the_same_numbers(timed: list[Program], tmp_path: Path) -> None:
    spec = make_spec("nsga2", objectives=BOTH, constraints={"latency_ms": 1.2})
    whole = outcomes(list(search(spec, tmp_path / "whole")))
    for stop in (5, 17):
        for trial in search(spec, tmp_path / "run"):
            if trial.trial == stop:
                break
    assert outcomes(list(search(spec, tmp_path / "run"))) == whole
    tables = [json.loads((tmp_path / run / "latency.json").read_text())["operators"] for run in ("whole", "run")]
    assert tables[0] == tables[1]
    before = len(timed)
    result = (tmp_path / "run" / "search.json").read_text()
    list(search(spec, tmp_path / "run"))
    assert len(timed) == before
    assert (tmp_path / "run" / "search.json").read_text() == result


def test_the_table_of_one_run_can_serve_another(timed: list[Program], tmp_path: Path) -> None:
    list(search(make_spec("random", objectives=BOTH), tmp_path / "first"))
    (tmp_path / "second").mkdir()
    (tmp_path / "first" / "latency.json").replace(tmp_path / "second" / "latency.json")
    before = len(timed)
    list(search(make_spec("random", objectives=BOTH), tmp_path / "second"))
    assert len(timed) == before


def test_a_bound_on_latency_holds(timed: list[Program], tmp_path: Path) -> None:
    free = list(search(make_spec("random", objectives=BOTH), tmp_path / "free"))
    bound = sorted(trial.metrics["latency_ms"] for trial in free)[len(free) // 4]
    for trial in search(make_spec("random", constraints={"latency_ms": bound}), tmp_path / "run"):
        assert trial.metrics["latency_ms"] <= bound


def test_an_impossible_latency_names_the_smallest(timed: list[Program], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"at most 0\.01 latency_ms; the smallest found has 0\.[0-9]+ \(w16"):
        list(search(make_spec("random", space=FEW, constraints={"latency_ms": 0.01}), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_is_cheap_to_bound_is_bounded_before_anything_is_timed(timed: list[Program], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="peak_memory"):
        bounds = {"latency_ms": 1e9, "peak_memory": 5000}
        list(search(make_spec("random", space=FEW, constraints=bounds), tmp_path / "run"))
    assert not timed


def test_a_dry_run_knows_latency(timed: list[Program]) -> None:
    document = plan(make_spec("random", constraints={"latency_ms": 1.2}))
    assert 0 < document["feasible_share"] < 1
