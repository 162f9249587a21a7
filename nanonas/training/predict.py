"""What a network says of images, and how right that is."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.cache import at_once
from ..data.images import Images

PREDICT_BATCH, MOST_AT_ONCE = 500, 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def each_on_a_thread(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The result for each item, computed on one thread; as many at the same time as torch has threads, but at most
    four, since each takes memory. So none waits for another in the middle of an operation."""
    count = min(torch.get_num_threads(), MOST_AT_ONCE)
    if count == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, items))


def predict(network: nn.Module, images: Images, mirrored: bool = False) -> Tensor:
    """Logits (N, classes) on the CPU, one view of each image, or of its mirror image; in float32 on any device."""
    network.eval()

    @torch.inference_mode()
    def logits(chosen: Tensor) -> Tensor:
        batch = images.normalized(images.pixels[chosen])
        found: Tensor = network(batch.flip(3) if mirrored else batch).float().cpu()
        return found

    rows = images.rows.split(at_once(images.area, PREDICT_BATCH))
    alone = images.pixels.device.type != "cpu"
    return torch.cat([logits(chosen) for chosen in rows] if alone else each_on_a_thread(logits, rows))


def score(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy (a fraction) and cross-entropy (nats)."""
    labels = labels.cpu()
    return {
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
        "loss": F.cross_entropy(logits, labels).item(),
    }
