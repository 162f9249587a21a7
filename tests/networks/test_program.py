"""What is known of a network as ONNX operators, against the networks and files that torch makes."""

import random
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from nanonas.core.program import ELEMENTWISE, FLOAT, IMAGE, Program, model_bytes, peak_memory
from nanonas.core.task import Task
from nanonas.exporters import EXPORTERS
from nanonas.networks import layers
from nanonas.networks.layers import BatchNorm, Branches, Conv, Linear, SqueezeExcitation, relu
from nanonas.networks.operations import OPERATIONS
from nanonas.spaces import SPACES

TASK = Task(3, 17, 12, 10)
GENOTYPES = {
    "mobile": [
        "w24/stride16:separable5e3x2s/pool96:residual3e3x1/keep80:fused3e3x1",
        "w16/keep24:inverted3e2x1s/pool32:conv5e2x2s/stride48:conv3e2x1",
    ],
    "nano": [
        "w20/x3:max_pool_3x3+conv_3x3,none+none,none,skip_connect/x1r:none+conv_1x1,skip_connect+skip_connect,conv_1x1,"
        "none/x2:conv_3x3+avg_pool_3x3,conv_1x1+conv_1x1,conv_1x1,sep_conv_5x5",
        "w16/x1r:none+none,none+none,none,skip_connect/x2r:none+skip_connect,none+none,none,sep_conv_3x3/x1:none+none,"
        "none+conv_3x3,none,none",
    ],
    "nasbench201": ["|skip_connect~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"],
}
FEW: dict[str, dict[str, Any]] = {"nasbench201": {"cells": 1}}
EXPORTED = [(name, text, FEW.get(name, {})) for name, texts in GENOTYPES.items() for text in texts]
EXPORTED += [("mobile", text, {"activation": "gelu"}) for text in GENOTYPES["mobile"]]


@pytest.mark.parametrize(
    ("name", "text", "given"), EXPORTED, ids=[f"{name}{i}" for i, (name, *_) in enumerate(EXPORTED)]
)
def test_a_program_is_the_file_that_is_exported(name: str, text: str, given: dict[str, Any], tmp_path: Path) -> None:
    space = SPACES[name](SPACES[name].Config.model_validate(given))
    genotype = space.parse(text)
    network = space.build(genotype, TASK).eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)  # as if trained: equal tensors would be stored once
    EXPORTERS["onnx"].write(network, torch.zeros(2, 3, 17, 12), tmp_path / "model.onnx", {})
    graph = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "model.onnx")).graph

    program = space.program(genotype, TASK).folded()
    assert Counter(node.op_type for node in graph.node) == Counter(node.op for node in program.nodes[1:])
    assert model_bytes(program) == sum(
        len(t.raw_data) for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT and t.dims
    )
    assert peak_memory(program) == peak_of(graph)


def peak_of(graph: onnx.GraphProto) -> int:
    """Bytes alive at most, node by node in the order of the file."""
    known = {v.name: v.type.tensor_type.shape.dim for v in [*graph.input, *graph.value_info, *graph.output]}
    size = {name: FLOAT * prod(d.dim_value for d in dims[1:]) for name, dims in known.items()}
    weights = {t.name for t in graph.initializer}
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    alive, peak = {"images"}, size["images"]
    for i, node in enumerate(graph.node):
        inputs = {name for name in node.input if name not in weights}
        over = {name for name in inputs if last[name] == i}
        in_place = node.op_type in ELEMENTWISE and any(size[name] == size[node.output[0]] for name in over)
        peak = max(peak, sum(map(size.__getitem__, alive)) + (0 if in_place else size[node.output[0]]))
        alive = (alive - over) | {node.output[0]}
    return peak


@pytest.mark.parametrize("name", list(OPERATIONS))
@pytest.mark.parametrize(("c_in", "c_out", "stride"), [(8, 8, 1), (8, 8, 2), (8, 12, 2)])
def test_every_operation_is_written_as_it_is_built(name: str, c_in: int, c_out: int, stride: int) -> None:
    program = Program((c_in, 7, 6))
    value = layers.write(OPERATIONS[name].layers(c_in, c_out, stride), program, IMAGE)
    module = OPERATIONS[name](c_in, c_out, stride).eval()
    assert program.shape(value) == module(torch.zeros(2, c_in, 7, 6)).shape[1:]
    floats = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
    assert model_bytes(program) == FLOAT * sum(tensor.numel() for tensor in floats)


@pytest.mark.parametrize("name", list(SPACES))
def test_every_space_is_written_as_it_is_built(name: str) -> None:
    space, rng = SPACES[name](SPACES[name].Config()), random.Random(0)
    for genotype in filter(space.is_connected, [space.sample(rng) for _ in range(10)]):
        program = space.program(genotype, TASK)
        assert program.nodes[-1].shape == (TASK.classes,)
        with torch.device("meta"):
            tensors = space.build(genotype, TASK).state_dict().values()
        assert model_bytes(program) == FLOAT * sum(t.numel() for t in tensors if t.is_floating_point())


def test_a_batch_norm_is_folded_only_where_nothing_else_needs_the_convolution() -> None:
    alone, shared = Program((4, 8, 8)), Program((4, 8, 8))
    layers.write([Conv(4, 6, 3), BatchNorm(6)], alone, IMAGE)
    assert [node.op for node in alone.folded().nodes[1:]] == ["Conv"]
    assert model_bytes(alone.folded()) == FLOAT * (6 * 4 * 9 + 6)
    value = Conv(4, 6, 3).write(shared, IMAGE)
    shared.sum([value, BatchNorm(6).write(shared, value)])
    assert [node.op for node in shared.folded().nodes[1:]] == ["Conv", "BatchNormalization", "Add"]


def test_the_peak_counts_what_a_residual_connection_keeps() -> None:
    image, plane = 3 * 8 * 8, 4 * 8 * 8
    stem = [Conv(3, 4, 3), BatchNorm(4), relu()]
    branch = (Conv(4, 8, 1), BatchNorm(8), relu(), Conv(8, 4, 1), BatchNorm(4))

    def peak(*layer: layers.Layer) -> int:
        program = Program((3, 8, 8))
        Linear(4, 2).write(program, program.mean(layers.write([*stem, *layer], program, IMAGE)))
        return peak_memory(program.folded())

    assert peak() == FLOAT * (image + plane)
    assert peak(*branch) == FLOAT * 3 * plane  # 4 channels become 8
    assert peak(Branches((branch, ()))) == FLOAT * 4 * plane  # and back, beside what is added
    assert peak(SqueezeExcitation(4, 4)) == FLOAT * (image + plane)  # vectors hardly count


def test_what_is_computed_twice_is_computed_once() -> None:
    program = Program((4, 8, 8))
    first, second = (relu().write(program, IMAGE) for _ in range(2))
    assert first == second
    assert Conv(4, 4, 1).write(program, IMAGE) != Conv(4, 4, 1).write(program, IMAGE)
