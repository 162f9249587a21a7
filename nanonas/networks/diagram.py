"""A network as nodes and edges, with the shape, the parameters and the MACs of each node: for drawings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..core.genotype import Genotype
from ..core.task import Task
from . import layers
from .graph import INPUT, Graph, Sum, add
from .layers import Layer, Linear
from .operations import OPERATIONS


@dataclass(frozen=True)
class Node:
    """What is applied to the sum of earlier outputs; node 0 is the image.

    Attributes:
        name: of the operation or block.
        shape: of its output, for one image: (C, H, W), or (classes,) at the end.
        inputs: (node, how often) pairs; () where nothing comes in, since what feeds it is zero.
        part: the stage that it belongs to.
        times: how often all nodes of its part follow one another; `params` and `macs` are those of one.
        detail: what the name does not say.
        adds_input: whether a residual connection leads around it; its output is the sum.
    """

    name: str
    shape: tuple[int, ...]
    params: int = 0
    macs: int = 0
    inputs: Sum = ()
    part: str = ""
    times: int = 1
    detail: str = ""
    adds_input: bool = False


@runtime_checkable
class Drawn(Protocol):
    """A search space that can say what its networks look like."""

    def diagram(self, genotype: Genotype, task: Task) -> Sequence[Node]: ...


class DiagramBuilder:
    """Collects nodes while a space walks through its network."""

    def __init__(self, task: Task) -> None:
        self.nodes = [Node("image", (task.channels, task.height, task.width))]
        self.value: Sum = INPUT

    def add(
        self,
        name: str,
        applied: Sequence[Layer],
        channels: int,
        part: str = "",
        value: Sum | None = None,
        times: int = 1,
        detail: str = "",
        adds_input: bool = False,
    ) -> Sum:
        """A node for layers that are applied in turn to `value`, or to what came last; its output."""
        value = self.value if value is None else value
        _, height, width = self.nodes[value[0][0] if value else -1].shape
        params, macs = layers.params(applied), layers.macs(applied, height, width)
        for layer in applied:
            height, width = layers.reduced(height, width, layer.stride)
        self.nodes.append(Node(name, (channels, height, width), params, macs, value, part, times, detail, adds_input))
        self.value = ((len(self.nodes) - 1, 1),)
        return self.value

    def add_graph(self, graph: Graph, channels: int, part: str) -> None:
        """A node for each operation of a graph at a constant number of channels."""
        values = [self.value]
        for name, inputs in graph.nodes:
            applied = OPERATIONS[name].layers(channels, channels, 1)
            values.append(self.add(name, applied, channels, part, _total(inputs, values)))
        self.value = _total(graph.output, values)

    def add_head(self, classifier: Linear) -> None:
        """Global average pooling and the classifier."""
        macs = classifier.macs(1)
        self.nodes.append(Node("classifier", (classifier.c_out,), classifier.params, macs, self.value))


def _total(inputs: Sum, values: Sequence[Sum]) -> Sum:
    return add(values[node] for node, times in inputs for _ in range(times))
