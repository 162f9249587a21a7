"""The trainer: augmentation, schedule, resume, and that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nanonas.core.errors import EvaluationError, SpecError
from nanonas.data.images import Images
from nanonas.devices.compute import computes_in_bfloat16, memory_checked, seeded, select_device, threads
from nanonas.devices.machine import AdaptiveThreads
from nanonas.networks.layers import Conv
from nanonas.networks.modules import WideDepthwiseConv
from nanonas.training import predict as prediction
from nanonas.training.augmentation import augment
from nanonas.training.predict import predict, score
from nanonas.training.recipe import Recipe
from nanonas.training.trainer import Trainer, balanced_weights, learning_rate, parts_of_a_batch

CPU = torch.device("cpu")


def images(count: int = 64, side: int = 8, channels: int = 3, seed: int = 0, device: torch.device = CPU) -> Images:
    """Class 1 is bright, class 0 dark."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, side, side, channels)) + 130 * labels[:, None, None, None]
    return Images.of(pixels.astype(np.uint8), labels, (0.5,) * channels, (0.25,) * channels, device)


def network(channels: int = 3) -> nn.Module:
    with seeded(0):
        return nn.Sequential(
            nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.LazyLinear(2)
        )


def ready(side: int = 8) -> nn.Module:
    net = network()
    with seeded(0):
        net(torch.zeros(2, 3, side, side))
    return net


def recipe(epochs: int, optimizer: str = "sgd") -> Recipe:
    return Recipe.model_validate({"epochs": epochs, "batch_size": 16, "optimizer": optimizer})


def train(epochs: int, stop: int | None = None, seed: int = 0, optimizer: str = "sgd") -> Trainer:
    trainer = Trainer(ready(), images(), recipe(epochs, optimizer), True, seed)
    while not trainer.done and trainer.epoch != stop:
        trainer.run_epoch()
    return trainer


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return list(trainer.network.state_dict().values())


def same(first: Trainer, second: Trainer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize(("optimizer", "epochs"), [("sgd", 5), ("muon", 15)])
def test_it_learns(optimizer: str, epochs: int) -> None:
    trainer = train(epochs, optimizer=optimizer)
    assert trainer.epoch == epochs
    assert score(predict(trainer.network, images(seed=1)), images().labels)["accuracy"] > 0.95


def test_the_same_seed_trains_the_same_and_another_seed_not() -> None:
    assert same(train(2), train(2))
    assert not same(train(2), train(2, seed=1))


def test_nothing_global_is_changed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_a_continued_training_equals_an_undisturbed_one(optimizer: str) -> None:
    straight, begun = train(4, optimizer=optimizer), train(4, stop=2, optimizer=optimizer)
    continued = Trainer(ready(), images(), recipe(4, optimizer), True, 0)
    continued.load_state(begun.state(), begun.epoch, begun.progress, begun.steps_left)
    while not continued.done:
        continued.run_epoch()
    assert same(straight, continued)


def without_batch_norm(bias: bool = True) -> nn.Module:
    """Parts of a batch then compute what the batch computes."""
    with seeded(0):
        return nn.Sequential(nn.Conv2d(3, 4, 3, bias=bias), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))


