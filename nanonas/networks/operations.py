"""OPERATIONS: what an edge of a cell can compute, from a name to a torch module.

An operation is a list of layers, from which its parameters and multiply-accumulates follow by formula, so that a
constraint is checked before torch is even imported. To add one, register it here: tests/networks/test_operations.py
checks the formulas against the built module, the shapes, the gradients and the exports of all that is registered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..core.registry import Registry
from . import layers
from .layers import BatchNorm, Conv, Free, Layer, avg_pool, max_pool, relu

if TYPE_CHECKING:
    from torch import nn


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
        return layers.params(self.layers(c_in, c_out, 1))

    def __call__(self, c_in: int, c_out: int, stride: int = 1) -> "nn.Module":
        return layers.build(self.layers(c_in, c_out, stride))


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
        from .modules import Zero

        return Zero(c_out, stride)

    return [Free(module, "Zero", (), stride, c_out)]


OPERATIONS.add("conv_1x1", _conv(1))
OPERATIONS.add("conv_3x3", _conv(3))
OPERATIONS.add("sep_conv_3x3", _separable(3))
OPERATIONS.add("sep_conv_5x5", _separable(5))
OPERATIONS.add("max_pool_3x3", _pool(max_pool))
OPERATIONS.add("avg_pool_3x3", _pool(avg_pool))
OPERATIONS.add("skip_connect", Operation(_skip, role="identity"))
OPERATIONS.add("none", Operation(_none, role="zero"))
