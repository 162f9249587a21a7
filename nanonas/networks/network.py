"""Torch modules that run what a space describes: graphs, cells and chains of blocks."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .chain import Block
from .graph import Graph, Sum
from .layers import Layer, build
from .modules import pooled
from .operations import OPERATIONS


class GraphModule(nn.Module):
    """Runs a graph at a constant number of channels: (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, graph: Graph, channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(OPERATIONS[name](channels, channels) for name, _ in graph.nodes)
        self.inputs = [value for _, value in graph.nodes]
        self.output = graph.output

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for operation, value in zip(self.operations, self.inputs, strict=True):
            values.append(operation(_total(value, values)))
        return _total(self.output, values)


class CellModule(nn.Module):
    """Runs a cell as it is written: each edge applies its operation, each node sums: (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, edges: Sequence[tuple[int, int]], operations: Sequence[str], channels: int) -> None:
        super().__init__()
        self.edges = list(edges)
        self.operations = nn.ModuleList(OPERATIONS[name](channels, channels) for name in operations)

    def forward(self, x: Tensor) -> Tensor:
        return _flow(self.edges, x, lambda edge, value: self.operations[edge](value))


class MixedCell(nn.Module):
    """A cell in which every edge mixes all operations, weighted by a softmax: (N, C, H, W) → (N, C, H, W).

    Liu et al. 2019, arXiv:1806.09055, equation 2. `logits` (edges, operations) is no parameter, so that the optimizer
    of the weights leaves it alone.

    Args:
        edges: (source, target) of each, sorted by target.
        names: of the choices that the edges are.
    """

    logits: Tensor

    def __init__(
        self, edges: Sequence[tuple[int, int]], names: Sequence[str], operations: Sequence[str], channels: int
    ) -> None:
        super().__init__()
        self.edges, self.names, self.options = list(edges), list(names), list(operations)
        self.counting = [OPERATIONS[name].role != "zero" for name in operations]
        self.operations = nn.ModuleList(
            nn.ModuleList(OPERATIONS[name](channels, channels) for name in operations) for _ in edges
        )
        self.register_buffer("logits", torch.zeros(len(self.edges), len(self.options)))

    def forward(self, x: Tensor) -> Tensor:
        shares = self.logits.softmax(1)
        return _flow(self.edges, x, lambda edge, value: self._edge(edge, value, shares[edge]))

    def _edge(self, edge: int, x: Tensor, shares: Tensor) -> Tensor:
        operations = self.operations[edge]
        assert isinstance(operations, nn.ModuleList)
        terms = [
            share * operation(x)
            for share, operation, counts in zip(shares, operations, self.counting, strict=True)
            if counts
        ]
        return torch.stack(terms).sum(0)

    def weights(self) -> dict[str, float]:
        """`choice=option` → its share among the options that are not zero."""
        kept = [i for i, counts in enumerate(self.counting) if counts]
        shares = self.logits.detach()[:, kept].cpu().double().softmax(1)
        return {
            f"{name}={self.options[i]}": float(share)
            for name, row in zip(self.names, shares, strict=True)
            for i, share in zip(kept, row, strict=True)
        }


def _flow(edges: Sequence[tuple[int, int]], x: Tensor, apply: Callable[[int, Tensor], Tensor]) -> Tensor:
    """The last node of a cell whose first is x: each node is the sum of its edges, which are sorted by target."""
    nodes = [x]
    for edge, (source, target) in enumerate(edges):
        value = apply(edge, nodes[source])
        if target == len(nodes):
            nodes.append(value)
        else:
            nodes[target] = nodes[target] + value
    return nodes[-1]


def _total(value: Sum, values: list[Tensor]) -> Tensor:
    terms = [values[node] if times == 1 else times * values[node] for node, times in value]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class ChainNetwork(nn.Module):
    """Blocks one after the other, then global average pooling and a classifier.

    A block is a list of layers, or a graph with its number of channels; `head` is the classifier.
    """

    def __init__(self, blocks: Sequence[Block], head: Layer, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(GraphModule(*block) if isinstance(block, tuple) else build(block) for block in blocks)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = head.build()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = pooled(self.blocks(x))  # (N, C)
        logits: Tensor = self.head(self.dropout(x))
        return logits
