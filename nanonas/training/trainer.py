"""Trainer: fits one network. The only optimizer loop, for candidates and winners, on CPU, CUDA and MPS."""

import copy
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import EvaluationError
from ..data.images import Images
from ..devices.compute import computes_in_bfloat16, keep_freed_memory, seeded, threads
from ..devices.machine import AdaptiveThreads
from .augmentation import augment
from .cuda_graph import CapturedStep
from .optimizers import SGD, Muon, Optimizer
from .recipe import Recipe, share_of_side

SMALLEST_PART, MOST_PARTS = 100, 8  # of a batch, since batch norm sees no more of it
FEW_MACS = 100_000_000  # of a step, which several threads then make hardly faster, and slow on a busy machine
MUON_MOMENTUM = 0.6  # orthogonal steps forget sooner
GROWTH = (0.0, 0.35, 0.7, 1.0)  # progressive resizing: from which progress on the first size, one between, and all


def learning_rate(recipe: Recipe, progress: float) -> float:
    """At a progress from 0 to 1: up linearly, then down to zero, by half a cosine or linearly."""
    if progress < recipe.warmup_fraction:
        return recipe.learning_rate * progress / recipe.warmup_fraction
    done = (progress - recipe.warmup_fraction) / (1 - recipe.warmup_fraction)
    if recipe.decay == "linear":
        return recipe.learning_rate * (1 - done)
    return recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2


