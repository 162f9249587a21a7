"""Canonical graphs: equal exactly when they are the same network up to the names of its weights."""

import itertools
import random

from nanonas.networks.graph import INPUT, Graph, GraphBuilder, Sum, add, neighbourhoods

NASBENCH201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def builder() -> GraphBuilder:
    return GraphBuilder(is_free=lambda name: "pool" in name)


def edge(graph: GraphBuilder, operation: str, value: Sum) -> Sum:
    return () if operation == "none" else value if operation == "skip_connect" else graph.apply(operation, value)


def cell(edges: tuple[str, ...]) -> Graph:
    graph = builder()
    first = edge(graph, edges[0], INPUT)
    second = add([edge(graph, edges[1], INPUT), edge(graph, edges[2], first)])
    return graph.graph(add([edge(graph, edges[3], INPUT), edge(graph, edges[4], first), edge(graph, edges[5], second)]))


def test_sums_are_unordered_and_keep_multiplicity() -> None:
    assert add([((1, 1),), ((0, 2),), ((1, 1),)]) == ((0, 2), (1, 2))
    assert cell(("skip_connect", "none", "none", "skip_connect", "skip_connect", "none")).output == ((0, 2),)


def test_an_output_used_twice_is_not_two_operations() -> None:
    shared = cell(("nor_conv_3x3", "none", "skip_connect", "none", "skip_connect", "skip_connect"))
    twice = cell(("nor_conv_3x3", "nor_conv_3x3", "none", "none", "skip_connect", "skip_connect"))
    assert len(shared.nodes) == 1
    assert len(twice.nodes) == 2


def test_free_operations_on_equal_inputs_are_one() -> None:
    pools = cell(("avg_pool_3x3", "avg_pool_3x3", "none", "none", "skip_connect", "skip_connect"))
    assert len(pools.nodes) == 1
    assert pools.output == ((1, 2),)


def test_what_hangs_on_zero_or_feeds_nothing_is_gone() -> None:
    assert cell(("none", "none", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "avg_pool_3x3")).nodes == ()
    assert cell(("nor_conv_3x3", "nor_conv_1x1", "none", "skip_connect", "none", "none")).nodes == ()


def random_graph(rng: random.Random, order: list[int] | None = None) -> tuple[GraphBuilder, Sum]:
    """A graph of eight convolutions; with `order` they are applied in another order, where inputs allow it."""
    plan = [(rng.choice("ab"), [rng.randrange(i + 1) for _ in range(rng.randint(1, 2))]) for i in range(8)]
    ends = [rng.randrange(9) for _ in range(3)]
    graph = builder()
    values: dict[int, Sum] = {0: INPUT}
    waiting = order or list(range(1, 9))
    while waiting:
        ready = next(i for i in waiting if all(source in values for source in plan[i - 1][1]))
        values[ready] = graph.apply(plan[ready - 1][0], add(values[source] for source in plan[ready - 1][1]))
        waiting = [i for i in waiting if i != ready]
    return graph, add(values[end] for end in ends)


def test_the_order_of_construction_does_not_matter() -> None:
    for seed in range(300):
        order = random.Random(-seed - 1).sample(range(1, 9), 8)
        first, output = random_graph(random.Random(seed))
        second, other = random_graph(random.Random(seed), order)
        assert str(first.graph(output)) == str(second.graph(other)), seed


def test_many_equal_branches_do_not_take_for_ever() -> None:
    graph = builder()
    value = INPUT
    for _ in range(8):
        value = add(graph.apply("conv", value) for _ in range(4))
    assert len(graph.graph(value).nodes) == 32


def test_neighbourhoods_are_equal_for_equal_graphs_and_count_repetitions() -> None:
    shared = cell(("nor_conv_3x3", "none", "skip_connect", "none", "skip_connect", "skip_connect"))
    twice = cell(("nor_conv_3x3", "nor_conv_3x3", "none", "none", "skip_connect", "skip_connect"))
    assert {"nor_conv_3x3#1", "nor_conv_3x3#2"} <= neighbourhoods(twice)
    assert "nor_conv_3x3#2" not in neighbourhoods(shared)
    for edges in itertools.islice(itertools.product(NASBENCH201, repeat=6), 0, 15_625, 97):
        graph = cell(edges)
        assert len(neighbourhoods(graph)) == 2 * (len(graph.nodes) + 2)  # none hides another; input and output too
