"""Classifier: a trained network with all that is needed to use it; its two files in the run directory."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from ..core.config import ComponentConfig
from ..core.errors import RunError, SpecError
from ..core.files import check_version, read_bytes, write_json
from ..core.genotype import Genotype
from ..core.space import SearchSpace
from ..core.task import Task
from ..data.dataset import DataConfig, Dataset, Side
from ..data.picture import PAD, Fit, Form, Range
from ..networks.weights import load_tensors, save_tensors
from ..runs.directory import existing_run
from ..spaces import SPACES
from .inference import Model, normalized


class Card(BaseModel):
    """model.json: what the weights in model.safetensors belong to."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["model"] = "model"
    schema_version: Literal[1] = 1
    genotype: Annotated[str, Field(max_length=10_000)]
    space: dict[str, Any]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=100_000)]
    input_size: tuple[Annotated[int, Field(ge=1, le=4)], Side, Side]  # C, H, W
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    range: Range | None = None
    data: DataConfig

    @classmethod
    def of(cls, genotype: Genotype, space: ComponentConfig, dataset: Dataset, data: DataConfig) -> Self:
        return cls(
            genotype=str(genotype),
            space=space.model_dump(mode="json"),
            classes=dataset.classes,
            input_size=(dataset.channels, dataset.height, dataset.width),
            mean=dataset.mean,
            std=dataset.std,
            range=dataset.range,
            data=data,
        )

    @property
    def task(self) -> Task:
        return Task(*self.input_size, classes=len(self.classes))

    @property
    def form(self) -> Form:
        """What an image has to become before it is normalized."""
        channels, height, width = self.input_size
        return Form(height, width, channels, self.data.fit, self.range)


class Classifier(nn.Module):
    """A trained network: (N, C, H, W) float32, preprocessed → logits (N, classes).

    Attributes:
        card: genotype, classes, input size, mean and std.
        params, macs: of the network; macs for one image.
    """

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.card = card
        space, genotype = _meaning(card)
        measures = space.measure(genotype, card.task)
        self.params, self.macs = int(measures["params"]), int(measures["macs"])
        self.network = space.build(genotype, card.task)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def as_model(self) -> Model:
        """For scoring many images; it is put into evaluation mode."""

        @torch.inference_mode()
        def run(images: np.ndarray) -> np.ndarray:
            logits: np.ndarray = self(torch.from_numpy(images)).numpy()
            return logits

        card = self.eval().card
        return Model(run, card.classes, card.input_size, card.mean, card.std, several=True)

    def preprocess(self, images: Any) -> Tensor:
        """What `forward` wants: from a path, a PIL image, uint8 pixels (H, W, C) or (N, H, W, C), or a list."""
        several = isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and images.ndim == 4)
        batch = [self._pixels(image) for image in images] if several else [self._pixels(images)]
        return torch.from_numpy(normalized(np.stack(batch), self.card.mean, self.card.std))

    @torch.inference_mode()
    def classify(self, images: Any) -> list[tuple[str, float]]:
        """The most probable class and its probability, for each of what `preprocess` takes."""
        self.eval()
        probabilities, best = self(self.preprocess(images)).softmax(1).max(1)
        return [(self.classes[i], p) for i, p in zip(best.tolist(), probabilities.tolist(), strict=True)]

    def _pixels(self, image: Any) -> np.ndarray:
        from PIL import Image

        from ..data.picture import decode, pixels_of

        form = self.card.form
        if isinstance(image, str | Path):
            return decode(str(image), form)
        if isinstance(image, np.ndarray):
            image = Image.fromarray(image.squeeze(-1) if image.shape[-1:] == (1,) else image)
        return pixels_of(image, form)


