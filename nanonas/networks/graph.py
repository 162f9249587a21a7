"""Computation graphs of sums and operations, and their canonical form.

What a space of cells knows of an architecture follows from its graph: its key and, where dead operations are not built,
its parameters and its network. A value is a sum of operation outputs; summing an identity contracts it, summing nothing
is zero, and what no output needs is gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

Sum = tuple[tuple[int, int], ...]  # sorted (node, multiplicity) pairs; () is zero
INPUT: Sum = ((0, 1),)


def add(values: Iterable[Sum]) -> Sum:
    """The sum of values; unordered, keeping multiplicity (x + x is 2x)."""
    there = [value for value in values if value]
    if len(there) < 2:
        return there[0] if there else ()
    total: dict[int, int] = {}
    for value in there:
        for node, times in value:
            total[node] = total.get(node, 0) + times
    return tuple(sorted(total.items()))


@dataclass(frozen=True)
class Graph:
    """Node 0 is the input; node i applies `nodes[i - 1] = (operation, sum of earlier nodes)`."""

    nodes: tuple[tuple[str, Sum], ...]
    output: Sum

    def __str__(self) -> str:
        return self._text

    @cached_property
    def _text(self) -> str:
        names = ["x", *(f"n{i}" for i in range(1, len(self.nodes) + 1))]

        def text(value: Sum) -> str:
            return "+".join(names[node] if times == 1 else f"{times}{names[node]}" for node, times in value) or "0"

        lines = [f"{names[i]}={operation}({text(value)})" for i, (operation, value) in enumerate(self.nodes, 1)]
        return ";".join([*lines, text(self.output)])


@lru_cache(maxsize=8192)
def neighbourhoods(graph: Graph) -> frozenset[str]:
    """What a graph consists of, without names of nodes: each operation, and each with what feeds it and what it feeds.

    These are the labels of the Weisfeiler-Lehman kernel after one iteration in both directions, as NAS-BOWL uses them
    (Ru et al. 2021, arXiv:2006.07556). A label comes as often as it is there, with its number: equal multisets are
    equal sets.
    """
    end = len(graph.nodes) + 1
    labels = ["x", *(operation for operation, _ in graph.nodes), "y"]
    users: dict[int, list[tuple[str, int]]] = {node: [] for node in range(end + 1)}
    inputs = [(), *(value for _, value in graph.nodes), graph.output]
    for node, value in enumerate(inputs):
        for source, times in value:
            users[source].append((labels[node], times))
    seen: Counter[str] = Counter()
    found: set[str] = set()
    for node, label in enumerate(labels):
        fed = sorted((labels[source], times) for source, times in inputs[node])
        for feature in [label, f"{fed}>{label}>{sorted(users[node])}"]:
            seen[feature] += 1
            found.add(f"{feature}#{seen[feature]}")
    return frozenset(found)


class GraphBuilder:
    """Collects operations while a space walks through its cells.

    Args:
        is_free: whether an operation has no parameters; two of those on equal inputs are one.
    """

    def __init__(self, is_free: Callable[[str], bool]) -> None:
        self._is_free = is_free
        self._nodes: list[tuple[str, Sum]] = []
        self._free: dict[tuple[str, Sum], Sum] = {}

    def apply(self, operation: str, value: Sum) -> Sum:
        """The output of an operation. Zero stays zero: convolutions have no bias, batch norm starts without shift."""
        if not value:
            return ()
        node = (operation, value)
        if node in self._free:
            return self._free[node]
        self._nodes.append(node)
        result: Sum = ((len(self._nodes), 1),)
        if self._is_free(operation):
            self._free[node] = result
        return result

    def graph(self, output: Sum) -> Graph:
        """The canonical graph of what `output` needs: two are equal exactly when they are isomorphic."""
        live: set[int] = set()
        stack = [node for node, _ in output]
        while stack:
            node = stack.pop()
            if node and node not in live:
                live.add(node)
                stack.extend(source for source, _ in self._nodes[node - 1][1])
        nodes = {node: self._nodes[node - 1] for node in sorted(live)}
        ordered = [_ordered(nodes, output, order) for order in _orders(nodes, output)]
        return ordered[0] if len(ordered) == 1 else min(ordered, key=str)


def _ordered(nodes: dict[int, tuple[str, Sum]], output: Sum, order: list[int]) -> Graph:
    place = {0: 0, **{node: i for i, node in enumerate(order, 1)}}

    def renamed(value: Sum) -> Sum:
        if len(value) == 1:
            ((node, times),) = value
            return ((place[node], times),)
        return tuple(sorted([(place[node], times) for node, times in value]))

    return Graph(tuple((nodes[node][0], renamed(nodes[node][1])) for node in order), renamed(output))


def _orders(nodes: dict[int, tuple[str, Sum]], output: Sum) -> Iterator[list[int]]:
    """Topological orders, at least one of which every isomorphic graph has too: colour refinement, then branching.

    A colour is what can be said of a node without its name. Where colours leave a tie, each of the tied nodes is
    tried first; nodes that can be swapped without changing the graph (twins) need no trying.
    """
    depth, leaves = {0: 0}, dict(output)
    for node, (_, value) in nodes.items():  # ascending names are topological
        depth[node] = 1 + max([depth[source] for source, _ in value])
    start = {node: (depth[node], operation, leaves.get(node, 0)) for node, (operation, _) in nodes.items()}
    if len(set(start.values())) == len(start):
        yield sorted(start, key=start.__getitem__)
        return
    users: dict[int, list[tuple[int, int]]] = {node: [] for node in nodes}
    for node, (_, value) in nodes.items():
        for source, times in value:
            if source:
                users[source].append((node, times))

    def refined(colour: dict[int, int]) -> dict[int, int]:
        while len(set(colour.values())) < len(colour):
            signature = {
                node: (
                    colour[node],
                    tuple(sorted((colour[source], times) for source, times in value)),
                    tuple(sorted((colour[user], times) for user, times in users[node])),
                )
                for node, (_, value) in nodes.items()
            }
            finer = _ranks(signature)
            if len(set(finer.values())) == len(set(colour.values())) - 1:  # -1: the input has a colour of its own
                return colour
            colour = {0: -1, **finer}
        return colour

    def leafs(colour: dict[int, int]) -> Iterator[list[int]]:
        colour = refined(colour)
        classes: dict[int, list[int]] = {}
        for node in nodes:
            classes.setdefault(colour[node], []).append(node)
        tied = next((classes[c] for c in sorted(classes) if len(classes[c]) > 1), None)
        if tied is None:
            yield sorted(nodes, key=colour.__getitem__)
            return
        twins = all(nodes[node] == nodes[tied[0]] and users[node] == users[tied[0]] for node in tied)
        for first in tied[:1] if twins else tied:
            # doubled colours leave room to put one node before its equals
            yield from leafs({node: 2 * c - (node == first) for node, c in colour.items()})

    yield from leafs({0: -1, **_ranks(start)})


def _ranks(signature: Mapping[int, tuple[Any, ...]]) -> dict[int, int]:
    rank = {value: i for i, value in enumerate(sorted(set(signature.values())))}
    return {node: rank[value] for node, value in signature.items()}
