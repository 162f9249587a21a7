"""A supernet: all architectures of a space as one network, whose choices are learned by gradient descent."""

from pathlib import Path

import torch
from torch import nn

from ..data.images import Images
from ..networks.network import MixedCell
from ..networks.weights import load_tensors, save_tensors
from .augmentation import augment
from .recipe import Recipe
from .trainer import Trainer, balanced_weights, cross_entropy


class SupernetTrainer:
    """First-order DARTS (Liu et al. 2019, arXiv:1806.09055, Alg. 1 with ξ = 0), an epoch at a time.

    Each step on the weights, by half of the images, is followed by one on the choices, by the other half (Adam, β 0.5
    and 0.999, weight decay 1e-3, as in the paper's section A.1). Differs: the paper steps on the choices first; here
    the rates are larger, since epochs are few, the weights are trained by this project's recipe, batch norm is affine,
    and none follows a pooling. A pure function of seed and epoch: what was saved
    after an epoch spares the way there, and without it the way is gone again.

    Args:
        network: with MixedCells in it.
        images: the two halves, for the weights and for the choices.
    """

    def __init__(
        self,
        network: nn.Module,
        images: tuple[Images, Images],
        recipe: Recipe,
        flip: bool,
        seed: int,
        architecture_learning_rate: float,
    ) -> None:
        self.images, self.recipe, self.flip, self.seed = images[1], recipe, flip and recipe.flip, seed
        self.trainer = Trainer(network, images[0], recipe, flip, seed, captures=False)  # two steps take turns
        self.cells = [module for module in network.modules() if isinstance(module, MixedCell)]
        for cell in self.cells:
            cell.logits = cell.logits.detach().requires_grad_()  # on the device, and a leaf
        self.optimizer = torch.optim.Adam(
            [cell.logits for cell in self.cells], lr=architecture_learning_rate, betas=(0.5, 0.999), weight_decay=1e-3
        )

    @property
    def epoch(self) -> int:
        return self.trainer.epoch

    def run_epoch(self) -> None:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        size = min(self.recipe.batch_size, len(self.images))
        weights = balanced_weights(self.images.labels) if self.recipe.class_weights == "balanced" else None

        def step() -> None:
            chosen = torch.randint(len(self.images), (size,), generator=generator).to(self.images.rows.device)
            mirrored = torch.randint(2, (size,), generator=generator).bool().to(chosen.device) if self.flip else None
            batch = augment(self.images, chosen, self.recipe, mirrored, generator)
            loss = cross_entropy(self.trainer.network(batch), self.images.labels[chosen], weights)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

        self.trainer.run_epoch(on_step=step)

    def weights(self) -> dict[str, float]:
        """How much each option of a learned choice counts: `choice=option` → share; an option that is zero is left out,
        since the strength of what it adds cannot be told (ibid., section 2.4)."""
        return {name: weight for cell in self.cells for name, weight in cell.weights().items()}

    def save(self, path: Path) -> None:
        tensors = self.trainer.state()
        for i, cell in enumerate(self.cells):
            tensors |= {f"adam{i}.{name}": value for name, value in self.optimizer.state[cell.logits].items()}
        progress = {"epoch": self.epoch, "progress": self.trainer.progress, "left": self.trainer.steps_left}
        save_tensors(path, tensors, {name: repr(value) for name, value in progress.items()})

    def load(self, path: Path, most: int) -> None:
        """Goes on from a checkpoint of at most this epoch; from a later one it does not."""
        tensors, metadata = load_tensors(path)
        epoch = int(metadata["epoch"])
        if not self.epoch < epoch <= most:
            return
        self.trainer.load_state(
            {name: tensor for name, tensor in tensors.items() if not name.startswith("adam")},
            epoch,
            float(metadata["progress"]),
            float(metadata["left"]),
        )
        for i, cell in enumerate(self.cells):
            own = {name: tensors[f"adam{i}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            device = cell.logits.device
            self.optimizer.state[cell.logits] = {k: v if k == "step" else v.to(device) for k, v in own.items()}
