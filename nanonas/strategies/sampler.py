"""What the strategies that evaluate some of another's proposals take them from."""

from typing import Annotated

from pydantic import AfterValidator, Field

from . import inner
from .evolution import RegularizedEvolution
from .random import RandomSearch

Sampler = Annotated[
    RandomSearch.Config | RegularizedEvolution.Config, Field(discriminator="name"), AfterValidator(inner)
]
