"""Components by name."""

import pytest

from nanonas.core.errors import UnknownName
from nanonas.core.registry import Registry


def test_a_registry_refuses_duplicates_and_unknown_names() -> None:
    registry: Registry[int] = Registry("thing")
    registry.add("first", 1)
    with pytest.raises(ValueError, match="registered twice"):
        registry.add("first", 2)
    with pytest.raises(UnknownName, match=r"unknown thing 'frist'; did you mean 'first'\?"):
        registry["frist"]
    assert list(registry) == ["first"]
