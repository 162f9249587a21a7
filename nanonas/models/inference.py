"""A network or an exported file at work: uint8 pixels in, scores of the classes out.

Torch is imported where a network or its latency asks for it, so that a file does without.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..core.errors import DataError, ExportError
from ..data.cache import at_once
from ..data.dataset import Dataset
from ..devices.timing import latency_ms
from ..exporters import Metadata, ModelFile

BATCH = 500
ROUNDING = 1e-3  # of a probability, in 8 bits too


@dataclass(frozen=True)
class Model:
    """What scores images of one size.

    Attributes:
        run: what `inputs` gives → (N, classes): logits, or probabilities when `with_preprocessing`.
        input_size: C, H, W.
        several: threads may run it at the same time.
    """

    run: Callable[[np.ndarray], np.ndarray]
    classes: tuple[str, ...]
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    with_preprocessing: bool = False
    several: bool = False

    @classmethod
    def of_file(cls, file: ModelFile, metadata: Metadata) -> Self:
        return cls(
            file.run, metadata.classes, metadata.input_size, metadata.mean, metadata.std, metadata.with_preprocessing
        )

    def check_fit(self, dataset: Dataset) -> None:
        """Raises DataError when the images are of other classes or of another size."""
        if tuple(dataset.classes) != self.classes:
            raise DataError(
                f"data set {dataset.name} has {len(dataset.classes)} classes that are not the model's "
                f"{len(self.classes)}"
            )
        size = (dataset.channels, dataset.height, dataset.width)
        if size != self.input_size:
            raise DataError(
                f"data set {dataset.name} has images of {size} (C, H, W), the model takes {self.input_size}"
            )

    def inputs(self, pixels: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 → what `run` takes."""
        own = np.require(pixels, requirements="W")  # torch warns of a mapped file, which is read-only
        return own if self.with_preprocessing else normalized(pixels, self.mean, self.std)

    def outputs(self, pixels: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 → what `run` gives, float64; ExportError when that cannot be scores of the classes."""
        size = at_once(pixels.shape[1] * pixels.shape[2], BATCH)

        def scored(start: int) -> np.ndarray:
            return self.run(self.inputs(pixels[start : start + size]))

        starts = range(0, len(pixels), size)
        found = np.concatenate(self._each(scored, starts)).astype(np.float64)
        if found.shape != (len(pixels), len(self.classes)):
            raise ExportError(f"the model's output has the shape {found.shape[1:]}, not {len(self.classes)} classes")
        if not np.isfinite(found).all():
            raise ExportError("the model's outputs are not finite: its weights are damaged")
        if self.with_preprocessing and not ((found >= 0) & (found <= 1 + ROUNDING)).all():
            raise ExportError("the model's outputs are no probabilities, which a file with preprocessing puts out")
        return found

    def _each(self, scored: Callable[[int], np.ndarray], starts: Sequence[int]) -> list[np.ndarray]:
        if not self.several:
            return [scored(start) for start in starts]
        from ..training.predict import each_on_a_thread

        return each_on_a_thread(scored, starts)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        return outputs if self.with_preprocessing else softmax(outputs)

    def latency_ms(self) -> dict[str, dict[str, float]]:
        """On one thread, from what `run` takes."""
        from ..devices.compute import threads

        with threads(1):
            latency = latency_ms(self.run, self.input_size, pixels=self.with_preprocessing)
        return {batch: dict(times) for batch, times in latency.items()}


def normalized(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(N, H, W, C) uint8 → (N, C, H, W) float32, what every exported file takes: (pixel / 255 − mean) / std."""
    x = (pixels / np.float32(255) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities
