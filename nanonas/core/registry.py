"""Names for components, with an answer for the near miss."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from .errors import UnknownName

T = TypeVar("T")
C = TypeVar("C")


def nearest(name: object, allowed: Iterable[str]) -> str:
    """The end of an error message: the closest allowed name, or all of them when none is close."""
    allowed = list(allowed)
    close = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(allowed)}"


class Registry(Generic[T]):
    """A dict with a good error: a duplicate raises, an unknown name suggests the nearest."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._components: dict[str, T] = {}

    def add(self, name: str, component: T) -> None:
        if name in self._components:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._components[name] = component

    def register(self, name: str) -> Callable[[C], C]:
        """Class or function decorator: `@STRATEGIES.register("random")`."""

        def decorate(component: C) -> C:
            self.add(name, component)  # type: ignore[arg-type]  # a decorated class is the component
            return component

        return decorate

    def __getitem__(self, name: str) -> T:
        if name not in self._components:
            raise UnknownName(f"unknown {self.kind} {name!r}; {nearest(name, self)}")
        return self._components[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._components)


def import_modules(package: str, path: Iterable[str]) -> None:
    """Imports every module of a package, so that a new file registers itself by being there."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
