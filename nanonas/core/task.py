"""Task: what a network must fit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What a network must fit: the shape of the images (C, H, W) and the number of classes."""

    channels: int
    height: int
    width: int
    classes: int
