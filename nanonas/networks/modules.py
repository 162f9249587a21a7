"""Torch modules that single layers become."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Zero(nn.Module):
    """(N, C, H, W) → zeros (N, channels, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :1, :: self.stride, :: self.stride]).repeat(1, self.channels, 1, 1)


class WideDepthwiseConv(nn.Conv2d):
    """A depthwise convolution that computes in float32 where autocast would have a CPU compute in bfloat16: there the
    gradient of kernels over 3×3 takes several times as long."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.get_autocast_dtype("cpu"))


class SumModule(nn.Module):
    """The sum of what its branches make of one input."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


class SqueezeExcitationModule(nn.Module):
    """(N, C, H, W) → (N, C, H, W): each channel times a weight from 0 to 1."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.excite(self.squeeze(pooled(x)).relu()).sigmoid()  # (N, C)
        return x * weights[:, :, None, None]


def pooled(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C): global average pooling.

    The gradient that torch makes of it is laid out channel by channel, whatever x is, and the layer before would have
    to read one layout and write the other, which takes several times as long.
    """
    if x.requires_grad:
        is_last = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if is_last else torch.contiguous_format
        x.register_hook(lambda gradient: gradient.contiguous(memory_format=layout))
    return x.mean(dim=(2, 3))
