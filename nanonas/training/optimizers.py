"""Optimizers: SGD, and Muon for convolution filters.

They are no torch.optim.Optimizer, whose first instance imports torch's compiler, which takes as long as torch itself.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

COEFFICIENTS = 3.4445, -4.7750, 2.0315  # of the quintic that takes singular values to about 1
ITERATIONS = 4
EPSILON = 1e-7


class Optimizer:
    """Steps along the gradient with momentum; a parameter without a gradient stays as it is.

    Args:
        lr: learning rate of the next step; may be changed, also to a tensor, which a CUDA graph reads anew.
        times: the learning rate, for these parameters.

    Attributes:
        fused: whether torch has one kernel for all of a step on the device of the parameters.
        momentum_of: running sums of gradients, one for each parameter, unless `momentum` is zero.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float | Tensor,
        momentum: float,
        weight_decay: float,
        times: float = 1.0,
    ) -> None:
        self.parameters = list(parameters)
        self.lr, self.momentum, self.weight_decay, self.times = lr, momentum, weight_decay, times
        self.fused = all(parameter.device.type in ("cpu", "cuda") for parameter in self.parameters)
        self.momentum_of = {p: torch.zeros_like(p, requires_grad=False) for p in self.parameters} if momentum else {}

    def step(self) -> None:
        """Changes the parameters in place, by their gradients as they are now."""
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013), computed by torch."""

    @torch.no_grad()
    def step(self) -> None:
        found = [(p, p.grad, self.momentum_of.get(p)) for p in self.parameters if p.grad is not None]
        sgd(
            [parameter for parameter, _, _ in found],
            [gradient for _, gradient, _ in found],
            [buffer for _, _, buffer in found],
            fused=self.fused,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.lr * self.times,
            dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False,
        )


class Muon(Optimizer):
    """Every step is the momentum with its singular values made equal.

    Jordan et al. 2024, kellerjordan.github.io/posts/muon. A filter (out, in, H, W) counts as a matrix (out, in·H·W);
    those of one shape are orthogonalized at once. Weight decay is decoupled. `torch.optim.Muon` takes matrices only,
    one after the other.
    """

    @torch.no_grad()
    def step(self) -> None:
        lr = self.lr * self.times
        alike: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for filters in self.parameters:
            if filters.grad is not None:
                alike[filters.shape].append((filters, self._ahead(filters, filters.grad)))
        for shape, pairs in alike.items():
            rows = shape[0]
            updates = orthogonalized(torch.stack([ahead.reshape(rows, -1) for _, ahead in pairs]))
            size = max(1.0, rows / updates.shape[2]) ** 0.5
            for (filters, _), update in zip(pairs, updates, strict=True):
                filters.mul_(1 - lr * self.weight_decay)
                filters.sub_(update.reshape(shape) * (lr * size))

    def _ahead(self, filters: nn.Parameter, gradient: Tensor) -> Tensor:
        """The gradient after Nesterov's look ahead."""
        if not self.momentum:
            return gradient
        buffer = self.momentum_of[filters].mul_(self.momentum).add_(gradient)
        return gradient.add(buffer, alpha=self.momentum)


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
