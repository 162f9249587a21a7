"""Muon: the optimizer of convolution filters."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic that takes singular values to about 1
ITERATIONS = 4
EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Every step is the momentum with its singular values made equal.

    Jordan et al. 2024, kellerjordan.github.io/posts/muon. A filter (out, in, H, W) counts as a matrix (out, in·H·W);
    those of one shape are orthogonalized at once. Weight decay is decoupled. `torch.optim.Muon` takes matrices only,
    one after the other.

    Args:
        filters: parameters of more than one dimension.
    """

    def __init__(self, filters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(filters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for filters in group["params"]:
                if filters.grad is not None:
                    alike[filters.shape].append((filters, self._ahead(filters, group["momentum"])))
            for shape, pairs in alike.items():
                rows = shape[0]
                updates = orthogonalized(torch.stack([ahead.reshape(rows, -1) for _, ahead in pairs]))
                size = max(1.0, rows / updates.shape[2]) ** 0.5
                for (filters, _), update in zip(pairs, updates, strict=True):
                    filters.mul_(1 - group["lr"] * group["weight_decay"])
                    filters.sub_(update.reshape(shape) * (group["lr"] * size))

    def _ahead(self, filters: nn.Parameter, momentum: float) -> Tensor:
        """The gradient after Nesterov's look ahead."""
        state, gradient = self.state[filters], filters.grad
        assert gradient is not None
        buffer: Tensor = state.setdefault("momentum_buffer", torch.zeros_like(filters))
        buffer.mul_(momentum).add_(gradient)
        return gradient.add(buffer, alpha=momentum)


def orthogonalized(matrices: Tensor) -> Tensor:
    """(N, rows, columns), each with its singular values brought to between 0.7 and 1.2, by Newton and Schulz."""
    a, b, c = COEFFICIENTS
    x: Tensor = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + EPSILON)
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