@pytest.mark.parametrize("parts", [2, 3])
def test_parts_of_a_batch_have_the_gradient_of_the_batch(parts: int) -> None:
    still = recipe(1).model_copy(update={"translate": 0.0, "flip": False})  # each part draws its own shifts
    whole, split = (Trainer(without_batch_norm(), images(), still, True, 0, n) for n in (1, parts))
    for _ in range(2):
        assert whole.run_epoch(steps=3) == pytest.approx(split.run_epoch(steps=3), rel=1e-5)
    for a, b in zip(weights(whole), weights(split), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_balanced_parts_have_the_gradient_of_the_weighted_mean(parts: int) -> None:
    uneven = replace(images(), labels=(torch.arange(64) < 12).long())
    weights = balanced_weights(uneven.labels)
    assert torch.allclose(weights, torch.tensor([64 / 2 / 52, 64 / 2 / 12]))
    assert weights[uneven.labels].mean().item() == pytest.approx(1)
    still = Recipe.model_validate({"batch_size": 64, "translate": 0, "flip": False, "class_weights": "balanced"})
    trainer, net = Trainer(without_batch_norm(), uneven, still, False, 0, parts), without_batch_norm()
    trainer._step(torch.arange(64), [torch.Generator() for _ in range(parts)])
    losses = F.cross_entropy(
        net(uneven.normalized(uneven.pixels)), uneven.labels, reduction="none", label_smoothing=0.1
    )
    (weights[uneven.labels] * losses).mean().backward()
    for own, expected in zip(trainer.network.parameters(), net.parameters(), strict=True):
        assert torch.allclose(own.grad, expected.grad, atol=1e-5)


def test_training_in_parts_repeats_and_continues_bit_for_bit() -> None:
    def run(trainer: Trainer) -> Trainer:
        while not trainer.done:
            trainer.run_epoch()
        return trainer

    def fresh(epochs: int) -> Trainer:
        net = nn.Sequential(without_batch_norm(False)[0], nn.BatchNorm2d(4), *without_batch_norm()[1:])
        return Trainer(net, images(), recipe(epochs, "muon"), True, 0, 2)

    straight = run(fresh(4))
    assert same(straight, run(fresh(4)))
    begun = fresh(4)
    begun.run_epoch()
    continued = fresh(4)
    continued.load_state(begun.state(), begun.epoch, begun.progress, begun.steps_left)
    assert same(straight, run(continued))
    assert score(predict(straight.network, images(seed=1)), images().labels)["accuracy"] > 0.95


def test_a_batch_is_split_where_its_parts_are_large_whatever_the_number_of_threads() -> None:
    macs = 10_000_000
    for count in (1, 4):
        with threads(count):
            found = [parts_of_a_batch(macs, CPU, size) for size in (64, 128, 199, 250, 399, 400, 1000, 8000)]
        assert found == [1, 1, 1, 2, 2, 4, 8, 8]
    assert parts_of_a_batch(macs, torch.device("cuda"), 1000) == 1
    assert parts_of_a_batch(1000, CPU, 1000) == 1


def dropping() -> nn.Module:
    layers = [*without_batch_norm()]
    return nn.Sequential(layers[0], nn.BatchNorm2d(4), *layers[1:3], nn.Dropout(0.5), layers[3])


@pytest.mark.parametrize("parts", [2, 4])
def test_any_number_of_threads_that_compute_parts_gives_the_same_bits_also_with_dropout(parts: int) -> None:
    def trained(count: int) -> Trainer:
        trainer = Trainer(dropping(), images(), recipe(3, "muon"), True, 0, parts, adaptive=AdaptiveThreads(count))
        for _ in range(3):
            trainer.run_epoch()
        return trainer

    alone = trained(1)
    assert all(same(alone, trained(count)) for count in range(2, parts + 1))
    assert [type(module) for module in alone.network.modules()] == [type(module) for module in dropping().modules()]


def test_threads_that_share_operations_are_as_many_as_find_a_core() -> None:
    class Crowded(AdaptiveThreads):
        asked = 0

        @property
        def threads(self) -> int:
            self.asked += 1
            return 8 if self.asked < 3 else 5

    trainer = Trainer(without_batch_norm(), images(), recipe(1), True, 0, 2, adaptive=Crowded(8))
    used: list[int] = []
    trainer.run_epoch(steps=4, on_step=lambda: used.append(torch.get_num_threads()))
    assert used == [4, 4, 2, 2] and trainer.crowded_steps == 2
    assert torch.get_num_threads() == 1
    trainer.run_epoch(steps=1, on_step=lambda: used.append(torch.get_num_threads()))
    assert used[-1] == 2


def test_a_loss_that_is_no_number_is_an_evaluation_error() -> None:
    trainer = Trainer(ready(), images(), Recipe(epochs=1, batch_size=16), True, 0)
    with torch.no_grad():
        next(trainer.network.parameters()).fill_(float("nan"))
    with pytest.raises(EvaluationError, match="the training loss is nan after epoch 1"):
        trainer.run_epoch()


def test_weight_decay_spares_biases_and_batch_norm() -> None:
    trainer = Trainer(ready(), images(), Recipe(weight_decay=0.1), True, 0)
    decayed, *others = trainer.optimizers
    assert all(p.ndim > 1 for p in decayed.parameters)
    assert all(p.ndim == 1 for other in others for p in other.parameters)
    assert [optimizer.weight_decay for optimizer in trainer.optimizers] == [0.1, 0.0, 0.0]


def test_shifts_of_batch_norm_have_a_rate_of_their_own() -> None:
    def step(times: float) -> dict[str, torch.Tensor]:
        net = ready()
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        Trainer(net, images(), Recipe(batch_size=16, shift_rate=times), True, 0).run_epoch(steps=1)
        return {name: p.detach() - before[name] for name, p in net.named_parameters()}

    once, often = step(1.0), step(30.0)
    assert torch.allclose(often.pop("1.bias"), 30 * once.pop("1.bias"))
    assert all(torch.equal(often[name], once[name]) for name in once)


def test_muon_takes_the_filters_that_see_several_channels() -> None:
    depthwise = nn.Conv2d(4, 4, 3, groups=4)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), depthwise, nn.Flatten(), nn.Linear(64, 2))
    *sgd, muon = Trainer(net, images(), recipe(1, "muon"), True, 0).optimizers
    (filters,) = muon.parameters
    assert filters is net[0].weight
    assert sum(len(optimizer.parameters) for optimizer in sgd) == 5


