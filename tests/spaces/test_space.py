"""Contracts that every registered space keeps, and what is particular to `nano`."""

import random
from collections import Counter, defaultdict
from itertools import cycle, takewhile
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonas.core.errors import SpecError
from nanonas.core.space import SearchSpace
from nanonas.core.task import Task
from nanonas.networks.layers import ACTIVATIONS
from nanonas.networks.operations import OPERATIONS
from nanonas.spaces import SPACES
from nanonas.spaces.mobile import BLOCKS

TASK = Task(3, 32, 32, 10)
SEEDS = st.integers(0, 2**32)


def make(name: str) -> SearchSpace:
    return SPACES[name](SPACES[name].Config())


@pytest.fixture(params=list(SPACES))
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return make(request.param)


@pytest.mark.parametrize("name", list(SPACES))
@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_text_round_trips(name: str, seed: int) -> None:
    space = make(name)
    genotype = space.sample(random.Random(seed))
    parsed = space.parse(str(genotype))
    assert parsed == genotype
    assert parsed.values == genotype.values
    assert len(str(genotype).splitlines()) == 1


@pytest.mark.parametrize("name", list(SPACES))
@given(seed=SEEDS)
@settings(max_examples=50, deadline=None)
def test_operators_stay_inside_the_space(name: str, seed: int) -> None:
    space, rng = make(name), random.Random(seed)
    first, second = space.sample(rng), space.sample(rng)
    child = space.mutate(first, rng)
    assert sum(a != b for a, b in zip(child.values, first.values, strict=True)) == 1
    crossed = space.crossover(first, second, rng)
    assert all(v in (a, b) for v, a, b in zip(crossed.values, first.values, second.values, strict=True))
    for genotype in (child, crossed):
        assert space.parse(str(genotype)) == genotype


def test_neighbours_differ_in_one_choice_and_are_all_there(space: SearchSpace) -> None:
    genotype = space.sample(random.Random(0))
    neighbours = list(space.neighbours(genotype))
    assert len(set(neighbours)) == len(neighbours) == sum(len(choice.options) - 1 for choice in space.choices)
    for neighbour in neighbours:
        assert sum(a != b for a, b in zip(neighbour.values, genotype.values, strict=True)) == 1


def test_the_same_generator_samples_the_same(space: SearchSpace) -> None:
    assert space.sample(random.Random(7)) == space.sample(random.Random(7))


def test_equal_keys_have_equal_measures(space: SearchSpace) -> None:
    rng = random.Random(1)
    found = defaultdict(set)
    for _ in range(100):
        genotype = space.sample(rng)
        for _ in range(20):  # a walk of mutations meets many spellings of the same network
            genotype = space.mutate(genotype, rng)
            if space.is_connected(genotype):
                measured = dict(space.measure(genotype, TASK))
                if "live_params" in measured:  # built as written, with what is dead
                    measured = {"live_params": measured["live_params"]}
                found[space.canonical(genotype)].add(tuple(measured.items()))
    assert all(len(measures) == 1 for measures in found.values())


def test_networks_are_built_as_measured(space: SearchSpace) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    rng = random.Random(2)
    for task in (TASK, Task(1, 8, 8, 3), Task(3, 97, 65, 2)):
        genotype = next(g for g in iter(lambda: space.sample(rng), None) if space.is_connected(g))
        network = space.build(genotype, task).eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            logits = network(torch.zeros(2, task.channels, task.height, task.width))
        assert logits.shape == (2, task.classes)
        measured = space.measure(genotype, task)
        assert sum(p.numel() for p in network.parameters()) == measured["params"]
        assert counter.get_total_flops() == 2 * 2 * measured["macs"]


def test_the_gradient_comes_back_from_the_pooling_as_the_blocks_are_laid_out(space: SearchSpace) -> None:
    import torch

    network = space.build(space.sample(random.Random(0)), TASK).to(memory_format=torch.channels_last)
    arrived: list[torch.Tensor] = []
    blocks = network.get_submodule("blocks")
    blocks.register_full_backward_pre_hook(lambda module, gradients: arrived.extend(gradients))
    network(torch.randn(2, 3, 32, 32).to(memory_format=torch.channels_last)).sum().backward()
    (gradient,) = arrived
    assert min(gradient.shape[2:]) > 1  # else every layout is this one
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_equal_keys_are_the_same_function_under_the_same_seed(space: SearchSpace) -> None:
    import torch

    if "live_params" in space.measures:
        pytest.skip("built as written: dead operations draw initial weights too")
    rng = random.Random(3)
    pairs = 0
    while pairs < 5:
        first = space.sample(rng)
        second = space.mutate(first, rng)
        if space.canonical(first) != space.canonical(second) or not space.is_connected(first):
            continue
        pairs += 1
        outputs = []
        for genotype in (first, second):
            torch.manual_seed(0)
            outputs.append(space.build(genotype, Task(1, 8, 8, 3)).eval()(torch.ones(2, 1, 8, 8)))
        assert torch.equal(*outputs)


