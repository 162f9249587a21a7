"""The `proxy` evaluator: zero-cost scores instead of training."""

from typing import Annotated, Literal

from pydantic import Field

from ..config import ComponentConfig
from ..trial import Fidelity
from . import EVALUATORS
from .training import Training


@EVALUATORS.register("proxy")
class Proxy(Training):
    """Scores a fresh network on one batch of training images; nothing is trained.

    Metrics: jacov, synflow, naswot (see `nanonas.proxies`), params, macs; larger is better. Choose one by
    `objectives: {naswot: maximize}`.
    """

    class Config(ComponentConfig):
        name: Literal["proxy"] = "proxy"
        image_size: Annotated[int, Field(ge=4, le=1024, description="longer side; null: as the data are")] | None = None

    metrics = ("jacov", "synflow", "naswot")

    @property
    def fidelity(self) -> Fidelity:
        side = self.config.image_size or max(self.task.height, self.task.width)
        return {"epochs": 0, "image_size": side, "data_fraction": 1.0}
