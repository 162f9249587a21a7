"""A program in onnxruntime, made without torch; timed as a whole and operator by operator."""

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .profile import latency_ms
from .program import IMAGE, Program

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET, IR_VERSION = 20, 10
SECONDS = 0.05  # of each network that an operator is timed in
CONSTANTS = {"ReduceMean": (2, 3), "Unsqueeze": (2, 3)}  # the axes, for these the second input
ATTRIBUTES = {"ReduceMean": {"keepdims": 0}, "Gemm": {"transB": 1}}
KERNEL = re.compile(r"\bv([0-9]+)_\w*kernel_time")  # onnxruntime names a kernel by the first or last value it computes


def measured_ms(program: Program, seconds: float = 1.0) -> float:
    """Milliseconds of one image on one thread, as `nanonas eval` measures them; the weights are random."""
    return _timed(_session(program), program, seconds)[0]


def kernels_ms(program: Program) -> tuple[float, list[float]]:
    """Milliseconds of one image on one thread; and of each value of the program, as onnxruntime's profiler sees them.

    What is fused counts at one of the values that are computed together. A conversion of layouts counts at the kernel
    that runs next.
    """
    total, runs = _timed(_session(program), program, SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        session = _session(program, enable_profiling=True, profile_file_prefix=f"{folder}/profile")
        for _ in range(runs):
            session.run(None, {"v0": np.zeros((1, *program.shape(IMAGE)), np.float32)})
        events = json.loads(Path(session.end_profiling()).read_bytes())
    times: list[list[float]] = [[] for _ in program.nodes]
    waiting = 0.0
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            waiting += event["dur"] / 1000
            if match := KERNEL.search(event["name"]):
                times[int(match[1])].append(waiting)
                waiting = 0.0
    return total, [float(np.median(found)) if found else 0.0 for found in times]


def _timed(session: "InferenceSession", program: Program, seconds: float) -> tuple[float, int]:
    found = latency_ms(lambda images: session.run(None, {"v0": images}), program.shape(IMAGE), (1,), seconds=seconds)
    return found["batch_1"]["median"], int(found["batch_1"]["runs"])


def _session(program: Program, **options: Any) -> "InferenceSession":
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    for name, value in (
        options | {"intra_op_num_threads": 1, "inter_op_num_threads": 1, "log_severity_level": 4}
    ).items():
        setattr(chosen, name, value)
    return onnxruntime.InferenceSession(onnx_model(program), chosen, providers=["CPUExecutionProvider"])


def onnx_model(program: Program) -> bytes:
    """The file that a folded program stands for, with random weights; value i is called `v{i}`."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for value, node in enumerate(program.nodes[1:], 1):
        op, attributes = node.op, ATTRIBUTES.get(node.op, {}) | dict(node.attributes)
        constants = [rng.uniform(0.01, 0.1, shape).astype(np.float32) for shape in node.weights]
        if op in CONSTANTS:
            constants.append(np.array(CONSTANTS[op]))
        if op == "Zero" or "times" in attributes:
            op, constants = "Mul", [np.float32(attributes.pop("times", 0))]
        names = [f"v{value}.{i}" for i in range(len(constants))]
        tensors += [numpy_helper.from_array(np.asarray(c), name) for c, name in zip(constants, names, strict=True)]
        nodes.append(
            helper.make_node(op, [f"v{i}" for i in node.inputs] + names, [f"v{value}"], f"v{value}", **attributes)
        )
    first, last = (
        helper.make_tensor_value_info(f"v{i}", TensorProto.FLOAT, ("batch", *program.shape(i)))
        for i in (IMAGE, len(program.nodes) - 1)
    )
    graph = helper.make_graph(nodes, "program", [first], [last], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return bytes(model.SerializeToString())
