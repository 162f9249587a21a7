"""Augmentation: the batches that a training makes of images."""

import torch
from torch import Tensor

from ..data.images import Images
from .recipe import Recipe


def augment(
    images: Images, chosen: Tensor, recipe: Recipe, mirrored: Tensor | None, generator: torch.Generator
) -> Tensor:
    """A batch (N, C, H, W), translated with reflection and cut out, each image differently; and some mirrored.

    One gather does selection, translation and flip: rows and columns are indices, reflected at the borders.
    """
    device = images.pixels.device
    count = len(chosen)
    height, width = images.pixels.shape[1:3]

    def draw(high: int) -> Tensor:
        return torch.randint(high, (count, 1), generator=generator).to(device)

    def shifted(length: int) -> Tensor:
        reach = int(recipe.translate * length)
        position = torch.arange(length, device=device) + draw(2 * reach + 1) - reach
        position = position.abs()
        return torch.where(position >= length, 2 * (length - 1) - position, position)  # (N, length)

    rows, columns = shifted(height), shifted(width)
    if mirrored is not None:
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    batch = images.normalized(images.pixels[images.rows[chosen][:, None, None], rows[:, :, None], columns[:, None, :]])
    hole = round(recipe.cutout * max(height, width))
    if hole:
        top, left = draw(height) - hole // 2, draw(width) - hole // 2
        y, x = torch.arange(height, device=device), torch.arange(width, device=device)
        inside = ((y >= top) & (y < top + hole))[:, :, None] & ((x >= left) & (x < left + hole))[:, None, :]
        batch = batch.masked_fill(inside[:, None], 0.0)
    return batch
