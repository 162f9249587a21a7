"""The cell that `nano` and `nasbench201` share: 4 nodes, 6 edges, a node is the sum of the edges into it."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from .graph import GraphBuilder, Sum, add
from .operations import OPERATIONS

NODES = 4  # the cell's input and three computed nodes
EDGES = [(source, node) for node in range(1, NODES) for source in range(node)]  # six, in the order of all texts


def rows(edges: Sequence[str]) -> list[list[str]]:
    """The operations into node 1, 2 and 3."""
    return [list(edges[node * (node - 1) // 2 : node * (node + 1) // 2]) for node in range(1, NODES)]


def flow(builder: GraphBuilder, edges: Sequence[str], value: Sum, name: Callable[[str], str] = str) -> Sum:
    """The output of a cell, given its input; `name` maps an edge's text to the operation's name in OPERATIONS."""
    nodes = [value]
    for row in rows(edges):
        nodes.append(add(_edge(builder, name(op), source) for op, source in zip(row, nodes, strict=True)))
    return nodes[-1]


def _edge(builder: GraphBuilder, name: str, value: Sum) -> Sum:
    role = OPERATIONS[name].role
    return () if role == "zero" else value if role == "identity" else builder.apply(name, value)


def graph_builder() -> GraphBuilder:
    return GraphBuilder(is_free=_is_free)


@lru_cache(maxsize=1024)
def _is_free(name: str) -> bool:
    return OPERATIONS[name].is_free


def live_edges(edges: Sequence[str], name: Callable[[str], str] = str) -> dict[tuple[int, int], str]:
    """The edges of a cell through which its input reaches its output."""
    alive = {edge: op for edge, op in zip(EDGES, edges, strict=True) if OPERATIONS[name(op)].role != "zero"}
    fed, needed = {0}, {NODES - 1}
    for node in range(1, NODES):
        if any(target == node and source in fed for source, target in alive):
            fed.add(node)
    for node in reversed(range(NODES - 1)):
        if any(source == node and target in needed for source, target in alive):
            needed.add(node)
    return {(a, b): op for (a, b), op in alive.items() if a in fed and b in needed}


def drawing(edges: Sequence[str], name: Callable[[str], str] = str) -> list[str]:
    """A cell as a table of edges, dead ones left out."""
    lines, live = [], live_edges(edges, name)
    for target in range(1, NODES):
        into = [f"{_node(a)} ─ {op}" for (a, b), op in live.items() if b == target]
        lines += [f"    {edge:<24} {f'─> {_node(target)}' if i == 0 else ' +'}" for i, edge in enumerate(into)]
    return lines


def _node(i: int) -> str:
    return "in" if i == 0 else "out" if i == NODES - 1 else f"n{i}"