@pytest.mark.parametrize("task", [TASK, Task(1, 8, 8, 3), Task(3, 97, 65, 2)])
def test_a_diagram_adds_up_to_the_network(space: SearchSpace, task: Task) -> None:
    rng = random.Random(4)
    for _ in range(20):
        genotype = next(g for g in iter(lambda: space.sample(rng), None) if space.is_connected(g))
        nodes = space.diagram(genotype, task)
        measured = space.measure(genotype, task)
        assert sum(node.times * node.params for node in nodes) == measured["params"]
        assert sum(node.times * node.macs for node in nodes) == measured["macs"]
        assert nodes[0].shape == (task.channels, task.height, task.width)
        assert nodes[-1].shape == (task.classes,)
        assert all(source < number for number, node in enumerate(nodes) for source, _ in node.inputs)


def test_a_diagram_has_the_shapes_that_the_blocks_put_out(space: SearchSpace) -> None:
    import torch

    rng, task = random.Random(5), Task(3, 97, 65, 2)
    genotype = next(g for g in iter(lambda: space.sample(rng), None) if space.is_connected(g))
    network = space.build(genotype, task).eval()
    seen = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    with torch.inference_mode():
        network(torch.zeros(1, task.channels, task.height, task.width))
    drawn = [node.shape for node in space.diagram(genotype, task)[1:-1]]
    assert list(dict.fromkeys(seen)) == list(dict.fromkeys(drawn))


# ---- nano

CELL = "none+none,none+skip_connect,none,none"  # the identity


def nano(text: str) -> str:
    space = make("nano")
    return space.canonical(space.parse(text))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # a residual around nothing is an identity, however often it is repeated
        (f"w16/x1:{CELL}/x1:{CELL}/x1:{CELL}", f"w16/x3:{CELL}/x2:{CELL}/x1r:none+none,none+none,none,none"),
        # two shallow cells are one deep cell
        (
            f"w16/x2:none+none,none+conv_3x3,none,none/x1:{CELL}/x1:{CELL}",
            f"w16/x1:conv_3x3+none,none+none,conv_3x3,none/x1:{CELL}/x1:{CELL}",
        ),
        # also when each has a residual
        (
            f"w16/x2r:none+none,none+conv_3x3,none,none/x1:{CELL}/x1:{CELL}",
            f"w16/x1:conv_3x3+skip_connect,skip_connect+skip_connect,skip_connect,conv_3x3/x1:{CELL}/x1:{CELL}",
        ),
        # a residual is one more identity in the sum
        (
            f"w16/x1r:none+none,none+none,none,none/x1:{CELL}/x1:{CELL}",
            f"w16/x1:{CELL}/x1:{CELL}/x1:{CELL}",
        ),
    ],
)
def test_the_same_network_has_one_key(first: str, second: str) -> None:
    assert nano(first) == nano(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"w16/x1:{CELL}/x1:{CELL}/x1:{CELL}", f"w20/x1:{CELL}/x1:{CELL}/x1:{CELL}"),
        # x is not 2x
        (f"w16/x1:{CELL}/x1:{CELL}/x1:{CELL}", f"w16/x1r:{CELL}/x1:{CELL}/x1:{CELL}"),
        # which stage it is matters
        (
            f"w16/x1:none+none,none+conv_3x3,none,none/x1:{CELL}/x1:{CELL}",
            f"w16/x1:{CELL}/x1:none+none,none+conv_3x3,none,none/x1:{CELL}",
        ),
        # one convolution used twice is not two
        (
            f"w16/x1:conv_3x3+none,none+none,conv_1x1,none/x1:{CELL}/x1:{CELL}",
            f"w16/x1:none+none,none+conv_3x3,none,none/x1:{CELL}/x1:{CELL}",
        ),
    ],
)
def test_different_networks_have_different_keys(first: str, second: str) -> None:
    assert nano(first) != nano(second)


def test_widths_reach_from_16_to_128_channels() -> None:
    widths = make("nano").choices[0].options
    assert min(widths) == 16
    assert 4 * max(widths) == 128


