"""OPERATIONS: what an edge of a cell can compute, from a name to a torch module.

An operation is a list of layers, from which its parameters and multiply-accumulates follow by formula, so that a
constraint is checked before torch is even imported. To add one, register it here: tests/test_operations.py checks the
formulas against the built module, the shapes, the gradients and the exports of everything that is registered.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from .registry import Registry

if TYPE_CHECKING:
    from torch import nn


STEM_PIXELS = 64


class Layer(Protocol):
    """One torch module, known by formula before it is built."""

    @property
    def stride(self) -> int:
        """Output pixels per side are ⌈input pixels / stride⌉."""

    @property
    def params(self) -> int: ...

    def macs(self, pixels: int) -> int:
        """Multiply-accumulates of one image, given the number of output pixels."""

    def build(self) -> "nn.Module": ...


@dataclass(frozen=True)
class Conv:
    """A convolution without bias (batch norm follows), padded so that only the stride changes the size."""

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    groups: int = 1
    dilation: int = 1

    @property
    def params(self) -> int:
        return self.c_in // self.groups * self.c_out * self.kernel**2

    def macs(self, pixels: int) -> int:
        return self.params * pixels

    def build(self) -> "nn.Module":
        from torch import nn

        from .network import WideDepthwiseConv

        is_wide = self.groups == self.c_in > 1 and self.kernel > 3
        padding = self.dilation * (self.kernel // 2)
        return (WideDepthwiseConv if is_wide else nn.Conv2d)(
            self.c_in, self.c_out, self.kernel, self.stride, padding, self.dilation, self.groups, bias=False
        )


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization with scale and shift (Ioffe & Szegedy 2015)."""

    channels: int
    stride: int = 1

    @property
    def params(self) -> int:
        return 2 * self.channels

    def macs(self, pixels: int) -> int:
        return 0  # folds into the convolution before it

    def build(self) -> "nn.Module":
        from torch import nn

        return nn.BatchNorm2d(self.channels)


@dataclass(frozen=True)
class Free:
    """A layer without parameters or multiplications: an activation, a pooling."""

    module: Callable[[], "nn.Module"]
    stride: int = 1
    params: int = 0

    def macs(self, pixels: int) -> int:
        return 0

    def build(self) -> "nn.Module":
        return self.module()


@dataclass(frozen=True)
class Linear:
    """The classifier at the end: one multiplication a weight, plus a bias."""

    c_in: int
    c_out: int
    stride: int = 1

    @property
    def params(self) -> int:
        return (self.c_in + 1) * self.c_out

    def macs(self, pixels: int) -> int:
        return self.c_in * self.c_out

    def build(self) -> "nn.Module":
        from torch import nn

        return nn.Linear(self.c_in, self.c_out)


@dataclass(frozen=True)
class Branches:
    """The sum of what each branch makes of one input; an empty branch is the input itself (He et al. 2016).

    A branch that reduces does so in its first layer.
    """

    branches: tuple[tuple[Layer, ...], ...]
    stride: int = 1

    @property
    def params(self) -> int:
        return sum(map(params, self.branches))

    def macs(self, pixels: int) -> int:
        return sum(layer.macs(pixels) for branch in self.branches for layer in branch)

    def build(self) -> "nn.Module":
        from .network import SumModule

        return SumModule([build(branch) for branch in self.branches])


@dataclass(frozen=True)
class SqueezeExcitation:
    """Channels weighted by what the whole image shows (Hu et al. 2018, arXiv:1709.01507)."""

    channels: int
    hidden: int
    stride: int = 1

    @property
    def params(self) -> int:
        return (self.channels + 1) * self.hidden + (self.hidden + 1) * self.channels

    def macs(self, pixels: int) -> int:
        return 2 * self.channels * self.hidden

    def build(self) -> "nn.Module":
        from .network import SqueezeExcitationModule

        return SqueezeExcitationModule(self.channels, self.hidden)


def relu() -> Layer:
    def module() -> "nn.Module":
        from torch import nn

        return nn.ReLU()

    return Free(module)


