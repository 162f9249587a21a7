"""Images a second of the trainer, of a bare loop over tensors in memory, and of the loop a user would write.

    python benchmarks/trainer.py --root cifar10-jpeg [--genotype G] [--rounds 5]

All three train one network of the preset cifar10-evo with its optimizers, at full size, turn about in one process on
all cores. The bare loop knows the data as normalized float32 tensors, does not augment, and computes in the trainer's
precision; the user's loop reads the files with torchvision's ImageFolder, augments with its transforms, and loads with
two workers of a DataLoader, in float32. Appends to benchmarks/results/trainer.json; skips what is there.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import Record
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from nanonas import load_spec
from nanonas.data.dataset import load_dataset
from nanonas.data.images import Images
from nanonas.devices.compute import computes_in_bfloat16
from nanonas.devices.environment import environment
from nanonas.devices.machine import cores
from nanonas.spaces import SPACES
from nanonas.training.optimizers import Muon
from nanonas.training.recipe import Recipe
from nanonas.training.trainer import MUON_MOMENTUM, Trainer, parts_of_a_batch

RECORD = Record("trainer")
PRESET = "cifar10-evo"
GENOTYPE = "w16/pool32:residual3e2x2s/pool80:residual3e4x1s/pool32:fused3e2x1s"  # its winner, seed 2
SECONDS = 20  # a loop and round
STEPS = 20  # of the trainer at a time


def throughput(step: Callable[[], int]) -> float:
    """Images a second."""
    for _ in range(3):
        step()
    images, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        images += step()
    return images / seconds


def forever(batches: "DataLoader[tuple[Tensor, Tensor]]") -> Iterator[tuple[Tensor, Tensor]]:
    return itertools.chain.from_iterable(itertools.repeat(batches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder of images with train/ and test/")
    parser.add_argument("--genotype", default=GENOTYPE, help="of the preset's space")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not RECORD.has(preset=PRESET, genotype=arguments.genotype, cores=cores()):
        RECORD.append(measured(arguments.root, arguments.genotype, arguments.rounds))
    for row in RECORD.rows():
        told = [f"{name} {statistics.median(found):.0f}/s" for name, found in row["images_per_second"].items()]
        told += [f"/ {name} {statistics.median(found):.2f}" for name, found in row["ratio"].items()]
        print(f"{row.get('preset', 'SGD')}, {row['genotype']}, batches of {row['batch']}: {', '.join(told)}")


def measured(root: Path, genotype: str, rounds: int) -> dict[str, object]:
    torch.set_num_threads(cores())
    spec = load_spec(PRESET, ["data.name=folder", f"data.root={root}", "train.first_side=1"])
    recipe = Recipe(**{name: getattr(spec.train, name) for name in Recipe.model_fields} | {"epochs": 10_000})
    size = recipe.batch_size
    data = load_dataset(spec.data, print)
    images = Images.of(data.train_images, data.train_labels, data.mean, data.std, torch.device("cpu"))
    height, width = images.pixels.shape[1:3]
    bfloat16 = computes_in_bfloat16(images.pixels.device, recipe.precision, height * width)
    space = SPACES[spec.space.name](spec.space)

    def network() -> nn.Module:
        torch.manual_seed(0)
        return space.build(space.parse(genotype), data.task).train()

    def train(model: nn.Module, bfloat16: bool) -> Callable[[Tensor, Tensor], int]:
        filters = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1]
        shifts = [module.bias for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        others = [p for p in model.parameters() if not any(p is other for other in (*filters, *shifts))]
        rate, decay = recipe.learning_rate, recipe.weight_decay
        groups: list[dict[str, Any]] = [{"params": others}, {"params": shifts, "lr": rate * recipe.shift_rate}]
        sgd = torch.optim.SGD(groups, rate, recipe.momentum, weight_decay=decay, nesterov=True, fused=True)
        muon = Muon(filters, rate, MUON_MOMENTUM, recipe.filter_decay)

        def step(batch: Tensor, labels: Tensor) -> int:
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = model(batch)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            model.zero_grad()
            loss.backward()
            sgd.step()
            muon.step()
            return len(batch)

        return step

    own = network()
    macs = int(space.measure(space.parse(genotype), data.task)["macs"])
    parts = parts_of_a_batch(macs, images.pixels.device, size)
    trainer = Trainer(own, images, recipe, flip=True, seed=0, parts=parts)

    def trainer_steps() -> int:
        trainer.run_epoch(STEPS)
        return STEPS * size

    pixels = torch.cat([images.normalized(images.pixels[rows]) for rows in images.rows.split(1000)])
    bare = train(network().to(memory_format=torch.channels_last), bfloat16)

    def bare_step() -> int:
        chosen = torch.randint(len(pixels), (size,))
        return bare(pixels[chosen], images.labels[chosen])

    augmented = transforms.Compose(
        [
            transforms.RandomCrop((height, width), padding=height // 8, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(data.mean, data.std),
        ]
    )
    files = ImageFolder(str(root / "train"), augmented)
    loader = torch.utils.data.DataLoader(
        files, size, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True
    )
    batches = forever(loader)
    plain = train(network(), bfloat16=False)
    loops = {
        "trainer": trainer_steps,
        "bare": bare_step,
        "files": lambda: plain(*next(batches)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds):
        for name, step in loops.items():
            speeds[name].append(round(throughput(step), 1))
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in speeds.items()),
            flush=True,
        )
    ratio = {
        name: [round(a / b, 4) for a, b in zip(speeds["trainer"], speeds[name], strict=True)]
        for name in ("bare", "files")
    }
    return {
        "preset": PRESET,
        "genotype": genotype,
        "batch": size,
        "cores": cores(),
        "bfloat16": bfloat16,
        "images_per_second": speeds,
        "ratio": ratio,
        "environment": environment(threads=cores()),
    }


if __name__ == "__main__":
    main()
