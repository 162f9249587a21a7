"""What a class rests on: LayerCAM, drawn over the picture that the network was shown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..core.errors import RunError
from ..data.picture import Form, decode
from ..networks.modules import pooled
from ..networks.network import ChainNetwork
from .classifier import Classifier

SIDE = 448  # pixels, about: of a picture's longer side
SMALL = 14  # of a side of the last feature map, below which an earlier one is added
SHARPNESS = 2.0  # γ in the paper
STRONGEST = 0.65  # how much of the picture the warmest colour hides
NAME = re.compile(r"\d+-.*\.png")
NAME_LENGTH = 40


def layer_cam(network: ChainNetwork, images: Tensor, classes: Tensor) -> Tensor:
    """(N, C, H, W), preprocessed → (N, H, W) from 0 to 1: where the evidence for one class of each image lies.

    Jiang et al. 2021, DOI 10.1109/TIP.2021.3089943: each place of a feature map counts by the positive part of its own
    gradient. The map is that of the last block, before global pooling. Where a side of it is shorter than 14 (at 7×7 a
    pixel of the map is a seventh of the picture), the last earlier block of at least twice the side is added. Shallow
    maps are weak where they are right: as in the paper, its values v become tanh(2 v / max), and of both maps the
    larger value counts.
    """
    with torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        maps = []
        for block in network.blocks:
            x = block(x)
            maps.append(x)
        scores = network.head(pooled(x)).gather(1, classes[:, None])
        chosen = chosen_maps(maps)
        gradients = torch.autograd.grad(scores.sum(), chosen)
    found = []
    for features, gradient in zip(chosen, gradients, strict=True):
        heat = (gradient.relu() * features.detach()).sum(1).relu()  # (N, h, w)
        heat = heat / heat.amax((1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)
        if features is not chosen[0]:
            heat = (SHARPNESS * heat).tanh()
        found.append(F.interpolate(heat[:, None], images.shape[2:], mode="bilinear")[:, 0])
    return torch.stack(found).amax(0)


def chosen_maps(maps: Sequence[Tensor]) -> list[Tensor]:
    """The last, and one before it where that is small."""
    side = min(maps[-1].shape[2:])
    if side >= SMALL:
        return [maps[-1]]
    return [maps[-1], *[earlier for earlier in maps if min(earlier.shape[2:]) >= 2 * side][-1:]]


@dataclass(frozen=True)
class Heatmaps:
    """A folder of overlays, NUMBER-NAME.png: the number is that of the image among all that were named, from 1."""

    folder: Path
    network: ChainNetwork
    form: Form

    @classmethod
    def into(cls, folder: Path, classifier: Classifier) -> Self:
        """Raises RunError when the folder holds something else."""
        folder.mkdir(parents=True, exist_ok=True)
        other = next((path.name for path in sorted(folder.iterdir()) if not NAME.fullmatch(path.name)), None)
        if other is not None:
            raise RunError(f"{folder} holds {other}, which is no heatmap; choose another folder")
        assert isinstance(classifier.network, ChainNetwork)
        form = classifier.card.form
        times = max(1, round(SIDE / max(form.height, form.width)))
        larger = replace(form, height=times * form.height, width=times * form.width)
        return cls(folder, classifier.network, larger)

    def write(self, files: Sequence[tuple[int, str]], images: np.ndarray, classes: np.ndarray) -> None:
        """Of a batch: the number and path of each image, what the network takes of it, and the class."""
        heats = layer_cam(self.network, torch.from_numpy(images), torch.from_numpy(classes)).numpy()
        for (number, path), heat in zip(files, heats, strict=True):
            drawn = overlay(decode(path, self.form), heat)
            drawn.save(self.folder / f"{number:05}-{safe_name(path)}.png")


def overlay(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    """A picture (H, W, C) uint8 under a heat (h, w) from 0 to 1: clear where there is none, then red, then yellow."""
    height, width, _ = pixels.shape
    large = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    share = STRONGEST * large.clip(0, 1)[..., None]
    colour = np.stack([np.ones_like(large), (2 * large - 1).clip(0, 1), np.zeros_like(large)], axis=2) * 255
    return Image.fromarray((pixels * (1 - share) + colour * share + 0.5).astype(np.uint8))


def safe_name(path: str) -> str:
    """Of a file without its extension: what any file system, shell and web page takes."""
    return re.sub(r"[^\w-]+", "_", Path(path).stem)[:NAME_LENGTH]
