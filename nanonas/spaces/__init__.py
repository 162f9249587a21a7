"""SPACES: one file each. A space says what its choices are, how they are written, and what network they mean."""

from ..core.registry import Registry, import_modules
from ..core.space import SearchSpace

SPACES: Registry[type[SearchSpace]] = Registry("space")

import_modules(__name__, __path__)
