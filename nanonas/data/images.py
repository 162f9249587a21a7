"""Images: pictures in memory, and the batches that a training makes of them."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .cache import at_once


@dataclass(frozen=True)
class Images:
    """Some images of a data set in memory, without a copy of the rest.

    Attributes:
        pixels: (M, H, W, C) uint8, the whole set; on the CPU it may be a mapped file that all workers share.
        rows: (N,) which of them; `labels` (N,) int64 are theirs.
        mean, std: a channel, of pixel / 255.
    """

    pixels: Tensor
    rows: Tensor
    labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(
        cls,
        pixels: np.ndarray,
        labels: np.ndarray,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        rows: np.ndarray | None = None,
    ) -> "Images":
        rows = np.arange(len(labels)) if rows is None else rows
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a mapped file is read-only, and so do we treat it
            mapped = torch.from_numpy(pixels)
        own = torch.from_numpy(np.array(labels[rows], dtype=np.int64))
        return cls(mapped.to(device), torch.from_numpy(np.array(rows)).to(device), own.to(device), mean, std)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def area(self) -> int:
        """Pixels of an image."""
        height, width = self.pixels.shape[1:3]
        return height * width

    def resized(self, side: int) -> "Images":
        """The longer side becomes `side` pixels (bilinear, antialiased)."""
        height, width = self.pixels.shape[1:3]
        scale = side / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        if size == (height, width):
            return self
        pixels = torch.empty((len(self), *size, self.pixels.shape[3]), dtype=torch.uint8)
        count = at_once(self.area, 1000)
        for rows, resized in zip(self.rows.split(count), pixels.split(count), strict=True):
            part = self.pixels[rows].cpu().permute(0, 3, 1, 2).float()  # on the CPU: the same pixels on any device
            part = F.interpolate(part, size, mode="bilinear", antialias=True).round_().clamp_(0, 255)
            resized.copy_(part.permute(0, 2, 3, 1))
        rows = torch.arange(len(self), device=self.rows.device)
        return Images(pixels.to(self.pixels.device), rows, self.labels, self.mean, self.std)

    def normalized(self, pixels: Tensor) -> Tensor:
        """(N, H, W, C) uint8 → (N, C, H, W) float32 in channels_last: (pixel / 255 − mean) / std."""
        mean = torch.tensor(self.mean, device=pixels.device) * 255
        std = torch.tensor(self.std, device=pixels.device) * 255
        return ((pixels.float() - mean) / std).permute(0, 3, 1, 2)


def batch(images: Images, count: int, seed: int) -> Tensor:
    """Some images (N, C, H, W), normalized, not augmented; the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images), generator=generator)[:count].to(images.rows.device)
    return images.normalized(images.pixels[images.rows[chosen]])