def balanced_weights(labels: Tensor) -> Tensor:
    """Of each class: n / (k · n_c), for k classes that have images; on average over the images 1."""
    counts = labels.cpu().bincount()
    weights: Tensor = len(labels) / (int((counts > 0).sum()) * counts.clamp(min=1).float())
    return weights.to(labels.device)


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """The mean over images, each times the weight of its class.

    torch divides by the sum of a batch's weights instead, so that the means of parts would not add up to the batch's.
    """
    if weights is None:
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)
    return (weights[labels] * F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")).mean()


class Trainer:
    """Trains a network, an epoch at a time.

    Everything random in epoch e comes from (seed, e), so that a training continued after epoch e equals one that
    was never interrupted.

    Args:
        network: (N, C, H, W) float32 → logits (N, classes); is moved to the device of `images`.
        flip: whether the data set allows mirroring.
        parts: into so many parts a batch is split, each with a copy of the network that shares its weights, and a batch
            norm of its own, as on several devices. Threads that compute them wait for one another once a step, where
            the threads of one operation do so in every layer; how many there are makes no difference to the result.
            Running statistics are those of the first part.
        captures: whether steps on CUDA are recorded and replayed.
        sizes: `images` as another training of the same recipe has resized them.
        adaptive: says how many threads there are; None: as many as torch has. Those that the parts leave over share the
            work of operations, with results that depend on their number.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Images,
        recipe: Recipe,
        flip: bool,
        seed: int,
        parts: int = 1,
        captures: bool = True,
        sizes: Sequence[Images] | None = None,
        adaptive: AdaptiveThreads | None = None,
    ) -> None:
        self.device = images.pixels.device
        self.network = network.to(self.device)
        if self.device.type != "mps":
            self.network = self.network.to(memory_format=torch.channels_last)
        self.images, self.recipe, self.seed = images, recipe, seed
        side = max(images.pixels.shape[1:3])
        first = share_of_side(side, recipe.first_side)
        self.sizes = sizes or (images.resized(first), images.resized((first + side) // 2), images)
        self.shown = self.sizes[0]
        self._area = float(self.shown.area)  # of an image of this epoch, on average, or of the last
        coins = torch.randint(2, (len(images),), generator=torch.Generator().manual_seed(seed % 2**63))
        self._mirrored = coins.bool().to(self.device) if flip and recipe.flip else None  # in even epochs
        self._weights = balanced_weights(images.labels) if recipe.class_weights == "balanced" else None
        self.bfloat16 = computes_in_bfloat16(self.device, recipe.precision, images.area)
        keep_freed_memory()
        self.batch_size = min(recipe.batch_size, len(images))
        self.steps_per_epoch = len(images) // self.batch_size
        self.epoch = 0
        self.progress = 0.0
        self.steps_left = float(recipe.epochs * self.steps_per_epoch)
        self._rate = torch.zeros((), device=self.device)  # what a captured step reads
        self.optimizers = _optimizers(self.network, recipe)
        self.networks = [self.network, *(_sharing_weights(self.network) for _ in range(parts - 1))]
        _draw_apart(self.networks[1:])
        self._adaptive, most = adaptive, adaptive.most if adaptive else torch.get_num_threads()
        self._at_once = min(parts, most)  # parts
        self._most_threads = self._threads = most // self._at_once  # of each of them
        self.crowded_steps = 0  # on fewer threads
        self._captured = CapturedStep() if captures and self.device.type == "cuda" else None
        self._pool = self._new_pool()

    @property
    def done(self) -> bool:
        return self.steps_left < 0.5

    def run_epoch(self, steps: int | None = None, on_step: Callable[[], None] = lambda: None) -> float:
        """Trains for one epoch (or fewer steps, when the end comes first); the mean training loss.

        After each step `on_step` may correct `steps_left`.

        Raises:
            EvaluationError: the loss is no finite number.
        """
        order_seed = (self.seed * 1_000_003 + self.epoch) % 2**63
        generators = [torch.Generator().manual_seed(order_seed + part) for part in range(len(self.networks))]
        order = torch.randperm(len(self.images), generator=generators[0]).to(self.device)
        total, areas, done = torch.zeros((), device=self.device), 0, 0
        count = min(steps or self.steps_per_epoch, self.steps_per_epoch, max(1, round(self.steps_left)))
        for network, generator in zip(self.networks, generators, strict=True):
            network.train()
            for module in network.modules():
                if isinstance(module, _Dropout):
                    module.generator = generator
        with seeded(order_seed), threads(self._threads):
            while done < count and not (done and self.done):
                self.shown = self.sizes[sum(self.progress >= start for start in GROWTH[1:-1])]
                self._fit_threads()
                chosen = order[done * self.batch_size : (done + 1) * self.batch_size]
                total += self._step(chosen, generators)
                self.progress += (1 - self.progress) / max(1.0, self.steps_left)
                self.steps_left = max(0.0, self.steps_left - 1)
                done += 1
                areas += self.shown.area
                self._area = areas / done
                on_step()
        self.epoch += 1
        loss = total.item() / done
        if not math.isfinite(loss):
            raise EvaluationError(f"the training loss is {loss} after epoch {self.epoch}")
        return loss

    def steps_in(self, seconds: float, a_step: float) -> float:
        """How many more steps so many seconds are, if one of this epoch, or the last one, took `a_step`: as long as its
        images have pixels."""
        mean = self._pixels_left(self.progress) / max(1e-9, 1 - self.progress)
        return seconds / a_step * self._area / (mean or self.shown.area)

    @property
    def time_fraction(self) -> float:
        """How much of the training's time is over, from 0 to 1."""
        return 1 - self._pixels_left(self.progress) / self._pixels_left(0.0)

    def _pixels_left(self, progress: float) -> float:
        """That steps from a progress to the end show of each image, summed over that part of the steps."""
        shares = [max(0.0, end - max(start, progress)) for start, end in pairwise(GROWTH)]
        return sum(size.area * share for size, share in zip(self.sizes, shares, strict=True))

    def _step(self, chosen: Tensor, generators: list[torch.Generator]) -> Tensor:
        # the rate in the middle of the step, so that neither the first nor the last step is lost at rate zero
        rate = learning_rate(self.recipe, self.progress + (1 - self.progress) / max(1.0, self.steps_left) / 2)
        given = rate if self._captured is None else self._rate.fill_(rate)
        for optimizer in self.optimizers:
            optimizer.lr = given
        if self._captured is not None:
            return self._captured(self._whole_step, *self._batch(chosen, generators[0]))
        parts = chosen.tensor_split(len(self.networks))
        shares = [len(part) / len(chosen) for part in parts]
        compute = self._pool.map if self._at_once > 1 else map
        loss, *others = compute(self._part, self.networks, parts, generators, shares)
        for more, network in zip(others, self.networks[1:], strict=True):
            loss = loss + more
            for parameter, same in zip(self.network.parameters(), network.parameters(), strict=True):
                if parameter.grad is not None and same.grad is not None:
                    parameter.grad += same.grad
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _fit_threads(self) -> None:
        """As many as find a core, where several share the work of an operation."""
        if self._adaptive is None or self._most_threads == 1:
            return
        count = max(1, self._adaptive.threads // self._at_once)
        self.crowded_steps += count < self._most_threads
        if count != self._threads:
            self._threads = count
            torch.set_num_threads(count)  # until the end of the epoch, which restores it
            self._pool = self._new_pool()

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._at_once, initializer=torch.set_num_threads, initargs=(self._threads,))

    def _whole_step(self, batch: Tensor, labels: Tensor) -> Tensor:
        loss = self._gradient(self.network, batch, labels)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _part(self, network: nn.Module, chosen: Tensor, generator: torch.Generator, share: float) -> Tensor:
        return self._gradient(network, *self._batch(chosen, generator), share)

    def _batch(self, chosen: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mirrored = self._mirrored_in(chosen, generator)
        return augment(self.shown, chosen, self.recipe, mirrored, generator), self.images.labels[chosen]

    def _mirrored_in(self, chosen: Tensor, generator: torch.Generator) -> Tensor | None:
        """Which of the chosen images this epoch mirrors: the others in the next."""
        return None if self._mirrored is None else self._mirrored[chosen] ^ bool(self.epoch % 2)

    def _gradient(self, network: nn.Module, batch: Tensor, labels: Tensor, share: float = 1.0) -> Tensor:
        """Of a part's share in the loss of the batch, which is returned."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16, cache_enabled=False):
            logits = network(batch)
        loss = share * cross_entropy(logits.float(), labels, self._weights, self.recipe.label_smoothing)
        network.zero_grad()
        loss.backward()
        return loss.detach()

    def state(self) -> dict[str, Tensor]:
        """Weights and momentum by name, for a file without code; progress travels beside it."""
        network = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors = network | {f"momentum.{name}": buffer for name, buffer in self._momentum().items()}
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor], epoch: int, progress: float, steps_left: float) -> None:
        network = {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
        self.network.load_state_dict(network)
        for name, buffer in self._momentum().items():
            buffer.copy_(tensors[f"momentum.{name}"])
        self.epoch, self.progress, self.steps_left = epoch, progress, steps_left

    def _momentum(self) -> dict[str, Tensor]:
        """By the parameter's name."""
        found = {p: buffer for optimizer in self.optimizers for p, buffer in optimizer.momentum_of.items()}
        return {name: found[p] for name, p in self.network.named_parameters() if p in found}


def threads_pay(macs: int, batch_size: int) -> bool:
    """Whether a step, of so many MACs for an image, is work enough for several threads on a CPU.

    It is not measured, since a close race would go one way today and another tomorrow, and the weights with it.
    """
    return macs * batch_size >= FEW_MACS


def parts_of_a_batch(macs: int, device: torch.device, batch_size: int) -> int:
    """Two from 200 images, four from 400, eight from 800, however many threads there are, so that the result is the
    same on any number of them; one on a GPU, and where threads do not pay."""
    if device.type != "cpu" or not threads_pay(macs, batch_size):
        return 1
    return min(MOST_PARTS, 1 << max(1, batch_size // SMALLEST_PART).bit_length() - 1)


def _sharing_weights(network: nn.Module) -> nn.Module:
    twin = copy.deepcopy(network)
    for parameter, own in zip(twin.parameters(), network.parameters(), strict=True):
        parameter.data = own.data
    return twin


class _Dropout(nn.Module):
    """With random numbers of its own: the others come from one generator, in the order in which threads ask."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator: torch.Generator | None = None  # of an epoch

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept / (1 - self.share)


def _draw_apart(networks: Sequence[nn.Module]) -> None:
    for module in [module for network in networks for module in network.modules()]:
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout) and 0 < child.p < 1:
                setattr(module, name, _Dropout(child.p))


def _optimizers(network: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Muon for filters that see more than one channel, if the recipe says so; SGD for all else, with weight decay on
    what has more than one dimension, and a rate of its own for the shifts of batch norm."""
    muon = recipe.optimizer == "muon"
    filters = [p for p in network.parameters() if muon and p.ndim == 4 and p.shape[1] > 1]
    shifts = [module.bias for module in network.modules() if isinstance(module, nn.BatchNorm2d) and module.affine]
    apart = {id(p) for p in (*filters, *shifts)}
    others = [p for p in network.parameters() if id(p) not in apart]
    rate, momentum = recipe.learning_rate, recipe.momentum
    optimizers = [
        SGD([p for p in others if p.ndim > 1], rate, momentum, recipe.weight_decay),
        SGD([p for p in others if p.ndim <= 1], rate, momentum, 0.0),
        SGD(shifts, rate, momentum, 0.0, recipe.shift_rate),
        Muon(filters, rate, MUON_MOMENTUM, recipe.filter_decay),
    ]
    return [optimizer for optimizer in optimizers if optimizer.parameters]
