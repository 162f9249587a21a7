"""The `nasbench201` space: parameters as published, and keys that mean what they say."""

import itertools
import random
from collections import defaultdict

import pytest
import torch
from torch import Tensor, nn

from nanonas.core.errors import SpecError
from nanonas.core.genotype import Genotype
from nanonas.core.pareto import Objectives
from nanonas.core.problem import Problem
from nanonas.core.task import Task
from nanonas.spaces.nasbench201 import PUBLISHED, NASBench201

TASK = Task(3, 32, 32, 10)
SPACE = NASBench201(NASBench201.Config())
TINY = NASBench201(NASBench201.Config(channels=3, cells=1))
CELLS = [SPACE.genotype(values) for values in itertools.product(PUBLISHED, repeat=6)]
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"


def test_there_are_15625_cells_5260_keys_and_341_disconnected_cells_of_one_key() -> None:
    assert len(CELLS) == SPACE.size == 15_625
    keys = defaultdict(list)
    for genotype in CELLS:
        keys[SPACE.canonical(genotype)].append(genotype)
    assert len(keys) == 5260
    dead = [genotype for genotype in CELLS if not SPACE.is_connected(genotype)]
    assert len(dead) == 341
    assert len({SPACE.canonical(genotype) for genotype in dead}) == 1


def test_no_key_has_two_live_parameter_counts() -> None:
    counts = defaultdict(set)
    for genotype in CELLS:
        counts[SPACE.canonical(genotype)].add(SPACE.measure(genotype, TASK)["live_params"])
    assert all(len(found) == 1 for found in counts.values())


def test_params_of_every_cell_are_those_of_the_benchmark() -> None:
    """73,306, and for each convolution as written 243,040 (3×3) or 28,000 (1×1)."""
    for genotype in CELLS:
        expected = 73_306 + sum(
            {"nor_conv_3x3": 243_040, "nor_conv_1x1": 28_000}.get(str(v), 0) for v in genotype.values
        )
        assert SPACE.measure(genotype, TASK)["params"] == expected


def test_networks_have_these_params(monkeypatch: pytest.MonkeyPatch) -> None:
    for layer in (nn.Conv2d, nn.Linear, nn.BatchNorm2d):  # to draw the weights would take most of the time
        monkeypatch.setattr(layer, "reset_parameters", lambda self: None)
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda *weight, **how: None)
    for genotype in random.Random(0).sample(CELLS, 200):
        network = SPACE.build(genotype, TASK)
        assert sum(p.numel() for p in network.parameters()) == SPACE.measure(genotype, TASK)["params"]


def test_text_is_that_of_the_benchmark() -> None:
    genotype = SPACE.parse(BEST)
    assert genotype.values == (*["nor_conv_3x3"] * 3, "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
    assert str(genotype) == BEST


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not of the form"),
        (BEST[:-1], "is not of the form"),
        (BEST + "+" + BEST, "is not of the form"),
        (BEST.replace("~2", "~1"), "is not of the form"),
        (BEST.replace("skip_connect", "skip_conect"), "did you mean 'skip_connect'?"),
        ("|none~0|+" * 100_000, "is not of the form"),
    ],
)
def test_a_text_that_is_no_cell_is_one_line(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        SPACE.parse(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


# ---- equal keys compute the same, different keys do not: by weights copied over


def live_convolutions(genotype: Genotype, network: nn.Module) -> list[tuple[int, str]]:
    """The edges with weights that anything comes of: found by switching each off, not by the graph's code."""
    whole = outputs(network)
    found = []
    for edge, name in enumerate(genotype.values):
        if "conv" not in str(name):
            continue
        weights = [network.blocks[block][0].operations[edge][1].weight for block in (1, 3, 5)]
        kept = [weight.detach().clone() for weight in weights]
        for weight in weights:
            nn.init.zeros_(weight)
        if not torch.equal(outputs(network), whole):
            found.append((edge, str(name)))
        for weight, before in zip(weights, kept, strict=True):
            weight.data.copy_(before)
    return found


def probe(genotype: Genotype) -> nn.Module:
    """A small network of the cell in double precision, its batch norm at its initial statistics."""
    torch.manual_seed(0)
    return TINY.build(genotype, Task(1, 8, 8, 3)).double().eval()


def outputs(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(torch.linspace(-1, 1, 128, dtype=torch.double).reshape(2, 1, 8, 8).sin())
    return result


def copied(source: nn.Module, target: nn.Module, pairs: list[tuple[int, int]]) -> nn.Module:
    """All weights outside the cells, and those of the given edges."""
    state = {name: value for name, value in source.state_dict().items() if ".operations." not in name}
    for block in (1, 3, 5):
        for mine, theirs in pairs:
            prefix = f"blocks.{block}.0.operations."
            for name, value in source.state_dict().items():
                if name.startswith(f"{prefix}{mine}."):
                    state[name.replace(f"{prefix}{mine}.", f"{prefix}{theirs}.")] = value
    target.load_state_dict(state, strict=False)
    return target


def can_compute_the_same(first: Genotype, second: Genotype) -> bool:
    """Whether some assignment of weights of the first to places in the second gives equal outputs."""
    source, target = probe(first), probe(second)
    mine, theirs = live_convolutions(first, source), live_convolutions(second, target)
    if sorted(name for _, name in mine) != sorted(name for _, name in theirs):
        return False
    expected = outputs(source)
    for order in itertools.permutations(theirs):
        if all(a == b for (_, a), (_, b) in zip(mine, order, strict=True)):
            pairs = [(i, j) for (i, _), (j, _) in zip(mine, order, strict=True)]
            if torch.allclose(outputs(copied(source, target, pairs)), expected, rtol=1e-9, atol=1e-12):
                return True
    return False


def test_cells_of_one_key_compute_the_same() -> None:
    rng = random.Random(0)
    groups = defaultdict(list)
    for genotype in CELLS:
        groups[SPACE.canonical(genotype)].append(genotype)
    spelled_twice = [group for group in groups.values() if len(group) > 1]
    for group in rng.sample(spelled_twice, 40):
        first, second = rng.sample(group, 2)
        assert can_compute_the_same(first, second), (first, second)


def test_cells_of_different_keys_do_not() -> None:
    rng = random.Random(1)
    pairs = 0
    while pairs < 200:
        first = rng.choice(CELLS)
        second = SPACE.mutate(SPACE.mutate(first, rng), rng)  # near, so that many differ in little
        if SPACE.canonical(first) == SPACE.canonical(second):
            continue
        pairs += 1
        assert not can_compute_the_same(first, second), (first, second)


def test_equal_networks_written_with_more_params_differ_where_params_are_an_objective() -> None:
    lean, fat = (
        SPACE.parse(f"|skip_connect~0|+|{op}~0|none~1|+|nor_conv_3x3~0|none~1|none~2|")
        for op in ("none", "nor_conv_3x3")
    )
    assert SPACE.canonical(lean) == SPACE.canonical(fat)
    objectives: Objectives = {"val_accuracy": "maximize"}
    single = Problem(SPACE, TASK, objectives, {}, {})
    assert single.told_apart(lean) == single.told_apart(fat)
    both = Problem(SPACE, TASK, {**objectives, "params": "minimize"}, {}, {})
    assert both.told_apart(lean) != both.told_apart(fat)