def max_pool(kernel: int, stride: int) -> Layer:
    def module() -> "nn.Module":
        from torch import nn

        return nn.MaxPool2d(kernel, stride, padding=kernel // 2)

    return Free(module, stride)


def avg_pool(kernel: int, stride: int) -> Layer:
    def module() -> "nn.Module":
        from torch import nn

        # the padding is not counted, so that borders keep their scale
        return nn.AvgPool2d(kernel, stride, padding=kernel // 2, count_include_pad=False)

    return Free(module, stride)


def halve() -> Layer:
    """2×2 means; an odd last row or column is averaged by itself."""

    def module() -> "nn.Module":
        from torch import nn

        return nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)

    return Free(module, stride=2)


def halve_by_maximum() -> Layer:
    """2×2 maxima; an odd last row or column is taken by itself."""

    def module() -> "nn.Module":
        from torch import nn

        return nn.MaxPool2d(2, ceil_mode=True)

    return Free(module, stride=2)


def stem(channels: int, side: int, width: int) -> list[Layer]:
    """What a network begins with, up to a batch norm: images with a side over 64 pixels are halved until it is not."""
    stride = 2 if side > STEM_PIXELS else 1
    layers: list[Layer] = [Conv(channels, width, 3, stride), BatchNorm(width)]
    while (side := -(-side // stride)) > STEM_PIXELS:
        layers += [relu(), Conv(width, width, 3, stride), BatchNorm(width)]
    return layers


def params(layers: Sequence[Layer]) -> int:
    return sum(layer.params for layer in layers)


def macs(layers: Sequence[Layer], height: int, width: int) -> int:
    """Multiply-accumulates of layers applied in turn to one image of this size."""
    total = 0
    for layer in layers:
        height, width = math.ceil(height / layer.stride), math.ceil(width / layer.stride)
        total += layer.macs(height * width)
    return total


def activations(layers: Sequence[Layer], height: int, width: int) -> int:
    """Elements that convolutions applied in turn to one image of this size put out (Radosavovic et al. 2020,
    arXiv:2003.13678): where multiplications are cheap, the time of a training follows them more than the MACs."""
    total = 0
    for layer in layers:
        if isinstance(layer, Branches):
            total += sum(activations(branch, height, width) for branch in layer.branches)
        height, width = math.ceil(height / layer.stride), math.ceil(width / layer.stride)
        if isinstance(layer, Conv):
            total += layer.c_out * height * width
    return total


def build(layers: Sequence[Layer]) -> "nn.Module":
    from torch import nn

    return nn.Sequential(*(layer.build() for layer in layers))


@dataclass(frozen=True)
class Operation:
    """What an edge computes: (N, c_in, H, W) → (N, c_out, ⌈H/stride⌉, ⌈W/stride⌉).

    Attributes:
        layers: (c_in, c_out, stride) → the layers applied in turn.
        role: at stride 1 with c_in = c_out, a `zero` outputs nothing and an `identity` its input; neither is then
            built or run.
    """

    layers: Callable[[int, int, int], Sequence[Layer]]
    role: Literal["compute", "identity", "zero"] = "compute"

    @property
    def is_free(self) -> bool:
        """Without parameters inside a cell, hence the same function wherever its input is the same."""
        return self.params(2, 2) == 0

    def params(self, c_in: int, c_out: int) -> int:
        return params(self.layers(c_in, c_out, 1))

    def __call__(self, c_in: int, c_out: int, stride: int = 1) -> "nn.Module":
        return build(self.layers(c_in, c_out, stride))


OPERATIONS: Registry[Operation] = Registry("operation")


def _conv(kernel: int) -> Operation:
    """Activation first, so that sums stay linear between cells (He et al. 2016, arXiv:1603.05027)."""
    return Operation(lambda c_in, c_out, stride: [relu(), Conv(c_in, c_out, kernel, stride), BatchNorm(c_out)])


def _separable(kernel: int) -> Operation:
    """Depthwise, then pointwise (Chollet 2017, arXiv:1610.02357); once, where DARTS applies it twice."""
    return Operation(
        lambda c_in, c_out, stride: [
            relu(),
            Conv(c_in, c_in, kernel, stride, groups=c_in),
            Conv(c_in, c_out, 1),
            BatchNorm(c_out),
        ]
    )


def _pool(pool: Callable[[int, int], Layer]) -> Operation:
    return Operation(lambda c_in, c_out, stride: [pool(3, stride), *_fit(c_in, c_out)])


def _fit(c_in: int, c_out: int) -> list[Layer]:
    return [] if c_in == c_out else [Conv(c_in, c_out, 1), BatchNorm(c_out)]


def _skip(c_in: int, c_out: int, stride: int) -> list[Layer]:
    return [] if stride == 1 and c_in == c_out else [Conv(c_in, c_out, 1, stride), BatchNorm(c_out)]


def _none(c_in: int, c_out: int, stride: int) -> list[Layer]:
    def module() -> "nn.Module":
        from .network import Zero

        return Zero(c_out, stride)

    return [Free(module, stride)]


OPERATIONS.add("conv_1x1", _conv(1))
OPERATIONS.add("conv_3x3", _conv(3))
OPERATIONS.add("sep_conv_3x3", _separable(3))
OPERATIONS.add("sep_conv_5x5", _separable(5))
OPERATIONS.add("max_pool_3x3", _pool(max_pool))
OPERATIONS.add("avg_pool_3x3", _pool(avg_pool))
OPERATIONS.add("skip_connect", Operation(_skip, role="identity"))
OPERATIONS.add("none", Operation(_none, role="zero"))
