"""Layers: what networks are made of, known by formula before they are built, so that nothing here imports torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..core.program import Attributes, Program

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

    def write(self, program: Program, x: int) -> int:
        """Adds to a program what the layer computes of the value x; the value that comes out."""

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

    def write(self, program: Program, x: int) -> int:
        side, padding = (self.stride,) * 2, (self._padding,) * 4
        _, height, width = program.shape(x)
        shape = (self.c_out, *reduced(height, width, self.stride))
        filters = (self.c_out, self.c_in // self.groups, self.kernel, self.kernel)
        attributes = ("strides", side), ("pads", padding), ("dilations", (self.dilation,) * 2), ("group", self.groups)
        return program.add("Conv", (x,), shape, (filters,), attributes)

    def build(self) -> "nn.Module":
        from torch import nn

        from .modules import WideDepthwiseConv

        is_wide = self.groups == self.c_in > 1 and self.kernel > 3
        return (WideDepthwiseConv if is_wide else nn.Conv2d)(
            self.c_in, self.c_out, self.kernel, self.stride, self._padding, self.dilation, self.groups, bias=False
        )

    @property
    def _padding(self) -> int:
        return self.dilation * (self.kernel // 2)


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

    def write(self, program: Program, x: int) -> int:
        return program.add("BatchNormalization", (x,), program.shape(x), ((self.channels,),) * 4)

    def build(self) -> "nn.Module":
        from torch import nn

        return nn.BatchNorm2d(self.channels)


@dataclass(frozen=True)
class Free:
    """A layer without parameters or multiplications: an activation, a pooling.

    Attributes:
        op, attributes: what it is in ONNX.
        channels: that it puts out; None: as many as it gets.
    """

    module: Callable[[], "nn.Module"]
    op: str
    attributes: Attributes = ()
    stride: int = 1
    channels: int | None = None
    params: int = 0

    def macs(self, pixels: int) -> int:
        return 0

    def write(self, program: Program, x: int) -> int:
        channels, height, width = program.shape(x)
        shape = (self.channels or channels, *reduced(height, width, self.stride))
        return program.add(self.op, (x,), shape, (), self.attributes)

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

    def write(self, program: Program, x: int) -> int:
        return program.linear(x, self.c_out)

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

    def write(self, program: Program, x: int) -> int:
        return program.sum([write(branch, program, x) for branch in self.branches])

    def build(self) -> "nn.Module":
        from .modules import SumModule

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

    def write(self, program: Program, x: int) -> int:
        hidden = program.linear(program.mean(x), self.hidden)
        weights = program.linear(program.add("Relu", (hidden,), (self.hidden,)), self.channels)
        shares = program.add("Sigmoid", (weights,), (self.channels,))
        return program.add("Mul", (x, program.add("Unsqueeze", (shares,), (self.channels, 1, 1))), program.shape(x))

    def build(self) -> "nn.Module":
        from .modules import SqueezeExcitationModule

        return SqueezeExcitationModule(self.channels, self.hidden)


def _torch(name: str, *args: int, **kwargs: bool | int) -> Callable[[], "nn.Module"]:
    """Makes a module of torch.nn when it is called, and imports torch only then."""

    def module() -> "nn.Module":
        from torch import nn

        made: nn.Module = getattr(nn, name)(*args, **kwargs)
        return made

    return module


def relu() -> Layer:
    return Free(_torch("ReLU"), "Relu")


def gelu() -> Layer:
    """x · Φ(x) (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""
    return Free(_torch("GELU"), "Gelu")


ACTIVATIONS: Mapping[str, Callable[[], Layer]] = {"relu": relu, "gelu": gelu}


def max_pool(kernel: int, stride: int) -> Layer:
    module = _torch("MaxPool2d", kernel, stride, padding=kernel // 2)
    return Free(module, "MaxPool", _window(kernel, stride, kernel // 2), stride)


def avg_pool(kernel: int, stride: int) -> Layer:
    """The padding is not counted, so that borders keep their scale."""
    module = _torch("AvgPool2d", kernel, stride, padding=kernel // 2, count_include_pad=False)
    return Free(module, "AveragePool", _window(kernel, stride, kernel // 2), stride)


def halve() -> Layer:
    """2×2 means; an odd last row or column is averaged by itself."""
    module = _torch("AvgPool2d", 2, ceil_mode=True, count_include_pad=False)
    return Free(module, "AveragePool", _window(2, 2, 0), stride=2)


def halve_by_maximum() -> Layer:
    """2×2 maxima; an odd last row or column is taken by itself."""
    return Free(_torch("MaxPool2d", 2, ceil_mode=True), "MaxPool", _window(2, 2, 0), stride=2)


def _window(kernel: int, stride: int, padding: int) -> Attributes:
    ceil = (("ceil_mode", 1),) if stride > 1 and not padding else ()
    return ("kernel_shape", (kernel,) * 2), ("strides", (stride,) * 2), ("pads", (padding,) * 4), *ceil


def reduced(height: int, width: int, stride: int) -> tuple[int, int]:
    """Height and width after a stride: every layer pads so that nothing is left over."""
    return -(-height // stride), -(-width // stride)


def stem(channels: int, side: int, width: int, active: Layer | None = None, halvings: int | None = None) -> list[Layer]:
    """What a network begins with, up to a batch norm.

    Args:
        halvings: how often it halves the image; None: until no side is over 64 pixels.
    """
    if halvings is None:
        halvings = max(0, -(-side // STEM_PIXELS) - 1).bit_length()
    layers: list[Layer] = [Conv(channels, width, 3, 2 if halvings else 1), BatchNorm(width)]
    for _ in range(halvings - 1):
        layers += [active or relu(), Conv(width, width, 3, 2), BatchNorm(width)]
    return layers


def params(layers: Sequence[Layer]) -> int:
    return sum(layer.params for layer in layers)


def macs(layers: Sequence[Layer], height: int, width: int) -> int:
    """Multiply-accumulates of layers applied in turn to one image of this size."""
    total = 0
    for layer in layers:
        height, width = reduced(height, width, layer.stride)
        total += layer.macs(height * width)
    return total


def activations(layers: Sequence[Layer], height: int, width: int) -> int:
    """Elements that convolutions applied in turn to one image of this size put out (Radosavovic et al. 2020,
    arXiv:2003.13678): where multiplications are cheap, the time of a training follows them more than the MACs."""
    total = 0
    for layer in layers:
        if isinstance(layer, Branches):
            total += sum(activations(branch, height, width) for branch in layer.branches)
        height, width = reduced(height, width, layer.stride)
        if isinstance(layer, Conv):
            total += layer.c_out * height * width
    return total


def write(layers: Sequence[Layer], program: Program, x: int) -> int:
    for layer in layers:
        x = layer.write(program, x)
    return x


def build(layers: Sequence[Layer]) -> "nn.Module":
    from torch import nn

    return nn.Sequential(*(layer.build() for layer in layers))