def test_a_million_distinct_architectures_have_50_to_247_thousand_parameters() -> None:
    """200 distinct stages in each place, counted by parameters: 8 million products of distinct keys."""
    space, rng = make("nano"), random.Random(0)
    identity = f"x1:{CELL}"
    base = space.measure(space.parse(f"w16/{identity}/{identity}/{identity}"), TASK)["params"]
    stages: list[dict[str, int]] = [{}, {}, {}]
    for place, found in enumerate(stages):
        while len(found) < 200:
            parts = [identity] * 3
            parts[place] = str(space.sample(rng)).split("/")[place + 1]
            genotype = space.parse("/".join(["w16", *parts]))
            if space.is_connected(genotype):
                found[space.canonical(genotype)] = int(space.measure(genotype, TASK)["params"] - base)
    totals: Counter[int] = Counter({int(base): 1})
    for found in stages:
        sums: Counter[int] = Counter()
        for total, times in totals.items():
            for params in found.values():
                sums[total + params] += times
        totals = sums
    assert sum(times for total, times in totals.items() if 50_000 <= total <= 247_000) >= 1_000_000


def test_genotypes_are_safe_to_type() -> None:
    space = make("nano")
    for seed in range(50):
        assert not set(str(space.sample(random.Random(seed)))) & set(" \t'\"|&;<>()$`\\*?[]#~=%!{}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not of the form"),
        ("w16", "is not of the form"),
        (f"w16/x1:{CELL}/x1:{CELL}", "is not of the form"),
        (f"w17/x1:{CELL}/x1:{CELL}/x1:{CELL}", "width cannot be 17"),
        (f"w16/x9:{CELL}/x1:{CELL}/x1:{CELL}", "stage1.cells cannot be 9"),
        (f"w16/x1:{CELL}/x1:{CELL}/x1:{CELL.replace('skip_connect', 'skip_conect')}", "did you mean 'skip_connect'?"),
        (f"w16/x1:none,none+none+none,none,none/x1:{CELL}/x1:{CELL}", "x1:op+op,op+op,op,op"),
        (f"w016/x1:{CELL}/x1:{CELL}/x1:{CELL}", "is not written as"),
        ("w16/" * 100_000, "is not of the form"),
    ],
)
def test_a_genotype_that_does_not_parse_is_one_line(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        make("nano").parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_every_operation_can_be_an_edge() -> None:
    space = SPACES["nano"](SPACES["nano"].Config(operations=tuple(OPERATIONS)))
    for name in OPERATIONS:
        cell = f"none+none,none+{name},none,none"
        genotype = space.parse(f"w16/x1r:{cell}/x1r:{cell}/x1r:{cell}")
        network = space.build(genotype, TASK)
        assert sum(p.numel() for p in network.parameters()) == space.measure(genotype, TASK)["params"]


def test_a_dead_stage_disconnects() -> None:
    space = make("nano")
    genotype = space.parse(f"w16/x1:{CELL}/x1:none+none,none+none,conv_3x3,none/x1:{CELL}")
    assert not space.is_connected(genotype)
    with pytest.raises(SpecError, match="does not connect"):
        space.build(genotype, TASK)


def test_large_images_are_halved_by_the_stem() -> None:
    space = make("nano")
    genotype = space.parse(f"w16/x1:{CELL}/x1:{CELL}/x1:{CELL}")
    small, large = (space.measure(genotype, Task(3, side, side, 10))["macs"] for side in (64, 224))
    assert large < 3 * small


@pytest.mark.parametrize("name", ["nano", "mobile"])
def test_with_halvings_of_the_stem_cost_grows_with_the_side(name: str) -> None:
    space = SPACES[name](SPACES[name].Config.model_validate({"halvings": 1}))
    genotype = space.sample(random.Random(0))
    sides = (32, 48, 64, 65, 96, 128)
    macs, params = ([space.measure(genotype, Task(3, side, side, 10))[m] for side in sides] for m in ("macs", "params"))
    assert macs == sorted(macs) and macs[-1] > 12 * macs[0]
    assert len({*params}) == 1
    assert SPACES[name](SPACES[name].Config()).measure(genotype, Task(3, 32, 32, 10))["macs"] > macs[0]
    found = space.build(genotype, Task(3, 96, 64, 10))
    assert sum(p.numel() for p in found.parameters()) == params[0]


def test_the_smallest_is_found_across_plateaus() -> None:
    """Without skip_connect only a residual, which costs nothing, makes a stage without parameters possible."""
    space = SPACES["nano"](SPACES["nano"].Config(operations=("conv_1x1", "none")))
    smallest = space.smallest(lambda genotype: space.measure(genotype, TASK)["params"])
    empty = "x1r:none+none,none+none,none,none"
    expected = space.measure(space.parse(f"w16/{empty}/{empty}/{empty}"), TASK)["params"]
    assert space.measure(smallest, TASK)["params"] == expected


def test_a_drawing_leaves_dead_edges_out() -> None:
    space = make("nano")
    cell = "none+none,conv_3x3+skip_connect,none,sep_conv_3x3"  # nothing enters n1, so nothing reaches n2
    drawing = space.describe(space.parse(f"w16/x1:{cell}/x1:{CELL}/x1:{CELL}"))
    assert "conv" not in drawing
    assert drawing.count("skip_connect") == 1 + 2


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "mobile",
            "w24/pool32:residual3e2x1/stride64:inverted5e4x2s/keep96:fused3e3x3",
            [["24 channels"], ["32", "maxima", "1 × residual 3×3"],
             ["64", "stride", "2 × inverted 5×5", "256", "squeeze"], ["96", "as large", "3 × fused 3×3", "288"]],
        ),
        (
            "nasbench201",
            "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|",
            [["16 channels"], ["5 cells"], ["avg_pool_3x3"], ["nor_conv_1x1"], ["skip_connect"], ["nor_conv_3x3"]],
        ),
    ],
)  # fmt: skip
def test_a_drawing_names_every_live_choice(name: str, text: str, told: list[list[str]]) -> None:
    space = make(name)
    drawing = space.describe(space.parse(text)).replace("\n    ", " ")
    for words in told:
        assert any(all(word in line for word in words) for line in drawing.splitlines()), (words, drawing)


