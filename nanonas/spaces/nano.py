"""The `nano` space: three stages, each with a cell of its own over eight operations."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from ..core.config import ComponentConfig, distinct
from ..core.errors import SpecError
from ..core.genotype import Genotype, Value
from ..core.program import Program
from ..core.space import Choice, SearchSpace
from ..core.task import Task
from ..networks import chain, layers
from ..networks.cell import EDGES, NODES, drawing, flow, graph_builder, rows
from ..networks.chain import Block
from ..networks.diagram import DiagramBuilder, Node
from ..networks.graph import INPUT, Graph, add, neighbourhoods
from ..networks.layers import BatchNorm, Conv, Free, Layer, Linear, relu
from ..networks.operations import OPERATIONS
from . import SPACES, Halvings

if TYPE_CHECKING:
    from torch import nn

STAGES = 3


@SPACES.register("nano")
class Nano(SearchSpace):
    """Stem, three stages of cells with reductions between them (stride 2, twice the channels), head.

    A cell is a graph of 4 nodes and 6 edges, as in NAS-Bench-201 (Dong & Yang 2020, arXiv:2001.00326); a node is the
    sum of its edges. Differs: each stage has a cell of its own, widths and depths are searched, and dead operations
    are not built. A stage with a residual connection adds to each of its cells its input.

    Text: `w24/x2r:conv_3x3+none,skip_connect+none,conv_1x1,none/x1:…/x1:…`: the stem's width; then for each stage the
    number of cells, `r` for residual, and the operations into node 1, 2 and 3, separated by `+`.
    """

    class Config(ComponentConfig):
        name: Literal["nano"] = "nano"
        operations: Annotated[tuple[str, ...], Field(min_length=2, description="what an edge may be")] = (
            "conv_1x1",
            "conv_3x3",
            "sep_conv_3x3",
            "sep_conv_5x5",
            "max_pool_3x3",
            "avg_pool_3x3",
            "skip_connect",
            "none",
        )
        widths: Annotated[
            tuple[Annotated[int, Field(ge=4, le=512)], ...],
            Field(min_length=1, description="channels of the first stage; each further one doubles them"),
        ] = (16, 20, 24, 28, 32)
        cells: Annotated[
            tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(min_length=1, description="cells of a stage")
        ] = (1, 2, 3)
        halvings: Halvings = None
        dropout: Annotated[float, Field(ge=0, lt=1, description="before the last layer")] = 0.1

        @field_validator("operations")
        @classmethod
        def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                OPERATIONS[name]
            return names

        _distinct = field_validator("operations", "widths", "cells")(distinct)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.choices = [
            Choice("width", config.widths),
            *(choice for stage in range(1, STAGES + 1) for choice in self._stage_choices(stage)),
        ]
        self._stage = lru_cache(maxsize=65536)(self._stage_graph)

    def _stage_choices(self, stage: int) -> list[Choice]:
        edges = [Choice(name, self.config.operations) for name in _edge_names(stage)]
        return [
            Choice(f"stage{stage}.cells", self.config.cells),
            Choice(f"stage{stage}.residual", (False, True)),
            *edges,
        ]

    def format(self, values: Sequence[Value]) -> str:
        return "/".join([f"w{values[0]}", *(_format_stage(stage) for stage in _stages(values))])

    def parse(self, text: str) -> Genotype:
        width, *stages = text.split("/")
        if not re.fullmatch(r"w[0-9]{1,4}", width) or len(stages) != STAGES:
            raise SpecError(f"genotype {text[:200]!r} is not of the form w16/x1:…/x1:…/x1r:… of the nano space")
        values: list[Value] = [int(width[1:])]
        for stage in stages:
            head, _, cell = stage.partition(":")
            match = re.fullmatch(r"x([0-9]{1,3})(r?)", head)
            edges = [node.split(",") for node in cell.split("+")]
            if not match or [len(node) for node in edges] != list(range(1, NODES)):
                raise SpecError(
                    f"genotype {text[:200]!r}: stage {stage[:80]!r} is not of the form x1:op+op,op+op,op,op "
                    "(x1r: with residual connections)"
                )
            values += [int(match[1]), match[2] == "r", *(name for node in edges for name in node)]
        return self._checked(values, text)

    def canonical(self, genotype: Genotype) -> str:
        if not self.is_connected(genotype):
            return "disconnected"
        return "|".join([f"w{genotype.values[0]}", *map(str, self._graphs(genotype))])

    def features(self, genotype: Genotype) -> frozenset[str]:
        """The neighbourhoods in the graph of each stage, and the width."""
        found = {f"width {genotype.values[0]}"}
        for number, graph in enumerate(self._graphs(genotype)):
            found |= {f"{number} {feature}" for feature in neighbourhoods(graph)}
        return frozenset(found)

    def is_connected(self, genotype: Genotype) -> bool:
        return all(graph.output for graph in self._graphs(genotype))

    def measure(self, genotype: Genotype, task: Task) -> Mapping[str, float]:
        """Parameters and MACs of what is built; of a disconnected genotype only what stands outside its dead stages."""
        return chain.measure(self._blocks(genotype, task), self._head(genotype, task), task)

    def program(self, genotype: Genotype, task: Task) -> Program:
        return chain.program(self._blocks(genotype, task), self._head(genotype, task), task)

    def build(self, genotype: Genotype, task: Task) -> "nn.Module":
        from ..networks.network import ChainNetwork

        if not self.is_connected(genotype):
            raise SpecError(f"genotype {genotype} does not connect its input to its output")
        return ChainNetwork(self._blocks(genotype, task), self._head(genotype, task), self.config.dropout)

    def describe(self, genotype: Genotype) -> str:
        """Each stage's cell as a table of edges, dead ones left out."""
        width = int(genotype.values[0])
        lines = [f"stem    {width} channels"]
        for number, stage in enumerate(_stages(genotype.values)):
            cells, residual, *edges = stage
            channels = width * 2**number
            around = ", each with a residual connection" if residual else ""
            lines.append(f"stage {number + 1} {channels} channels, {cells} cell{'s' * (cells != 1)}{around}")
            lines += drawing([str(operation) for operation in edges])
        return "\n".join([*lines, "head    global average pooling, classifier"])

    def diagram(self, genotype: Genotype, task: Task) -> Sequence[Node]:
        builder, stage = DiagramBuilder(task), 1
        names = iter(("stem", "reduction", "reduction", "batch norm"))
        for block in self._blocks(genotype, task):
            if isinstance(block, tuple):
                builder.add_graph(block[0], block[1], f"stage {stage}")
                stage += 1
            else:
                channels = int(genotype.values[0]) * 2 ** min(stage - 1, STAGES - 1)
                builder.add(next(names), block, channels)
        builder.add_head(self._head(genotype, task))
        return builder.nodes

    def supernet(self, task: Task, channels: int) -> "nn.Module":
        """One cell a stage, without residual connections; its edges are learned, depths and widths are not."""
        from ..networks.network import ChainNetwork

        cells = [[_mixed(stage + 1, self.config.operations, channels * 2**stage)] for stage in range(STAGES)]
        head = Linear(channels * 2 ** (STAGES - 1), task.classes)
        return ChainNetwork(self._chain(task, channels, cells), head, self.config.dropout)

    def _blocks(self, genotype: Genotype, task: Task) -> list[Block]:
        width = int(genotype.values[0])
        return self._chain(task, width, [(g, width * 2**i) for i, g in enumerate(self._graphs(genotype))])

    def _chain(self, task: Task, width: int, stages: Sequence[Block]) -> list[Block]:
        """Stem, stages with reductions between them, and what comes before the head."""
        stem = layers.stem(task.channels, max(task.height, task.width), width, halvings=self.config.halvings)
        blocks: list[Block] = [stem]
        widths = [width * 2**stage for stage in range(STAGES)]
        for i, stage in enumerate(stages):
            blocks.append(stage)
            if i + 1 < STAGES:
                blocks.append([relu(), Conv(widths[i], widths[i + 1], 3, stride=2), BatchNorm(widths[i + 1])])
        # sums grow with every cell; without this, so would the logits
        return [*blocks, [BatchNorm(widths[-1]), relu()]]

    def _head(self, genotype: Genotype, task: Task) -> Linear:
        return Linear(int(genotype.values[0]) * 2 ** (STAGES - 1), task.classes)

    def _graphs(self, genotype: Genotype) -> list[Graph]:
        return [self._stage(stage) for stage in _stages(genotype.values)]

    def _stage_graph(self, stage: tuple[Value, ...]) -> Graph:
        """All cells of a stage as one graph, so that one deep cell and two shallow ones can be found equal."""
        cells, residual, *edges = stage
        builder = graph_builder()
        operations = [str(edge) for edge in edges]
        value = INPUT
        for _ in range(int(cells)):
            output = flow(builder, operations, value)
            value = add([output, value]) if residual else output
        return builder.graph(value)


def _mixed(stage: int, operations: Sequence[str], channels: int) -> Layer:
    """A cell of the supernet; only built, never measured or written."""

    def module() -> "nn.Module":
        from ..networks.network import MixedCell

        return MixedCell(EDGES, _edge_names(stage), operations, channels)

    return Free(module, op="")


def _edge_names(stage: int) -> list[str]:
    return [f"stage{stage}.edge{a}-{b}" for a, b in EDGES]


def _stages(values: Sequence[Value]) -> list[tuple[Value, ...]]:
    bounds = range(1, len(values) + 1, 2 + len(EDGES))
    return [tuple(values[start:end]) for start, end in pairwise(bounds)]


@lru_cache(maxsize=65536)  # neighbours share all stages but one
def _format_stage(stage: tuple[Value, ...]) -> str:
    cells, residual, *edges = stage
    return f"x{cells}{'r' if residual else ''}:" + "+".join(map(",".join, rows([str(edge) for edge in edges])))
