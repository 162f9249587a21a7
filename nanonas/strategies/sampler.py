"""The strategies that may stand inside another."""

from typing import Annotated

from pydantic import AfterValidator, Field

from . import StrategyConfig
from .evolution import RegularizedEvolution
from .local_search import LocalSearch
from .predictor import Predictor
from .random import RandomSearch


def _no_repeats(config: StrategyConfig) -> StrategyConfig:
    """Of the strategy inside another nobody would ask about its repeats."""
    if config.repeats:
        raise ValueError("repeats is said of the outer strategy: strategy.repeats")
    return config


Sampler = Annotated[
    RandomSearch.Config | RegularizedEvolution.Config, Field(discriminator="name"), AfterValidator(_no_repeats)
]
Successor = Annotated[
    RandomSearch.Config | RegularizedEvolution.Config | LocalSearch.Config | Predictor.Config,
    Field(discriminator="name"),
    AfterValidator(_no_repeats),
]
"""What a warm start may go on with."""