def test_the_smallest_is_smaller_than_any_sample() -> None:
    space = make("nano")

    def params(genotype: object) -> float:
        return space.measure(genotype, TASK)["params"]

    least = params(space.smallest(params))
    assert least <= min(params(space.sample(random.Random(seed))) for seed in range(200))


# ---- mobile


def test_mobile_keys_forget_an_expansion_that_nothing_has() -> None:
    space = make("mobile")
    text = "w16/pool24:residual3e{0}x1/stride48:conv5e{0}x2s/keep64:inverted5e{1}x1"
    keys = [space.canonical(space.parse(text.format(*pair))) for pair in [(2, 3), (4, 3), (2, 4)]]
    assert keys[0] == keys[1] != keys[2]
    named = [{feature.partition("=")[0] for feature in space.features(space.parse(text.format(2, 3)))}]
    assert "stage3.expansion" in named[0]
    assert "stage1.expansion" not in named[0]


def test_mobile_keys_see_that_a_kept_stage_begins_with_a_convolution_like_any_other() -> None:
    space = make("mobile")
    text = "w16/pool32:conv3e2x{}/keep32:conv3e2x{}/pool48:conv3e2x1{}"
    keys = [space.canonical(space.parse(text.format(*which))) for which in [(2, 1, ""), (1, 2, ""), (1, 2, "s")]]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(("block", "activation"), zip(BLOCKS, cycle(ACTIVATIONS)))
def test_every_mobile_block_is_built_as_measured(block: str, activation: Literal["relu", "gelu"]) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space = SPACES["mobile"](SPACES["mobile"].Config(activation=activation))
    genotype = space.parse(f"w16/pool16:{block}5e3x2s/stride32:{block}3e2x1/keep48:{block}3e4x1s")
    network = space.build(genotype, TASK).eval()
    seen = 0

    def count(module: object, inputs: object, output: torch.Tensor) -> None:
        nonlocal seen
        seen += output.numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, 32, 32))
    measured = space.measure(genotype, TASK)
    assert counter.get_total_flops() == 2 * measured["macs"]
    assert sum(p.numel() for p in network.parameters()) == measured["params"]
    assert seen == measured["activations"]


@pytest.mark.parametrize(
    "text", ["w24", "w24/pool16:conv3e2x1", "w24/pool17:conv3e2x1/pool32:conv3e2x1/pool48:conv3e2x1"]
)
def test_what_is_no_mobile_genotype_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="genotype"):
        make("mobile").parse(text)


def test_a_mobile_stage_halves_only_as_its_reductions_say() -> None:
    space = SPACES["mobile"](SPACES["mobile"].Config(reductions=(("keep",), ("pool",), ("pool", "stride"))))
    rng = random.Random(0)
    drawn = [space.sample(rng) for _ in range(20)]
    drawn += [space.mutate(genotype, rng) for genotype in drawn]
    stages = zip(*(str(genotype).split("/")[1:] for genotype in drawn), strict=True)
    seen = [{"".join(takewhile(str.isalpha, text)) for text in stage} for stage in stages]
    assert seen == [{"keep"}, {"pool"}, {"pool", "stride"}]
    with pytest.raises(SpecError, match=r"stage1\.reduction cannot be 'pool'"):
        space.parse("w16/pool16:conv3e2x1/keep32:conv3e2x1/pool48:conv3e2x1")


def test_mobile_refuses_an_unknown_block() -> None:
    with pytest.raises(ValueError, match=r"unknown block 'residal'.*residual"):
        SPACES["mobile"].Config(blocks=("conv", "residal"))
