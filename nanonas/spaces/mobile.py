"""The `mobile` space: three stages, each with a width, a depth and one kind of block."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import Field, field_validator

from ..core.config import ComponentConfig, distinct
from ..core.errors import SpecError
from ..core.genotype import Genotype, Value
from ..core.program import Program
from ..core.registry import Registry
from ..core.space import Choice, SearchSpace
from ..core.task import Task
from ..networks import chain, layers
from ..networks.diagram import DiagramBuilder, Node
from ..networks.layers import BatchNorm, Branches, Conv, Layer, Linear, SqueezeExcitation
from . import SPACES, Halvings

if TYPE_CHECKING:
    from torch import nn

STAGES = 3
SQUEEZE = 8  # channels to one hidden unit of squeeze-and-excitation
CHOICES_OF_A_STAGE = 7
Reduction = Literal["pool", "stride", "keep"]
REDUCTIONS = {"pool": "halved by 2×2 maxima", "stride": "halved by stride 2", "keep": "as large as before"}

Width = Annotated[int, Field(ge=4, le=512)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1)]
Reductions = Annotated[tuple[Reduction, ...], Field(min_length=1)]

BLOCKS: Registry[Callable[[int, int, int, Layer], list[Layer]]] = Registry("block")


@BLOCKS.register("conv")
def _plain(channels: int, kernel: int, hidden: int, active: Layer) -> list[Layer]:
    return [Conv(channels, channels, kernel), BatchNorm(channels)]


@BLOCKS.register("residual")
def _residual(channels: int, kernel: int, hidden: int, active: Layer) -> list[Layer]:
    """He et al. 2016, arXiv:1512.03385."""
    plain = _plain(channels, kernel, hidden, active)
    return [*plain, active, *plain]


@BLOCKS.register("separable")
def _separable(channels: int, kernel: int, hidden: int, active: Layer) -> list[Layer]:
    """Chollet 2017, arXiv:1610.02357."""
    return [Conv(channels, channels, kernel, groups=channels), Conv(channels, channels, 1), BatchNorm(channels)]


@BLOCKS.register("inverted")
def _inverted(channels: int, kernel: int, hidden: int, active: Layer) -> list[Layer]:
    """Sandler et al. 2018, arXiv:1801.04381."""
    expand: list[Layer] = [Conv(channels, hidden, 1), BatchNorm(hidden), active]
    depthwise: list[Layer] = [Conv(hidden, hidden, kernel, groups=hidden), BatchNorm(hidden), active]
    return [*expand, *depthwise, Conv(hidden, channels, 1), BatchNorm(channels)]


@BLOCKS.register("fused")
def _fused(channels: int, kernel: int, hidden: int, active: Layer) -> list[Layer]:
    """Tan & Le 2021, arXiv:2104.00298."""
    return [Conv(channels, hidden, kernel), BatchNorm(hidden), active, Conv(hidden, channels, 1), BatchNorm(channels)]


EXPANDING = ("inverted", "fused")  # the others have no hidden channels


@SPACES.register("mobile")
class Mobile(SearchSpace):
    """Stem, three stages that begin with a convolution and then repeat a block, head: stage-wise, as mobile networks
    are searched (Tan et al. 2019, arXiv:1807.11626).

    A stage chooses whether and how it halves the image (`pool`: convolution, maximum of 2×2, batch norm; `stride`: a
    convolution of stride 2; `keep`: not), its width, and block, kernel, expansion, depth and squeeze-and-excitation of
    what follows. All blocks but `conv` are residual.

    Text: `w24/pool32:residual3e2x1/stride64:inverted5e4x2s/…`: the stem's width; then for each stage how it halves and
    its width, the block with its kernel, expansion and depth, `s` for squeeze-and-excitation.
    """

    class Config(ComponentConfig):
        name: Literal["mobile"] = "mobile"
        stem: Annotated[Widths, Field(description="channels of the stem")] = (16, 24, 32)
        widths: Annotated[
            tuple[Widths, Widths, Widths], Field(description="channels of the first, second and third stage")
        ] = ((16, 24, 32, 48), (32, 48, 64, 80, 96, 112), (48, 64, 80, 96, 112, 128))
        reductions: Annotated[
            tuple[Reductions, Reductions, Reductions], Field(description="how each stage may halve the image, or not")
        ] = (get_args(Reduction),) * 3
        depths: Annotated[
            tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1, description="blocks of a stage")
        ] = (1, 2, 3)
        blocks: Annotated[tuple[str, ...], Field(min_length=1, description="kinds of block")] = tuple(BLOCKS)
        kernels: Annotated[
            tuple[Literal[1, 3, 5, 7], ...], Field(min_length=1, description="sides of a block's filters")
        ] = (3, 5)
        expansions: Annotated[
            tuple[Annotated[int, Field(ge=1, le=8)], ...],
            Field(min_length=1, description="how much wider inverted and fused blocks are inside"),
        ] = (2, 3, 4)
        activation: Annotated[Literal["relu", "gelu"], Field(description="between convolutions")] = "relu"
        halvings: Halvings = None
        dropout: Annotated[float, Field(ge=0, lt=1, description="before the last layer")] = 0.0

        @field_validator("blocks")
        @classmethod
        def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                BLOCKS[name]
            return names

        _distinct = field_validator("stem", "depths", "blocks", "kernels", "expansions")(distinct)

        @field_validator("widths", "reductions")
        @classmethod
        def _distinct_in_a_stage(cls, stages: tuple[tuple[Value, ...], ...]) -> tuple[tuple[Value, ...], ...]:
            for options in stages:
                distinct(options)
            return stages

    measures = ("params", "macs", "activations")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.active = layers.ACTIVATIONS[config.activation]()
        self.choices = [Choice("stem", config.stem)]
        for stage, (widths, reductions) in enumerate(zip(config.widths, config.reductions, strict=True), 1):
            self.choices += [
                Choice(f"stage{stage}.reduction", reductions),
                Choice(f"stage{stage}.width", widths),
                Choice(f"stage{stage}.block", config.blocks),
                Choice(f"stage{stage}.kernel", config.kernels),
                Choice(f"stage{stage}.expansion", config.expansions),
                Choice(f"stage{stage}.depth", config.depths),
                Choice(f"stage{stage}.squeeze", (False, True)),
            ]

    def format(self, values: Sequence[Value]) -> str:
        stages = [
            f"{reduction}{width}:{block}{kernel}e{expansion}x{depth}{'s' if squeeze else ''}"
            for reduction, width, block, kernel, expansion, depth, squeeze in _stages(values)
        ]
        return "/".join([f"w{values[0]}", *stages])

    def parse(self, text: str) -> Genotype:
        stem, *stages = text[:1000].split("/")
        form = r"(pool|stride|keep)([0-9]{1,3}):([a-z]{1,20})([0-9])e([0-9])x([0-9]{1,2})(s?)"
        found = [re.fullmatch(form, stage) for stage in stages]
        if not re.fullmatch(r"w[0-9]{1,3}", stem) or len(found) != STAGES or None in found:
            raise SpecError(
                f"genotype {text[:200]!r} is not of the form w24/pool32:residual3e2x1/stride64:inverted5e4x2s/… of the "
                "mobile space"
            )
        values: list[Value] = [int(stem[1:])]
        for match in found:
            assert match is not None
            reduction, width, block, kernel, expansion, depth, squeeze = match.groups()
            values += [reduction, int(width), block, int(kernel), int(expansion), int(depth), squeeze == "s"]
        return self._checked(values, text)

    def canonical(self, genotype: Genotype) -> str:
        """What is built, in order. A stage that keeps size and width begins with a `conv` like any other, and only
        blocks with hidden channels have an expansion."""
        before = genotype.values[0]
        built = [f"stem>{before}"]
        for reduction, width, block, kernel, expansion, depth, squeeze in _stages(genotype.values):
            built.append(f"conv3:{before}>{width}{'' if reduction == 'keep' else reduction}")
            hidden = f"e{expansion}" if block in EXPANDING else ""
            built += [f"{block}{kernel}{hidden}:{width}>{width}{'s' if squeeze else ''}"] * int(depth)
            before = width
        return ";".join(built)

    def features(self, genotype: Genotype) -> frozenset[str]:
        """The choices, but for the expansion of blocks that have none."""
        blocks = [stage[2] for stage in _stages(genotype.values)]
        dead = tuple(f"stage{i}.expansion=" for i, block in enumerate(blocks, 1) if block not in EXPANDING)
        return frozenset(choice for choice in super().features(genotype) if not choice.startswith(dead))

    def measure(self, genotype: Genotype, task: Task) -> Mapping[str, float]:
        blocks = self._blocks(genotype, task)
        body = [layer for block in blocks for layer in block]
        put_out = layers.activations(body, task.height, task.width)
        return {**chain.measure(blocks, self._head(genotype, task), task), "activations": put_out}

    def program(self, genotype: Genotype, task: Task) -> Program:
        return chain.program(self._blocks(genotype, task), self._head(genotype, task), task)

    def build(self, genotype: Genotype, task: Task) -> "nn.Module":
        from ..networks.network import ChainNetwork

        return ChainNetwork(self._blocks(genotype, task), self._head(genotype, task), self.config.dropout)

    def describe(self, genotype: Genotype) -> str:
        lines = [f"stem    {genotype.values[0]} channels"]
        for number, stage in enumerate(_stages(genotype.values), 1):
            reduction, width, block, kernel, expansion, depth, squeeze = stage
            by = REDUCTIONS[str(reduction)]
            inside = f", {int(width) * int(expansion)} channels inside" if block in EXPANDING else ""
            weighted = ", squeeze-and-excitation" if squeeze else ""
            lines.append(f"stage {number} {width} channels, {by}")
            lines.append(f"    {depth} × {block} {kernel}×{kernel}{inside}{weighted}")
        return "\n".join([*lines, "head    global average pooling, classifier"])

    def diagram(self, genotype: Genotype, task: Task) -> Sequence[Node]:
        builder = DiagramBuilder(task)
        stem, *blocks = self._blocks(genotype, task)
        builder.add("stem", stem, int(genotype.values[0]))
        for number, stage in enumerate(_stages(genotype.values), 1):
            reduction, width, block, kernel, expansion, depth, squeeze = stage
            part, channels = f"stage {number}", int(width)
            builder.add("conv 3×3", blocks.pop(0), channels, part, detail=REDUCTIONS[str(reduction)])
            inside = [f"{channels * int(expansion)} channels inside"] if block in EXPANDING else []
            detail = ", ".join(inside + ["squeeze-and-excitation"] * bool(squeeze))
            for _ in range(int(depth)):
                name, applied = f"{block} {kernel}×{kernel}", blocks.pop(0)
                builder.add(name, applied, channels, part, detail=detail, adds_input=block != "conv")
        builder.add_head(self._head(genotype, task))
        return builder.nodes

    def _blocks(self, genotype: Genotype, task: Task) -> list[list[Layer]]:
        before = int(genotype.values[0])
        side, active = max(task.height, task.width), self.active
        blocks = [[*layers.stem(task.channels, side, before, active, self.config.halvings), active]]
        for reduction, width, block, kernel, expansion, depth, squeeze in _stages(genotype.values):
            channels = int(width)
            entry: list[Layer] = [Conv(before, channels, 3, stride=2 if reduction == "stride" else 1)]
            if reduction == "pool":
                entry.append(layers.halve_by_maximum())
            blocks.append([*entry, BatchNorm(channels), self.active])
            branch = BLOCKS[str(block)](channels, int(kernel), channels * int(expansion), self.active)
            if squeeze:
                branch.append(SqueezeExcitation(channels, max(4, channels // SQUEEZE)))
            whole = branch if block == "conv" else [Branches((tuple(branch), ()))]
            blocks += [[*whole, self.active]] * int(depth)
            before = channels
        return blocks

    def _head(self, genotype: Genotype, task: Task) -> Linear:
        *_, (_, width, *_) = _stages(genotype.values)
        return Linear(int(width), task.classes)


def _stages(values: Sequence[Value]) -> list[tuple[Value, ...]]:
    bounds = range(1, len(values) + 1, CHOICES_OF_A_STAGE)
    return [tuple(values[start:end]) for start, end in pairwise(bounds)]
