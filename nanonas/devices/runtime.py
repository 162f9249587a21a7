"""A program in onnxruntime, made without torch; timed as a whole and kernel by kernel."""

import json
import re
import tempfile
from collections.abc import Sequence
from functools import cache, partial
from math import prod
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.program import IMAGE, Program, Shape
from ..networks.layers import BatchNorm, Conv, write
from .timing import SECONDS, run_seconds

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET, IR_VERSION = 20, 10
GLANCE = 0.05  # seconds; of each network that an operator is timed in
IDLE = (1, 101)  # operators that do next to nothing, in a row
AXES = {"ReduceMean": (2, 3), "Unsqueeze": (2, 3)}
ATTRIBUTES = {"ReduceMean": {"keepdims": 0}, "Gemm": {"transB": 1}}
KERNEL = re.compile(r"\bv([0-9]+)_\w*kernel_time")  # onnxruntime names a kernel by the first or last value it computes


def measured_ms(program: Program) -> float:
    """Milliseconds of one image on one thread, the median, as `nanonas eval` measures; the weights are random."""
    return round(1000 * median(_times(session_of(program), program, SECONDS)), 4)


def kernels_ms(program: Program) -> list[float]:
    """Milliseconds that each value takes, one image on one thread; what is computed together, at one of its values.

    A conversion of layouts counts at the kernel that runs next. It is the mean of the faster half of the runs: a kernel
    is so short that most runs of it miss what other processes take away, which a whole network does not.
    """
    return [max(0.0, ms) for ms in _profiled(program, overhead_ms()[1])]


@cache
def overhead_ms() -> tuple[float, float]:
    """Milliseconds that a run takes beside its kernels, and those by which the profiler lengthens each of them."""
    chains = [_idle(length) for length in IDLE]
    short, long = (1000 * _typical(_times(session_of(chain), chain, GLANCE)) for chain in chains)
    kernel = (long - short) / (IDLE[1] - IDLE[0])
    return max(0.0, short - IDLE[0] * kernel), fmean(_profiled(chains[1])[1:]) - kernel


def _idle(length: int) -> Program:
    """A chain of convolutions, which most kernels are, of a single pixel."""
    program = Program((16, 1, 1))
    for _ in range(length):
        write([Conv(16, 16, 1), BatchNorm(16)], program, len(program.nodes) - 1)
    return program.folded()


def _profiled(program: Program, added: float = 0.0) -> list[float]:
    """Milliseconds of each value, as the profiler of onnxruntime sees them, without what it adds to each kernel."""
    with tempfile.TemporaryDirectory() as folder:
        session = session_of(program, profile=f"{folder}/profile")
        _times(session, program, GLANCE)
        events = json.loads(Path(session.end_profiling()).read_bytes())
    times: list[list[float]] = [[] for _ in program.nodes]
    waiting = 0.0
    for event in events:
        if event["cat"] == "Node":
            waiting += event["dur"] / 1000 - added
            if match := KERNEL.search(event["name"]):
                times[int(match[1])].append(waiting)
                waiting = 0.0
    return [_typical(found) if found else 0.0 for found in times]


def _typical(times: Sequence[float]) -> float:
    return fmean(sorted(times)[: (len(times) + 1) // 2])


def _times(session: "InferenceSession", program: Program, limit: float) -> list[float]:
    """Seconds of each run."""
    images = np.random.default_rng(0).standard_normal((1, *program.shape(IMAGE)), np.float32)
    return run_seconds(partial(session.run, None, {"v0": images}), limit)


def session_of(program: Program, profile: str = "") -> "InferenceSession":
    return session(onnx_model(program), profile)


def session(model: bytes | str, profile: str = "") -> "InferenceSession":
    """An ONNX file, or its bytes, on one thread; with a profile, if it says how the name of its file begins."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_model(program: Program) -> bytes:
    """The file that a folded program stands for, with random weights; value i is called `v{i}`."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for value, node in enumerate(program.nodes[1:], 1):
        op = node.op
        attributes: dict[str, Any] = {**ATTRIBUTES.get(op, {}), **dict(node.attributes)}
        constants = [_weights(shape, rng) for shape in node.weights]
        if op in AXES:
            constants = [np.array(AXES[op])]
        if op == "Zero" or "times" in attributes:
            op, constants = "Mul", [np.array(attributes.pop("times", 0), np.float32)]
        names = [f"v{value}.{i}" for i in range(len(constants))]
        tensors += [numpy_helper.from_array(array, name) for array, name in zip(constants, names, strict=True)]
        inputs = [*(f"v{i}" for i in node.inputs), *names]
        nodes.append(helper.make_node(op, inputs, [f"v{value}"], f"v{value}", **attributes))
    first, last = (
        helper.make_tensor_value_info(f"v{value}", TensorProto.FLOAT, ("batch", *program.shape(value)))
        for value in (IMAGE, len(program.nodes) - 1)
    )
    graph = helper.make_graph(nodes, "program", [first], [last], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())


def _weights(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Such that values stay of the order of 1: tiny or infinite ones would take other times."""
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return np.asarray(rng.standard_normal(shape) / prod(shape[1:]) ** 0.5, np.float32)