def test_precision_is_that_of_the_machine_unless_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    instructions = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert computes_in_bfloat16(CPU, "auto", 32 * 32) == instructions
    assert not computes_in_bfloat16(CPU, "auto", 8 * 8)
    assert computes_in_bfloat16(CPU, "bfloat16", 8 * 8)
    assert not computes_in_bfloat16(CPU, "float32", 32 * 32)
    for supported in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation, there=supported: there)
        assert computes_in_bfloat16(torch.device("cuda"), "auto", 8 * 8) == supported


def test_a_wide_depthwise_convolution_computes_in_float32_inside_autocast() -> None:
    wide, narrow = (Conv(8, 8, kernel, groups=8).build() for kernel in (5, 3))
    x = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    exact = wide(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        inside = wide(x)
        assert (inside.dtype, narrow(x).dtype) == (torch.bfloat16, torch.bfloat16)
    assert torch.equal(inside, exact.bfloat16())  # rounded once, at the end
    assert isinstance(wide, WideDepthwiseConv)
    assert not isinstance(narrow, WideDepthwiseConv)


def test_bfloat16_learns_too() -> None:
    trainer = Trainer(ready(), images(), Recipe(epochs=5, batch_size=16, precision="bfloat16"), True, 0)
    while not trainer.done:
        trainer.run_epoch()
    assert all(p.dtype == torch.float32 for p in trainer.network.parameters())
    assert score(predict(trainer.network, images(seed=1)), images().labels)["accuracy"] > 0.95


def test_more_steps_than_an_epoch_has_are_an_epoch() -> None:
    trainer = Trainer(ready(), images(40), Recipe(epochs=3, batch_size=16), True, 0)
    assert np.isfinite(trainer.run_epoch(steps=6))
    assert trainer.steps_left == 4


def test_few_images_make_one_batch() -> None:
    trainer = Trainer(ready(), images(5), Recipe(epochs=1, batch_size=128), True, 0)
    trainer.run_epoch()
    assert trainer.done


# ---- schedule


def test_the_rate_rises_and_falls() -> None:
    recipe = Recipe(learning_rate=0.4, warmup_fraction=0.25)
    assert learning_rate(recipe, 0) == 0
    assert learning_rate(recipe, 0.125) == pytest.approx(0.2)
    assert learning_rate(recipe, 0.25) == pytest.approx(0.4)
    assert learning_rate(recipe, 1) == pytest.approx(0)
    falling = [learning_rate(recipe, x / 100) for x in range(25, 101)]
    assert falling == sorted(falling, reverse=True)
    assert learning_rate(Recipe(warmup_fraction=0), 0) == 0.1
    assert learning_rate(Recipe(warmup_fraction=0, decay="linear"), 0.25) == pytest.approx(0.075)


def test_progress_ends_at_one() -> None:
    trainer = train(3)
    assert trainer.progress == pytest.approx(1)
    assert trainer.optimizers[0].lr < 0.01


# ---- images


def test_normalized_pixels_are_as_documented() -> None:
    data = images(4)
    expected = (data.pixels.float().permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    assert torch.allclose(data.normalized(data.pixels), expected, atol=1e-5)


def plain(**changes: float) -> Recipe:
    return Recipe.model_validate({"translate": 0, "flip": False, **changes})


def test_without_augmentation_a_batch_is_the_images() -> None:
    data, chosen = images(), torch.tensor([3, 1, 2])
    batch = augment(data, chosen, plain(), None, torch.Generator())
    assert torch.equal(batch, data.normalized(data.pixels[chosen]))


def test_what_is_told_to_be_mirrored_is_mirrored() -> None:
    data, chosen = images(), torch.arange(64)
    upright, mirrored = data.normalized(data.pixels), torch.arange(64) % 3 == 0
    batch = augment(data, chosen, plain(), mirrored, torch.Generator())
    assert torch.equal(batch, torch.where(mirrored[:, None, None, None], upright.flip(3), upright))


class Seen(nn.Module):
    """Keeps what a training shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.batches = nn.Linear(3, 2), list[torch.Tensor]()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.batches.append(batch.detach().clone())
        out: torch.Tensor = self.layer(batch.mean((2, 3)))
        return out


@pytest.mark.parametrize(("asked", "allowed"), [(True, True), (False, True), (True, False)])
def test_each_image_is_mirrored_in_every_other_epoch(asked: bool, allowed: bool) -> None:
    seen, data = Seen(), images()
    recipe = plain(flip=asked, epochs=4, batch_size=16)
    trainer, upright = Trainer(seen, data, recipe, allowed, 0), data.normalized(data.pixels)
    mirrored = []
    while not trainer.done:
        seen.batches.clear()
        trainer.run_epoch()
        shown = torch.cat(seen.batches)
        there = [any(torch.equal(view, image) for image in shown) for view in upright.flip(3)]
        assert all(there[i] != any(torch.equal(upright[i], image) for image in shown) for i in range(64))
        mirrored.append(torch.tensor(there))
    if asked and allowed:
        assert 15 < mirrored[0].sum() < 49
        assert torch.equal(mirrored[0], ~mirrored[1])
        assert torch.equal(mirrored[0], mirrored[2])
    else:
        assert not torch.cat(mirrored).any()


def test_images_grow_while_it_trains() -> None:
    seen = Seen()
    trainer = Trainer(seen, images(side=32), plain(first_side=0.625, epochs=20, batch_size=32), True, 0)
    while not trainer.done:
        trainer.run_epoch()
    assert [batch.shape[3] for batch in seen.batches[::2]] == [20] * 7 + [26] * 7 + [32] * 6
    small = Trainer(Seen(), images(side=8), plain(first_side=0.1), True, 0)
    assert {size.pixels.shape[1] for size in small.sizes} == {8}


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_short_training_ends_with_whole_images(epochs: int) -> None:
    seen = Seen()
    trainer = Trainer(seen, images(200, side=32), plain(first_side=0.625, epochs=epochs, batch_size=10), True, 0)
    while not trainer.done:
        trainer.run_epoch()
    sides = [batch.shape[3] for batch in seen.batches]
    assert sides == [20] * sides.count(20) + [26] * sides.count(26) + [32] * sides.count(32)
    assert sides.count(32) == pytest.approx(0.3 * len(sides), abs=1)


def test_an_epoch_ends_when_it_is_told_that_no_steps_are_left() -> None:
    seen = Seen()
    trainer = Trainer(seen, images(200), plain(epochs=1, batch_size=10), True, 0)

    def slow() -> None:
        if len(seen.batches) == 7:
            trainer.steps_left = 0.0

    assert trainer.run_epoch(on_step=slow) > 0
    assert trainer.done and len(seen.batches) == 7


def test_a_step_takes_as_long_as_its_images_have_pixels() -> None:
    trainer = Trainer(Seen(), images(side=32), plain(first_side=0.5, epochs=10, batch_size=64), True, 0)
    assert trainer.steps_in(60.0, 0.1) == pytest.approx(600 * 256 / (0.35 * 256 + 0.35 * 576 + 0.3 * 1024))
    assert trainer.time_fraction == 0
    while trainer.progress < 0.95:
        trainer.run_epoch()
        if trainer.epoch == 7:
            done = 0.35 * (256 + 576)
            assert trainer.time_fraction == pytest.approx(done / (done + 0.3 * 1024))
    assert trainer.steps_in(60.0, 0.1) == pytest.approx(600)


def test_translation_shifts_with_reflection() -> None:
    data, chosen = images(200, side=8), torch.arange(200)
    batch = augment(data, chosen, plain(translate=0.25), None, torch.Generator().manual_seed(0))
    padded = nn.functional.pad(data.normalized(data.pixels), (2, 2, 2, 2), mode="reflect")
    seen = set()
    for image, wide in zip(batch, padded, strict=True):
        found = [
            (dy, dx) for dy in range(5) for dx in range(5) if torch.equal(image, wide[:, dy : dy + 8, dx : dx + 8])
        ]
        assert found
        seen.add(found[0])
    assert len(seen) == 25


def test_cutout_makes_a_gray_hole_in_every_image() -> None:
    data, chosen = images(), torch.arange(64)
    batch = augment(data, chosen, plain(cutout=0.5), None, torch.Generator().manual_seed(0))
    holes = (batch == 0).all(1).sum((1, 2))
    assert holes.max() == 16
    assert holes.min() >= 4


def test_subsets_and_sizes() -> None:
    data = images(20, side=8)
    half = Images.of(data.pixels.numpy(), data.labels.numpy(), data.mean, data.std, CPU, np.array([1, 5, 7]))
    assert half.labels.tolist() == [1, 1, 1]
    assert half.resized(4).pixels.shape == (3, 4, 4, 3)
    assert half.resized(16).pixels.shape == (3, 16, 16, 3)
    assert half.resized(8) is half
    wide = Images.of(np.zeros((2, 4, 8, 1), np.uint8), np.zeros(2), (0.5,), (1.0,), CPU)
    assert wide.resized(6).pixels.shape == (2, 3, 6, 1)


def test_resizing_keeps_the_mean() -> None:
    data = images(50, side=16)
    assert abs(data.pixels.float().mean() - data.resized(8).pixels.float().mean()) < 1


# ---- devices


def test_a_missing_device_is_one_line() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(SpecError, match="cuda is not available"):
            select_device("cuda")
    assert select_device("cpu") == CPU
    assert select_device("auto").type in ("cpu", "cuda", "mps")


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_prediction_is_the_same_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PREDICT_BATCH", 7)
    net = without_batch_norm().eval()
    alone = predict(net, images())
    with threads(3):
        assert torch.equal(predict(net, images()), alone)
        assert torch.get_num_threads() == 3


def test_out_of_memory_is_recognized() -> None:
    with pytest.raises(EvaluationError, match=r"^out of memory; buy some$"), memory_checked("; buy some"):
        torch.empty(2**50, dtype=torch.uint8)
    with pytest.raises(EvaluationError, match=r"^out of memory$"), memory_checked():
        raise MemoryError
    with pytest.raises(RuntimeError, match="size mismatch"), memory_checked():
        raise RuntimeError("size mismatch")


class Waiting(nn.Module):
    """An operation that needs a number from the device."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / max(1.0, x.abs().max().item())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnCuda:
    """A step is recorded and replayed."""

    def trained(self, *layers: nn.Module, captured: bool = True) -> Trainer:
        given = Recipe(epochs=8, batch_size=16, optimizer="muon", first_side=0.5, precision="float32", cutout=0.25)
        with seeded(0):
            net = nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
            )
        trainer = Trainer(net, images(side=32, device=torch.device("cuda")), given, True, 0)
        assert trainer._captured is not None
        trainer._captured.possible = captured
        while not trainer.done:
            trainer.run_epoch()
        return trainer

    def test_a_replayed_training_is_the_one_that_was_written(self) -> None:
        captured, plain = self.trained(nn.ReLU()), self.trained(nn.ReLU(), captured=False)
        assert captured._captured is not None and captured._captured.graph is not None
        for one, other in zip(weights(captured), weights(plain), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)

    def test_dropout_draws_anew_and_from_the_seed(self) -> None:
        first, second = self.trained(nn.Dropout(0.5)), self.trained(nn.Dropout(0.5))
        for one, other in zip(weights(first), weights(second), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(weights(first)[0], weights(self.trained(nn.Dropout(0.0)))[0])

    def test_what_waits_for_the_device_runs_as_written(self) -> None:
        trainer = self.trained(Waiting())
        assert trainer._captured is not None and not trainer._captured.possible
        assert score(predict(trainer.network, trainer.images), trainer.images.labels)["accuracy"] > 0.95
