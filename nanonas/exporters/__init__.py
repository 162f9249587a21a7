"""EXPORTERS: one file each. An exporter writes a model file that runs without nanonas, and reads it back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..registry import Registry, import_modules

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

METADATA = ("classes", "mean", "std", "input_size", "data", "genotype", "params", "macs")
"""What every file carries, each as JSON."""


@dataclass(frozen=True)
class ModelFile:
    """An exported file, loaded: preprocessed images (N, C, H, W) float32 → logits (N, classes), and its metadata."""

    run: "Callable[[np.ndarray], np.ndarray]"
    metadata: Mapping[str, str]


class Exporter(ABC):
    """Writes and reads one format.

    Attributes:
        file_name: in the run's folder `exports`; its suffix is the format's own.
        holds_code: whether reading a stranger's file may run a stranger's program.
    """

    file_name: ClassVar[str]
    holds_code: ClassVar[bool]

    @abstractmethod
    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        """Writes a network in evaluation mode on the CPU; `example` is a batch of 2 or more, the batch stays free."""

    @abstractmethod
    def read(self, path: Path) -> ModelFile:
        """Raises ExportError when the file is damaged. Computes with one thread."""


EXPORTERS: Registry[Exporter] = Registry("format")

import_modules(__name__, __path__)
