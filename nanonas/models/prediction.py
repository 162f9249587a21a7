"""What image files show: decoded ahead of the network, and told file by file. Imports torch only where that runs."""

import os
import stat
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ..core.errors import DataError, RunError
from ..core.files import document
from ..data.cache import Pixels, at_once
from ..data.chosen import chosen_images
from ..data.picture import Form, decode, strict_about_bombs
from ..devices.machine import cores
from .exported import OpenedFile, is_model_file, open_file
from .inference import Model

if TYPE_CHECKING:
    from .heatmap import Heatmaps

BATCH = 64
TOP = 3
UNKNOWN = "unknown"


class Guess(NamedTuple):
    """A class and its probability."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a network says of an image file.

    Attributes:
        answer: the most probable class, or "unknown" where that is less probable than was asked for.
        top: the three most probable classes, or all of two.
        error: why the file cannot be read; then `answer` is None and `top` empty.
    """

    path: str
    answer: str | None
    top: tuple[Guess, ...] = ()
    error: str | None = None

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        top = [{"class": name, "probability": probability} for name, probability in self.top]
        best, probability = self.top[0] if self.top else (None, None)
        told = {"class": self.answer, "probability": probability, "most_probable": best, "top": top}
        return {"path": self.path, **told, "error": self.error}


@dataclass(frozen=True)
class Predictor:
    """A trained network or an exported file that takes image files.

    Attributes:
        form: what an image becomes before it goes in.
        run: the directory of the result's document.
        file: None for a network of a run.
    """

    model: Model
    form: Form
    run: Path
    file: OpenedFile | None = None
    heatmaps: "Heatmaps | None" = None

    @classmethod
    def open(cls, target: Path | str, trust: bool = False, heatmap: Path | None = None) -> Self:
        """Args:
            heatmap: a folder for pictures of what each class rests on; of a run only.

        Raises:
            RunError: the run has no trained model, or heatmaps are asked of a file.
            ExportError: the file is damaged, of no known format, or not trusted.
        """
        target = Path(target)
        if is_model_file(target):
            if heatmap is not None:
                raise RunError(f"{target} is a file, which has no gradients; name its run directory for --heatmap")
            file = open_file(target, trust)
            form = replace(file.metadata.form, resize=not file.metadata.with_preprocessing)
            return cls(file.model, form, file.run or target.parent, file)
        from .classifier import load_model

        classifier = load_model(target)
        heatmaps = None
        if heatmap is not None:
            from .heatmap import Heatmaps

            heatmaps = Heatmaps.into(heatmap, classifier)
        return cls(classifier.as_model(), classifier.card.form, target, heatmaps=heatmaps)

    def batches(self, paths: Sequence[str], min_probability: float = 0.0) -> Generator[list[Prediction], None, None]:
        """Of all paths, in their order, some at a time; of a file with preprocessing, one at a time."""
        size = at_once(self.form.height * self.form.width, BATCH) if self.form.resize else 1
        number = 1
        with strict_about_bombs():  # around all threads: each restores what it found
            decoded = self._decoded(paths, size)
            while batch := list(islice(decoded, size)):
                yield self._predicted(batch, number, min_probability)
                number += len(batch)

    def document(self, predictions: Iterable[Prediction], **fields: Any) -> dict[str, Any]:
        """The result as one document."""
        images = [prediction.fields() for prediction in predictions]
        place = self.file.place if self.file else {}
        unreadable = sum(image["error"] is not None for image in images)
        counts = {"images": images, "unreadable": unreadable}
        return document("predict", self.run, **place, classes=list(self.model.classes), **counts, **fields)

    def _decoded(self, paths: Sequence[str], size: int) -> Iterator[tuple[str, Pixels | str]]:
        """Each path with its pixels, or the reason why there are none, from threads that are ahead of the network."""
        count = cores()
        ahead = 2 * size if self.form.resize else 2 * count  # as they are, images may be large
        pool = ThreadPoolExecutor(count)
        waiting: deque[tuple[str, Future[Pixels | str]]] = deque()
        try:
            for path in paths:
                waiting.append((path, pool.submit(self._read, path)))
                if len(waiting) >= size + ahead:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, path: str) -> Pixels | str:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # a pipe would never end
                return f"{path} is no regular file"
            return decode(path, self.form)
        except OSError as error:
            return f"cannot read {path}: {error.strerror}"
        except DataError as error:
            return str(error)

    def _predicted(
        self, batch: Sequence[tuple[str, Pixels | str]], number: int, min_probability: float
    ) -> list[Prediction]:
        """Args: number: of the first image of the batch, from 1."""
        read = [(i, path, found) for i, (path, found) in enumerate(batch, number) if not isinstance(found, str)]
        tops = iter(self._tops([(i, path) for i, path, _ in read], [pixels for _, _, pixels in read]))
        found = []
        for path, result in batch:
            if isinstance(result, str):
                found.append(Prediction(path, None, error=result))
            else:
                top = next(tops)
                is_known = top[0].probability >= min_probability
                found.append(Prediction(path, top[0].name if is_known else UNKNOWN, top))
        return found

    def _tops(self, files: Sequence[tuple[int, str]], images: Sequence[Pixels]) -> list[tuple[Guess, ...]]:
        """The most probable classes of images; `files` has their numbers and paths, for heatmaps."""
        if not files:
            return []
        pixels = np.stack(images)
        with self._running():
            probabilities = self.model.probabilities(self.model.outputs(pixels))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
        if self.heatmaps:
            self.heatmaps.write(files, self.model.inputs(pixels), order[:, 0])
        names = self.model.classes
        return [
            tuple(Guess(names[i], float(row[i])) for i in best) for row, best in zip(probabilities, order, strict=True)
        ]

    def _running(self) -> AbstractContextManager[None]:
        return self.file.running() if self.file else nullcontext()


def predict(
    target: Path | str,
    images: Iterable[Path | str],
    min_probability: float = 0.0,
    trust: bool = False,
    heatmap: Path | str | None = None,
) -> Iterator[Prediction]:
    """What a run's network, or an exported file, says of image files, folders and patterns, as it comes.

    Args:
        min_probability: below it the answer is "unknown".
        trust: load a file that can hold code (TorchScript, pt2, ExecuTorch) though it is not in its run, or was not
            exported here.
        heatmap: a folder for pictures of what each class rests on; of a run only.

    Raises:
        DataError: there is no image; one that cannot be read is a prediction with its error.
        RunError, ExportError: the run has no trained model; the file is damaged, or not trusted.
    """
    paths = chosen_images([images] if isinstance(images, str) else map(str, images))
    predictor = Predictor.open(target, trust, None if heatmap is None else Path(heatmap))
    for batch in predictor.batches(paths, min_probability):
        yield from batch
