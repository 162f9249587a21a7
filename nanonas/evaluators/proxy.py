"""The `proxy` evaluator: zero-cost scores instead of training."""

from typing import Literal

from ..core.config import ComponentConfig
from ..core.trial import Fidelity
from . import EVALUATORS
from .training import ImageSize, Training, side_in_pixels


@EVALUATORS.register("proxy")
class Proxy(Training):
    """Scores a fresh network on one batch of training images; nothing is trained.

    Metrics: jacov, synflow, naswot (see `nanonas.proxies`), params, macs; larger is better. Choose one by
    `objectives: {naswot: maximize}`.
    """

    class Config(ComponentConfig):
        name: Literal["proxy"] = "proxy"
        image_size: ImageSize = None

    metrics = ("jacov", "synflow", "naswot")

    @property
    def fidelity(self) -> Fidelity:
        return {"epochs": 0, "image_size": side_in_pixels(self.config.image_size, self.task), "data_fraction": 1.0}
