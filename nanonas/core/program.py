"""A network as the operators of the ONNX file that it becomes, known without torch.

Layers write it (`Layer.write`); peak memory, size and latency follow from it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]  # of one image's value: (C, H, W), or (C,)
Attributes = tuple[tuple[str, int | tuple[int, ...]], ...]

IMAGE = 0  # the value that every program begins with
FLOAT = 4  # bytes
ELEMENTWISE = ("Add", "BatchNormalization", "Gelu", "Mul", "Relu", "Sigmoid")


class Node(NamedTuple):
    """An operator of ONNX (or `Zero`, which takes several), and the value that it computes.

    Attributes:
        inputs: earlier values, by number.
        shape: of the value, without the batch.
        weights: shapes of its trained tensors, in the operator's order.
    """

    op: str
    inputs: tuple[int, ...]
    shape: Shape
    weights: tuple[Shape, ...] = ()
    attributes: Attributes = ()


class Program:
    """Values in the order in which they are computed: the image, then one of each node; the last is the result.

    What has no weights is computed once from equal inputs, as exporters see to it.
    """

    def __init__(self, image: Shape) -> None:
        self.nodes = [Node("", (), image)]
        self._known: dict[Node, int] = {}

    def add(
        self,
        op: str,
        inputs: tuple[int, ...],
        shape: Shape,
        weights: tuple[Shape, ...] = (),
        attributes: Attributes = (),
    ) -> int:
        """The value of an operator applied to values."""
        node = Node(op, inputs, shape, weights, attributes)
        if not weights and node in self._known:
            return self._known[node]
        self.nodes.append(node)
        if not weights:
            self._known[node] = len(self.nodes) - 1
        return len(self.nodes) - 1

    def sum(self, values: Sequence[int]) -> int:
        total = values[0]
        for value in values[1:]:
            total = self.add("Add", (total, value), self.shape(total))
        return total

    def mean(self, value: int) -> int:
        """Of each channel."""
        return self.add("ReduceMean", (value,), self.shape(value)[:1])

    def linear(self, value: int, outputs: int) -> int:
        """With a bias."""
        return self.add("Gemm", (value,), (outputs,), ((outputs, *self.shape(value)), (outputs,)))

    def shape(self, value: int) -> Shape:
        return self.nodes[value].shape

    @cached_property
    def users(self) -> Counter[int]:
        """How often each value is an input; of a finished program."""
        return Counter(value for node in self.nodes for value in node.inputs)

    def folded(self) -> "Program":
        """As it is exported: a batch norm is part of the convolution before it, which gets a bias, where nothing else
        needs what that puts out."""
        program = Program(self.shape(IMAGE))
        place = [IMAGE]
        for node in self.nodes[1:]:
            inputs = tuple([place[value] for value in node.inputs])
            before = program.nodes[inputs[0]]
            if node.op == "BatchNormalization" and before.op == "Conv" and self.users[node.inputs[0]] == 1:
                program.nodes[inputs[0]] = before._replace(weights=(before.weights[0], node.shape[:1]))
                place.append(inputs[0])
            else:
                program.nodes.append(node._replace(inputs=inputs))
                place.append(len(program.nodes) - 1)
        return program


def peak_memory(program: Program) -> int:
    """Peak activation memory in bytes: of one image in float32, the largest sum of values that are alive at once.

    While an operator runs, its inputs and its output are alive, and whatever a later one needs, such as the input of a
    residual connection. What is elementwise overwrites an input of its size that nothing needs any more. Neither
    weights nor the scratch memory of a runtime are counted. The order is that of the exported file.
    """
    left = Counter(program.users)
    alive = peak = FLOAT * prod(program.shape(IMAGE))
    for node in program.nodes[1:]:
        size = FLOAT * prod(node.shape)
        left.subtract(node.inputs)
        ended = [FLOAT * prod(program.shape(value)) for value in set(node.inputs) if not left[value]]
        overwrites = node.op in ELEMENTWISE and size in ended
        peak = max(peak, alive + (0 if overwrites else size))
        alive += size - sum(ended)
    return peak


def model_bytes(program: Program) -> int:
    """Bytes of the float32 weights that the exported ONNX file holds; the text of its graph comes on top."""
    return FLOAT * sum(prod(shape) for node in program.nodes for shape in node.weights)


MEASURES: Mapping[str, Callable[[Program], int]] = {"peak_memory": peak_memory, "model_bytes": model_bytes}
"""What is known of a folded program."""
