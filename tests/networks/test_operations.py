"""What every registered operation keeps: a new one is tested by being registered."""

import io
import warnings

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nanonas.networks import layers as formulas
from nanonas.networks.operations import OPERATIONS, Operation

CASES = [(8, 8, 1), (8, 8, 2), (8, 12, 1), (8, 12, 2)]


@pytest.fixture(params=list(OPERATIONS))
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


@pytest.mark.parametrize(("c_in", "c_out", "stride"), CASES)
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)])
def test_shapes_and_formulas(operation: Operation, c_in: int, c_out: int, stride: int, size: tuple[int, int]) -> None:
    module = operation(c_in, c_out, stride).eval()
    layers = operation.layers(c_in, c_out, stride)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module(torch.randn(2, c_in, *size))
    assert output.shape == (2, c_out, -(-size[0] // stride), -(-size[1] // stride))
    assert sum(p.numel() for p in module.parameters()) == formulas.params(layers)
    assert counter.get_total_flops() == 2 * 2 * formulas.macs(layers, *size)


@pytest.mark.parametrize(("c_in", "c_out", "stride"), CASES)
def test_gradients_reach_input_and_parameters(operation: Operation, c_in: int, c_out: int, stride: int) -> None:
    if operation.role == "zero":
        pytest.skip("a zero has no gradient")
    module = operation(c_in, c_out, stride)
    x = torch.randn(4, c_in, 6, 6, requires_grad=True)
    output = module(x)
    (output * torch.randn_like(output)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def test_roles_are_true(operation: Operation) -> None:
    x = torch.randn(2, 8, 6, 6)
    output = operation(8, 8, 1).eval()(x)
    assert (operation.role == "identity") == torch.equal(output, x)
    assert (operation.role == "zero") == (not output.any())


def test_zero_in_is_zero_out_at_the_start(operation: Operation) -> None:
    """What canonical keys rely on: no operation makes something out of nothing."""
    assert not operation(8, 8, 1).eval()(torch.zeros(2, 8, 6, 6)).any()


@pytest.mark.parametrize("stride", [1, 2])
def test_exports_compute_the_same(operation: Operation, stride: int) -> None:
    module = operation(8, 8, stride).eval()
    x = torch.randn(3, 8, 6, 6)
    expected = module(x)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.trace(module, x), buffer)
        buffer.seek(0)
        scripted = torch.jit.load(buffer)
    assert torch.allclose(program.module()(x[:2]), expected[:2], atol=1e-5)
    assert torch.allclose(scripted(x[:1]), expected[:1], atol=1e-5)


def test_onnx_computes_the_same(operation: Operation, tmp_path: object) -> None:
    import numpy as np

    from nanonas.exporters import EXPORTERS

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.operation = operation(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) + self.operation(x).mean((2, 3))

    module, x = Head().eval(), torch.randn(3, 4, 6, 6)
    path = tmp_path / "model.onnx"
    EXPORTERS["onnx"].write(module, x[:2], path, {})
    assert np.allclose(EXPORTERS["onnx"].read(path).run(x.numpy()), module(x).detach().numpy(), atol=1e-5)
