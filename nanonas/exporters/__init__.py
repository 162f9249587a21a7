"""EXPORTERS: one file each. An exporter writes a model file that runs without nanonas, and reads it back."""

import contextlib
import io
import json
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import NEWER, UPGRADE, ExportError
from ..core.registry import Registry, import_modules
from ..data.dataset import DataConfig, Side
from ..data.picture import Form, Range

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


CALIBRATION_BATCH = 64  # images at a time


class Metadata(BaseModel):
    """What every file carries, each field as JSON text; no file is believed before this has checked it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    range: Range | None = None
    input_size: tuple[Side, Side, Side]  # C, H, W
    data: DataConfig
    genotype: str
    params: int
    macs: int
    with_preprocessing: bool

    @property
    def form(self) -> Form:
        """What an image has to become for a file without preprocessing inside."""
        channels, height, width = self.input_size
        return Form(height, width, channels, self.data.fit, self.range)

    def texts(self) -> dict[str, str]:
        return {key: json.dumps(value) for key, value in self.model_dump(mode="json").items()}

    @classmethod
    def of(cls, texts: Mapping[str, str], path: Path) -> Self:
        """Raises ExportError, naming the field that is missing or damaged."""
        fields = {}
        for key, field in cls.model_fields.items():
            if key not in texts and not field.is_required():  # made by a version that did not know it
                continue
            try:
                fields[key] = json.loads(texts[key])
            except KeyError:
                raise ExportError(f"{path} was not made by nanonas: it does not say its {key}") from None
            except (ValueError, RecursionError):
                raise ExportError(f"{path} is damaged: its {key} cannot be read") from None
        try:
            found = cls.model_validate(fields)
        except ValidationError as error:
            if any(problem["type"] == "extra_forbidden" for problem in error.errors()):
                raise ExportError(f"{path} {NEWER}; {UPGRADE}") from None
            raise ExportError(f"{path} is damaged: its {error.errors()[0]['loc'][0]} cannot be read") from None
        if not len(found.mean) == len(found.std) == found.input_size[0]:
            raise ExportError(f"{path} is damaged: its mean, std and input_size do not fit together")
        return found


@dataclass(frozen=True)
class ModelFile:
    """An exported file, loaded, and its metadata.

    `run`: preprocessed images (N, C, H, W) float32 → logits (N, classes); when the metadata say `with_preprocessing`,
    pixels (N, H, W, C) uint8 → probabilities (N, classes).
    """

    run: "Callable[[np.ndarray], np.ndarray]"
    metadata: Mapping[str, str]


def torch_file(module: "nn.Module", extra: Mapping[str, str | bytes]) -> ModelFile:
    """What torch has loaded, with the extra files that lay beside it; "" stands for one that did not."""
    import torch

    def run(images: "np.ndarray") -> "np.ndarray":
        with torch.inference_mode():
            scores: np.ndarray = module(torch.from_numpy(images)).numpy()
        return scores

    texts = {key: value.decode() if isinstance(value, bytes) else value for key, value in extra.items()}
    return ModelFile(run, {key: text for key, text in texts.items() if text})


class Exporter(ABC):
    """Writes and reads one format.

    Attributes:
        file_name: in the run's folder `exports`; its suffix is the format's own.
        holds_code: whether reading a stranger's file may run a stranger's program.
        takes_pixels: whether `write` also takes a network that begins with preprocessing.
        quantizes: whether there is a `write_int8`.
        extra: the package that only this format needs, which is an extra of the same name.
        needs: what pip has to install to run a file.
        python: at most five lines that run FILE on `pixels`, (N, H, W, C) uint8, without nanonas, and print classes.
        javascript: lines that run FILE on `pixels` of one image; `card` is what model.json holds.
        python_pixels, javascript_pixels: the same for a file that takes pixels.
    """

    file_name: ClassVar[str]
    holds_code: ClassVar[bool]
    takes_pixels: ClassVar[bool] = True
    quantizes: ClassVar[bool] = False
    extra: ClassVar[str] = ""
    needs: ClassVar[str]
    python: ClassVar[str]
    python_pixels: ClassVar[str] = ""
    javascript: ClassVar[str] = ""
    javascript_pixels: ClassVar[str] = ""

    def check(self) -> None:
        """Raises ExportError, with what to type, when `extra` is not installed."""
        if self.extra and find_spec(self.extra) is None:
            raise ExportError(f"{self.extra} is not installed; type: pip install 'nanonas[{self.extra}]'")

    @abstractmethod
    def write(self, network: "nn.Module", example: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        """Writes a network in evaluation mode on the CPU.

        `example` is a batch of 2 or more: of images (N, C, H, W) float32, of which N stays free, or of pixels
        (N, H, W, C) uint8, of which N, H and W do.
        """

    def write_int8(self, network: "nn.Module", images: "Tensor", path: Path, metadata: Mapping[str, str]) -> None:
        """The same network in 8 bits, calibrated on preprocessed training images (N, C, H, W)."""
        raise NotImplementedError

    @abstractmethod
    def load(self, path: Path) -> ModelFile:
        """Reads a file back, to be run on the CPU with one thread; may raise anything at a damaged one."""

    def read(self, path: Path) -> ModelFile:
        """Raises ExportError when the file is damaged."""
        self.check()
        with path.open("rb"):  # for what a runtime says of a file that may not be read
            pass
        try:
            with quiet():
                return self.load(path)
        except Exception as error:  # runtimes share no base of their errors but this
            raise ExportError(f"{path} is no {self.file_name} that can be loaded: {reason(error)}") from None


class Interface(NamedTuple):
    """What the two ends of a file are called, and which axes of its input are free."""

    input: str
    output: str
    free: dict[int, str]

    @classmethod
    def of(cls, example: "Tensor") -> Self:
        if example.is_floating_point():
            return cls("images", "logits", {0: "batch"})
        return cls("pixels", "probabilities", {0: "batch", 1: "height", 2: "width"})

    @property
    def dynamic_shapes(self) -> tuple[dict[int, Any]]:
        """For torch.export."""
        from torch.export import Dim

        return ({axis: Dim(name) for axis, name in self.free.items()},)


def reason(error: Exception) -> str:
    """The first line of what an exception says."""
    return next((line[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings, logs or prints of the libraries: stdout is for data, and our own gate checks what they write."""
    loggers = [logging.getLogger(name) for name in (None, "torch", "torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


EXPORTERS: Registry[Exporter] = Registry("format")


def by_suffix() -> dict[str, tuple[str, Exporter]]:
    """Formats with their names, by the suffix of their files."""
    return {Path(EXPORTERS[name].file_name).suffix: (name, EXPORTERS[name]) for name in EXPORTERS}


import_modules(__name__, __path__)
