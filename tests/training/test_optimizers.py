"""Muon has steps of equal singular values; SGD is torch's."""

import subprocess
import sys
from textwrap import dedent

import pytest
import torch
from torch import nn

from nanonas.devices.compute import seeded
from nanonas.training.optimizers import SGD, Muon, orthogonalized


def matrices(count: int, rows: int, columns: int) -> torch.Tensor:
    with seeded(0):
        return torch.randn(count, rows, columns)


def test_singular_values_become_alike() -> None:
    for shape in [(3, 8, 72), (2, 40, 8)]:
        values = torch.linalg.svdvals(orthogonalized(matrices(*shape)))
        assert values.min() > 0.5
        assert values.max() < 1.3


def test_singular_vectors_stay() -> None:
    matrix = matrices(1, 6, 20)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    middle = left.mT @ orthogonalized(matrix) @ right.mT
    assert torch.allclose(middle, torch.diag_embed(middle.diagonal(dim1=1, dim2=2)), atol=1e-4)


def test_filters_of_one_shape_step_as_each_alone() -> None:
    start = matrices(2, 8, 36).reshape(2, 8, 4, 3, 3)

    def stepped(which: list[int]) -> list[torch.Tensor]:
        filters = [nn.Parameter(start[i].clone()) for i in which]
        muon = Muon(filters, lr=0.1, momentum=0.6, weight_decay=0.01)
        for _ in range(3):
            for f in filters:
                f.grad = f.detach() * 2 + 1
            muon.step()
        return [f.detach() for f in filters]

    together, alone = stepped([0, 1]), [*stepped([0]), *stepped([1])]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_weight_decay_is_decoupled_and_no_gradient_is_no_step() -> None:
    still, moving = nn.Parameter(torch.ones(4, 2, 3, 3)), nn.Parameter(torch.ones(4, 2, 3, 3))
    moving.grad = torch.zeros_like(moving)
    Muon([still, moving], lr=0.1, momentum=0.0, weight_decay=0.5).step()
    assert torch.equal(still, torch.ones_like(still))
    assert torch.allclose(moving, torch.full_like(moving, 0.95))


@pytest.mark.parametrize("kind", [SGD, Muon])
def test_a_rate_may_be_a_multiple_of_all_others(kind: type[SGD | Muon]) -> None:
    def stepped(lr: float | torch.Tensor, times: float) -> torch.Tensor:
        filters = nn.Parameter(matrices(1, 8, 36).reshape(8, 4, 3, 3))
        filters.grad = filters.detach() * 2 + 1
        kind([filters], lr, 0.6, 0.01, times).step()
        return filters.detach()

    expected = stepped(0.4, 1.0)
    assert torch.allclose(stepped(0.1, 4.0), expected)
    assert torch.allclose(stepped(torch.tensor(0.1), 4.0), expected)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_steps_as_that_of_torch(momentum: float) -> None:
    start = [torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.ones(5)]
    own, others, lone = ([nn.Parameter(tensor.clone()) for tensor in start] for _ in range(3))
    optimizers = [
        SGD(own, lr=0.1, momentum=momentum, weight_decay=0.01),
        torch.optim.SGD(others, 0.1, momentum, weight_decay=0.01, nesterov=momentum > 0),
    ]
    for step in range(3):
        for parameter in (*own, *others):
            parameter.grad = parameter.detach() * 2 + step
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(own, others, strict=True))
    SGD(lone, lr=0.1, momentum=momentum, weight_decay=0.01).step()
    assert all(torch.equal(a, b) for a, b in zip(lone, start, strict=True))  # no gradient, no step


def test_training_does_not_import_the_compiler_of_torch() -> None:
    lines = """
        import sys
        import torch
        from torch import nn
        from nanonas.training.optimizers import SGD, Muon
        filters = [nn.Parameter(torch.ones(4, 2, 3, 3))]
        filters[0].grad = torch.ones(4, 2, 3, 3)
        for kind in (SGD, Muon):
            kind(filters, lr=0.1, momentum=0.9, weight_decay=0.01).step()
        assert "torch._dynamo" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", dedent(lines)], check=True)
