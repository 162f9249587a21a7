"""A chain of blocks and a head, which most spaces describe their networks as: measured, and written as a program.

`network.ChainNetwork` runs the same in torch, in the same order.
"""

import math
from collections.abc import Sequence

from ..core.program import IMAGE, Program
from ..core.task import Task
from .graph import Graph, Sum
from .layers import Layer, macs, params, reduced, write
from .operations import OPERATIONS

Block = Sequence[Layer] | tuple[Graph, int]
"""Layers one after the other, or a graph of operations with its number of channels."""


def measure(blocks: Sequence[Block], head: Layer, task: Task) -> dict[str, int]:
    """Parameters, and multiply-accumulates of one image."""
    found = {"params": head.params, "macs": head.macs(1)}
    height, width = task.height, task.width
    for block in blocks:
        if isinstance(block, tuple):
            graph, channels = block
            parts: list[Sequence[Layer]] = [OPERATIONS[name].layers(channels, channels, 1) for name, _ in graph.nodes]
            stride = 1
        else:
            parts, stride = [block], math.prod(layer.stride for layer in block)
        found["params"] += sum(map(params, parts))
        found["macs"] += sum(macs(part, height, width) for part in parts)
        height, width = reduced(height, width, stride)
    return found


def program(blocks: Sequence[Block], head: Layer, task: Task) -> Program:
    """The blocks one after the other, then global average pooling and the head."""
    program = Program((task.channels, task.height, task.width))
    x = IMAGE
    for block in blocks:
        x = _graph(program, block, x) if isinstance(block, tuple) else write(block, program, x)
    head.write(program, program.mean(x))
    return program


def _graph(program: Program, block: tuple[Graph, int], x: int) -> int:
    graph, channels = block
    values = [x]
    for name, inputs in graph.nodes:
        applied = OPERATIONS[name].layers(channels, channels, 1)
        values.append(write(applied, program, _total(program, inputs, values)))
    return _total(program, graph.output, values)


def _total(program: Program, value: Sum, values: Sequence[int]) -> int:
    shape = program.shape(values[0])
    if not value:
        return program.add("Zero", (values[0],), shape)
    terms = [(values[node], times) for node, times in value]
    return program.sum(
        [x if times == 1 else program.add("Mul", (x,), shape, (), (("times", times),)) for x, times in terms]
    )
