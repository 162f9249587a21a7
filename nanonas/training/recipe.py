"""Recipe: how a network is trained, in the search and at the end."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ..core.config import Config

Epochs = Annotated[int, Field(ge=1, le=10_000, description="passes over the training images")]
SMALLEST_SIDE = 16  # pixels; below it no share of a side goes


class Recipe(Config):
    """SGD with Nesterov momentum, or Muon for the filters of convolutions and SGD for the rest; learning rate up
    linearly, then down by a cosine (Loshchilov & Hutter 2017) or linearly. The shifts of batch norm may learn many
    times as fast as all else (Page 2019; Jordan 2024, arXiv:2404.00498).

    Progressive resizing (Howard 2018; with regularization: Tan & Le 2021, arXiv:2104.00298): small images first, since
    pixels are what a step costs.

    Augmentation: reflect-padded translation; horizontal flip where the data set allows it, of one half of the images in
    one epoch and of the other in the next (Jordan 2024, arXiv:2404.00498); cutout (DeVries & Taylor 2017,
    arXiv:1708.04552). Shifts and holes are fractions of the image's side, so they fit every size.
    """

    epochs: Epochs = 30
    batch_size: Annotated[int, Field(ge=2, le=8192, description="images a step")] = 128
    optimizer: Annotated[Literal["sgd", "muon"], Field(description="of the filters; of all else it is sgd")] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=10, description="peak")] = 0.1
    decay: Annotated[Literal["cosine", "linear"], Field(description="how the rate falls after its peak")] = "cosine"
    shift_rate: Annotated[
        float, Field(gt=0, le=1000, description="times the learning rate: how fast the shifts of batch norm learn")
    ] = 1.0
    momentum: Annotated[float, Field(ge=0, lt=1, description="of sgd, Nesterov's")] = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=1, description="not on biases and batch norm")] = 5e-4
    filter_decay: Annotated[float, Field(ge=0, le=1, description="weight decay of Muon, decoupled")] = 0.1
    warmup_fraction: Annotated[float, Field(ge=0, lt=1, description="share of the steps in which the rate rises")] = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="share of a label given to all classes")] = 0.1
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="of an image in the loss; balanced: each class counts the same, however many images it has"),
    ] = "none"
    first_side: Annotated[
        float, Field(gt=0, le=1, description="side of the first images as a share of the last; it grows twice")
    ] = 1.0
    translate: Annotated[float, Field(ge=0, le=0.5, description="largest shift, as a share of the side")] = 0.125
    flip: Annotated[
        bool,
        Field(description="mirror half of the images, in every epoch the other half, unless the data set forbids it"),
    ] = True
    cutout: Annotated[float, Field(ge=0, le=1, description="side of the hole, as a share of the image's")] = 0.0
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Field(description="of the passes; auto: bfloat16 on CUDA, and on CPUs made for it but for tiny images"),
    ] = "auto"


def share_of_side(side: int, share: float) -> int:
    """Pixels: a share of an image's side, at least 16 where it has so many."""
    return max(min(side, SMALLEST_SIDE), round(side * share))


@dataclass(frozen=True)
class Progress:
    """Where a training stands: the fraction of its time that is over, the epochs done, and the record of the last."""

    fraction: float
    epoch: int
    record: dict[str, float] | None = None
