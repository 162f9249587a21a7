"""PROXIES: scores of networks that were never trained, on one batch of training images; larger is better."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core.errors import EvaluationError
from ..core.registry import Registry

Proxy = Callable[[nn.Module, Tensor], float]

ACTIVATIONS = (nn.ReLU, nn.GELU)  # what is switched on is positive
PROXIES: Registry[Proxy] = Registry("proxy")


@PROXIES.register("jacov")
def jacov(network: nn.Module, images: Tensor) -> float:
    """How differently a network reacts to different images (Mellor et al. 2020, arXiv:2006.04647v1).

    From the eigenvalues v of the correlations between the images' input gradients: −Σ (log v + 1 / v).

    Args:
        images: (N, C, H, W).
    """
    images = images.clone().requires_grad_()
    network.train()(images).sum().backward()
    assert images.grad is not None
    correlation = torch.corrcoef(images.grad.flatten(1).cpu().double())
    if not correlation.isfinite().all():  # an image that nothing reacts to
        return math.nan
    eigenvalues = torch.linalg.eigvalsh(correlation) + 1e-5
    return float(-(eigenvalues.log() + 1 / eigenvalues).sum())


@PROXIES.register("synflow")
def synflow(network: nn.Module, images: Tensor) -> float:
    """The logarithm of the flow through all paths (Tanaka et al. 2020, arXiv:2006.05467; for architectures: Abdelfattah
    et al. 2021, arXiv:2101.08134): Σ |weight · gradient| of one image of ones, weights made positive, no batch norm.
    """
    network = copy.deepcopy(network).cpu().double().eval()  # not every GPU has doubles
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda module, inputs, output: inputs[0])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
            parameter.grad = None
    network(torch.ones_like(images[:1], dtype=torch.double, device="cpu")).sum().backward()
    flows = [(p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None]
    return float(torch.stack(flows).sum().log().detach())


@PROXIES.register("naswot")
def naswot(network: nn.Module, images: Tensor) -> float:
    """How well images are told apart by which activations they switch on (Mellor et al. 2021, arXiv:2006.04647).

    The log determinant of the matrix that counts, for each pair of images, the activations that agree. Of equal images
    one counts: no network tells them apart.
    """
    distinct = images.unique(dim=0)
    images = distinct if len(distinct) < len(images) else images
    agreement = torch.zeros(len(images), len(images), dtype=torch.double)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        codes = (output.flatten(1) > 0).float().cpu()
        agreement.add_((codes @ codes.T + (1 - codes) @ (1 - codes).T).double())

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, ACTIVATIONS)]
    try:
        with torch.no_grad():
            network.train()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return float(torch.linalg.slogdet(agreement).logabsdet)


def proxy_scores(network: nn.Module, images: Tensor) -> dict[str, float]:
    """All of PROXIES; the network's batch-norm statistics change.

    Raises:
        EvaluationError: a score is not finite.
    """
    scores = {}
    for name in PROXIES:
        network.zero_grad()
        scores[name] = PROXIES[name](network, images)
        if not math.isfinite(scores[name]):
            raise EvaluationError(f"{name} is {scores[name]}")
    return scores