class WithPreprocessing(nn.Module):
    """A network behind its preprocessing: pixels (N, H, W, C) uint8, upright, of any size → probabilities (N, classes).

    Images of the network's own size are left as they are. Others are fitted and resized as `Classifier.preprocess`
    does, with Pillow's antialiased bilinear filter; where that rounds, a pixel may be one of 256 levels off.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: Card) -> None:
        super().__init__()
        self.network, self.size, self.fit = network, card.input_size[1:], card.data.fit
        self.register_buffer("mean", torch.tensor(card.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(card.std).view(1, -1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        x = fitted(pixels.permute(0, 3, 1, 2), self.size, self.fit)
        x = F.interpolate(x, self.size, mode="bilinear", antialias=True)
        logits: Tensor = self.network((x.float() / 255 - self.mean) / self.std)
        return logits.softmax(1)


def fitted(x: Tensor, size: tuple[int, int], fit: Fit) -> Tensor:
    """(N, C, H, W) in the aspect ratio of `size`, as `data.picture` does it; H and W may be symbols of an export."""
    height, width = size
    h, w = x.shape[2], x.shape[3]
    if fit == "crop":
        high, wide = _least(h, _most(1, w * height // width)), _least(w, _most(1, h * width // height))
        top, left = (h - high) // 2, (w - wide) // 2
        # of a slice, an export to ONNX does not know the size
        return x.index_select(2, top + torch.arange(high)).index_select(3, left + torch.arange(wide))
    if fit == "pad":
        high, wide = _most(h, -(-w * height // width)), _most(w, -(-h * width // height))
        top, left = (high - h) // 2, (wide - w) // 2
        return F.pad(x, (left, wide - w - left, top, high - h - top), value=PAD)
    return x


def _least(a: Any, b: Any) -> Any:
    """In a trace, sides are tensors."""
    return torch.minimum(torch.as_tensor(a), torch.as_tensor(b)) if _traced() else torch.sym_min(a, b)


def _most(a: Any, b: Any) -> Any:
    return torch.maximum(torch.as_tensor(a), torch.as_tensor(b)) if _traced() else torch.sym_max(a, b)


def _traced() -> bool:
    return torch._C._get_tracing_state() is not None


def save_model(run: Path, classifier: Classifier) -> None:
    """model.safetensors and model.json, each written beside and renamed."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in classifier.network.state_dict().items()}
    save_tensors(run / "model.safetensors", tensors, {})
    write_json(run / "model.json", classifier.card.model_dump(mode="json"))


def load_model(run: Path | str) -> Classifier:
    """The trained network of a run directory, in evaluation mode, on the CPU.

    Raises:
        RunError: the run has no trained model, or its files are damaged or do not belong together.
    """
    run = existing_run(Path(run))
    if not (run / "model.safetensors").exists() or not (run / "model.json").exists():
        raise RunError(f"{run} has no trained model yet; run: nanonas train {run}")
    try:
        card = Card.model_validate_json(read_bytes(run / "model.json"))
        space, genotype = _meaning(card)
        params = space.measure(genotype, card.task)["params"]
    except (ValidationError, SpecError) as error:
        check_version(run / "model.json", error)
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise RunError(
            f"{run / 'model.json'} is damaged: {reason}; delete it and train.json, and train again"
        ) from None
    weights = run / "model.safetensors"
    # before anything is allocated: a network is never larger than the file that claims to hold it
    if 4 * params > weights.stat().st_size:
        raise RunError(f"{weights} is damaged: too short for {params:,.0f} parameters; train again with --out")
    with torch.device("meta"):  # no memory but the file's own, which may be a hole of any size
        classifier = Classifier(card)
    tensors, _ = load_tensors(weights)
    own = classifier.network.state_dict()
    other = [name for name, tensor in tensors.items() if name in own and own[name].dtype != tensor.dtype]
    try:
        if other:
            raise RuntimeError(f"{other[0]} is of type {tensors[other[0]].dtype}")
        classifier.network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise RunError(f"{weights} does not fit {run / 'model.json'}: {str(error).splitlines()[-1].strip()}") from None
    return classifier.eval()


def _meaning(card: Card) -> tuple[SearchSpace, Genotype]:
    space_type = SPACES[str(card.space.get("name"))]
    space: SearchSpace = space_type(space_type.Config.model_validate(card.space))
    if not len(card.mean) == len(card.std) == card.input_size[0]:
        raise SpecError("mean and std need a number for each channel")
    return space, space.parse(card.genotype)
