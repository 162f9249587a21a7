"""SPACES: one file each. A space says what its choices are, how they are written, and what network they mean."""

from typing import Annotated

from pydantic import Field

from ..core.registry import Registry, import_modules
from ..core.space import SearchSpace

Halvings = Annotated[
    int | None,
    Field(
        ge=0,
        le=5,
        description="how often the stem halves the image, so that cost grows with its side; null: until no side is "
        "over 64 pixels",
    ),
]

SPACES: Registry[type[SearchSpace]] = Registry("space")

import_modules(__name__, __path__)
