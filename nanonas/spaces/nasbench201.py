"""The `nasbench201` space: the cells of the tabular benchmark, and their networks as published."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..core.config import ComponentConfig
from ..core.errors import SpecError
from ..core.genotype import Genotype, Value
from ..core.program import Program
from ..core.space import Choice, SearchSpace
from ..core.task import Task
from ..networks import chain, layers
from ..networks.cell import EDGES, NODES, drawing, flow, graph_builder
from ..networks.diagram import DiagramBuilder, Node
from ..networks.graph import INPUT, Graph, Sum, add, neighbourhoods
from ..networks.layers import BatchNorm, Branches, Conv, Layer, Linear, relu
from ..networks.operations import OPERATIONS
from . import SPACES

if TYPE_CHECKING:
    from torch import nn

STAGES = 3
PUBLISHED = {  # its names, and what they are here
    "none": "none",
    "skip_connect": "skip_connect",
    "nor_conv_1x1": "conv_1x1",
    "nor_conv_3x3": "conv_3x3",
    "avg_pool_3x3": "avg_pool_3x3",
}
TEXT = "+".join("|" + "".join(f"{{}}~{source}|" for source in range(node)) for node in range(1, NODES))
SPELLED = {here: published for published, here in PUBLISHED.items()}


@SPACES.register("nasbench201")
class NASBench201(SearchSpace):
    """One cell of 4 nodes and 6 edges over five operations, repeated (Dong & Yang 2020, arXiv:2001.00326).

    A network is a stem of `channels`, three stages of `cells` equal cells with residual blocks of stride 2 between
    them, and a head. It is built as written, dead operations too, so that `params` and `macs` are those of the
    published tables; `live_params` counts without what is dead, and is the same for equal keys.

    Text: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: the operations into node 1, 2 and 3, each with the node it comes from.
    """

    class Config(ComponentConfig):
        name: Literal["nasbench201"] = "nasbench201"
        channels: Annotated[int, Field(ge=1, le=512, description="of the first stage")] = 16
        cells: Annotated[int, Field(ge=1, le=32, description="in each stage")] = 5

    measures = ("params", "macs", "live_params")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.choices = [Choice(f"edge{a}-{b}", tuple(PUBLISHED)) for a, b in EDGES]
        self._graph = lru_cache(maxsize=len(PUBLISHED) ** len(EDGES))(self._cell_graph)
        self._costs = lru_cache(maxsize=4)(self._costs_for)

    def format(self, values: Sequence[Value]) -> str:
        return TEXT.format(*values)

    def parse(self, text: str) -> Genotype:
        nodes = [re.fullmatch(r"\|(?:[^|~+]*~[0-9]\|)+", node) for node in text[:1000].split("+")]
        found = [re.findall(r"([^|~+]*)~([0-9])\|", match[0]) if match else [] for match in nodes]
        if [[int(source) for _, source in node] for node in found] != [list(range(n)) for n in range(1, NODES)]:
            raise SpecError(
                f"genotype {text[:200]!r} is not of the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2| of the nasbench201 "
                "space"
            )
        return self._checked([op for node in found for op, _ in node], text)

    def canonical(self, genotype: Genotype) -> str:
        return str(self._graph(genotype.values))

    def is_connected(self, genotype: Genotype) -> bool:
        return bool(self._graph(genotype.values).output)

    def features(self, genotype: Genotype) -> frozenset[str]:
        return neighbourhoods(self._graph(genotype.values))

    def measure(self, genotype: Genotype, task: Task) -> Mapping[str, float]:
        costs = self._costs(task)
        written = [costs[str(op)] for op in genotype.values]
        alive = [costs[op] for op in map(SPELLED.__getitem__, (op for op, _ in self._graph(genotype.values).nodes))]
        return {
            "params": costs[""][0] + sum(params for params, _ in written),
            "macs": costs[""][1] + sum(macs for _, macs in written),
            "live_params": costs[""][0] + sum(params for params, _ in alive),
        }

    def program(self, genotype: Genotype, task: Task) -> Program:
        return chain.program(self._blocks(genotype.values, task), self._head(task), task)

    def build(self, genotype: Genotype, task: Task) -> "nn.Module":
        from ..networks.network import ChainNetwork

        return ChainNetwork(self._blocks(genotype.values, task), self._head(task), dropout=0.0)

    def diagram(self, genotype: Genotype, task: Task) -> Sequence[Node]:
        """A cell once a stage; an edge whose input is zero is there too, since it is built."""
        builder, widths = DiagramBuilder(task), self._widths
        stem, *_, last = self._blocks(genotype.values, task)
        builder.add("stem", stem, widths[0])
        for stage, channels in enumerate(widths, 1):
            if stage > 1:
                builder.add("residual block", [reduction(widths[stage - 2], channels)], channels, detail="stride 2")
            sums: list[list[Sum]] = [[builder.value], *([] for _ in range(1, NODES))]
            for (source, target), value in zip(EDGES, genotype.values, strict=True):
                operation, into = OPERATIONS[PUBLISHED[str(value)]], add(sums[source])
                if operation.role == "compute":
                    applied, part = operation.layers(channels, channels, 1), f"stage {stage}"
                    into = builder.add(str(value), applied, channels, part, into, self.config.cells)
                sums[target].append(() if operation.role == "zero" else into)
            builder.value = add(sums[-1])
        builder.add("batch norm", last, widths[-1])
        builder.add_head(self._head(task))
        return builder.nodes

    def describe(self, genotype: Genotype) -> str:
        lines = [f"stem    {self.config.channels} channels", f"3 stages of {self.config.cells} cells, each"]
        return "\n".join([*lines, *drawing([str(v) for v in genotype.values], PUBLISHED.__getitem__), "head"])

    def _cell_graph(self, values: tuple[Value, ...]) -> Graph:
        builder = graph_builder()
        return builder.graph(flow(builder, [str(v) for v in values], INPUT, PUBLISHED.__getitem__))

    def _costs_for(self, task: Task) -> dict[str, tuple[int, int]]:
        """(params, macs) of a network whose edges are all `none`, under ""; and what each edge of an operation adds."""

        def cost(op: str) -> tuple[int, int]:
            found = chain.measure(self._blocks((op, *["none"] * 5), task), self._head(task), task)
            return found["params"], found["macs"]

        base = cost("none")
        added = {op: (cost(op)[0] - base[0], cost(op)[1] - base[1]) for op in PUBLISHED}
        return {"": base, **added}

    @property
    def _widths(self) -> list[int]:
        return [self.config.channels * 2**stage for stage in range(STAGES)]

    def _blocks(self, values: tuple[Value, ...], task: Task) -> list[list[Layer]]:
        widths = self._widths
        blocks: list[list[Layer]] = [[Conv(task.channels, widths[0], 3), BatchNorm(widths[0])]]
        edges = tuple(PUBLISHED[str(value)] for value in values)
        for i, channels in enumerate(widths):
            if i:
                blocks.append([reduction(widths[i - 1], channels)])
            blocks.append([EdgeCell(edges, channels)] * self.config.cells)
        return [*blocks, [BatchNorm(widths[-1]), relu()]]

    def _head(self, task: Task) -> Linear:
        return Linear(self._widths[-1], task.classes)


@dataclass(frozen=True)
class EdgeCell:
    """A cell as it is written: every edge is an operation of its own, whether or not anything comes of it."""

    edges: tuple[str, ...]  # names in OPERATIONS
    channels: int
    stride: int = 1

    @property
    def params(self) -> int:
        return sum(OPERATIONS[op].params(self.channels, self.channels) for op in self.edges)

    def macs(self, pixels: int) -> int:
        c = self.channels
        return sum(layers.macs(OPERATIONS[op].layers(c, c, 1), 1, pixels) for op in self.edges)

    def write(self, program: Program, x: int) -> int:
        nodes = [x]
        for (source, target), op in zip(EDGES, self.edges, strict=True):
            value = layers.write(OPERATIONS[op].layers(self.channels, self.channels, 1), program, nodes[source])
            nodes[target:] = [program.sum([*nodes[target:], value])]
        return nodes[-1]

    def build(self) -> "nn.Module":
        from ..networks.network import CellModule

        return CellModule(EDGES, self.edges, self.channels)


def reduction(c_in: int, c_out: int) -> Layer:
    """The benchmark's residual block of stride 2: two convolutions, beside average pooling and a 1×1 convolution."""
    first: tuple[Layer, ...] = (relu(), Conv(c_in, c_out, 3, stride=2), BatchNorm(c_out))
    second: tuple[Layer, ...] = (relu(), Conv(c_out, c_out, 3), BatchNorm(c_out))
    return Branches(((*first, *second), (layers.halve(), Conv(c_in, c_out, 1))), stride=2)
