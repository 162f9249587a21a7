"""A network drawn from top to bottom: nodes in layers, edges as curves around them (Sugiyama et al. 1981)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from statistics import fmean

from ...core.numbers import count
from ...networks.diagram import Node
from ...pages.svg import Plot, svg, text

BOX, GAP, HEIGHT, PITCH = 168, 24, 40, 64  # width of a node, between two, height of a node, from layer to layer
LANE = 14  # the width of an edge that passes a layer
SIDE, PART_TOP = 14, 22  # margins of a part's frame
SWEEPS = 8


@dataclass(eq=False)
class _Slot:
    """Something in a layer: a node, or an edge on its way from node to node; with what comes in, and how often."""

    node: int | None
    sources: list[tuple["_Slot", int]]
    x: float = 0.0

    @property
    def width(self) -> int:
        return LANE if self.node is None else BOX


def network(nodes: Sequence[Node], name: str, title: str) -> Plot:
    """The drawing, and a row a node."""
    layers = _layers(nodes)
    _arrange(layers)
    left = min(slot.x - slot.width / 2 for layer in layers for slot in layer) - SIDE
    width = max(slot.x + slot.width / 2 for layer in layers for slot in layer) - left + SIDE + 8
    tops = _tops(nodes, layers)
    height = tops[-1] + HEIGHT + SIDE
    most = max(node.macs for node in nodes) or 1
    frames = list(_frames(nodes, layers, tops, width))
    content = [frame for frame, _ in frames]
    for slots, top, above in zip(layers[1:], tops[1:], tops, strict=False):
        content += [_edge(source, times, slot, above, top, -left) for slot in slots for source, times in slot.sources]
    content += [name for _, name in frames]  # above the edges
    for slots, top in zip(layers, tops, strict=True):
        content += [_box(nodes[slot.node], slot.x - left, top, most) for slot in slots if slot.node is not None]
    macs = sum(node.times * node.macs for node in nodes)
    params = sum(node.times * node.params for node in nodes)
    told = f"{count(params)} parameters, {count(macs)} MACs for one image"
    return Plot(
        name=name,
        title=title,
        note=f"{told}. A node adds up what comes in; beside its MACs stands the shape that it puts out, C×H×W; the bar "
        "below it compares its MACs with the most.",
        svg=svg(f"{title}: {told}", round(width), round(height), "".join(content), attributes=' class="network"'),
        columns=("node", "name", "part", "times", "inputs", "shape", "params", "macs"),
        rows=[
            (number, node.name, node.part, node.times, _inputs(node), _shape(node), node.params, node.macs)
            for number, node in enumerate(nodes)
        ],
    )


def _inputs(node: Node) -> str:
    return "+".join(str(source) for source, times in node.inputs for _ in range(times))


def _shape(node: Node) -> str:
    return "×".join(map(str, node.shape))


def _layers(nodes: Sequence[Node]) -> list[list[_Slot]]:
    """Each node below all that feeds it, and below the part before its own; edges over several layers get a slot in
    each."""
    depth: list[int] = []
    floor, part, repeated = 0, "", 1
    for node in nodes:
        if (node.part, node.times) != (part, repeated):
            floor, part, repeated = max(depth, default=-1) + 1, node.part, node.times
        depth.append(max([floor, *(depth[source] + 1 for source, _ in node.inputs)]))
    layers: list[list[_Slot]] = [[] for _ in range(max(depth) + 1)]
    slots: list[_Slot] = []
    passing: dict[tuple[int, int], _Slot] = {}
    for number, node in enumerate(nodes):
        slot = _Slot(number, [])
        slots.append(slot)
        layers[depth[number]].append(slot)
        for source, times in node.inputs:
            above = slots[source]
            for level in range(depth[source] + 1, depth[number]):
                if (source, level) not in passing:  # edges from one node share their way
                    passing[source, level] = _Slot(None, [(above, 1)])
                    layers[level].append(passing[source, level])
                above = passing[source, level]
            slot.sources.append((above, times))
    return layers


def _arrange(layers: Sequence[list[_Slot]]) -> None:
    """Puts each slot near the middle of its neighbours, down and up again, without overlaps."""
    users: dict[int, list[_Slot]] = {}
    for layer in layers:
        for slot in layer:
            for source, _ in slot.sources:
                users.setdefault(id(source), []).append(slot)
    for layer in layers:
        _pack(layer, [float(i) for i in range(len(layer))])
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else layers[::-1]:
            near = [[source for source, _ in slot.sources] if down else users.get(id(slot), []) for slot in layer]
            _pack(layer, [fmean(other.x for other in found or [slot]) for slot, found in zip(layer, near, strict=True)])


def _pack(layer: list[_Slot], wanted: Sequence[float]) -> None:
    """In the wanted order, as near to the wanted places as room allows; nodes count, edges give way. What is alone in
    its layer stands in the middle."""
    if len(layer) == 1:
        layer[0].x = 0.0
        return
    order = sorted(range(len(layer)), key=lambda i: (wanted[i], i))
    end = -math.inf
    for i in order:
        half = layer[i].width / 2
        layer[i].x = max(wanted[i], end + GAP + half)
        end = layer[i].x + half
    weights = [1.0 if slot.node is not None else 0.001 for slot in layer]
    apart = [weight * (place - slot.x) for weight, place, slot in zip(weights, wanted, layer, strict=True)]
    for slot in layer:
        slot.x += sum(apart) / sum(weights)
    layer.sort(key=lambda slot: slot.x)


def _part(nodes: Sequence[Node], layer: Sequence[_Slot]) -> Node | None:
    return next((nodes[slot.node] for slot in layer if slot.node is not None and nodes[slot.node].part), None)


def _tops(nodes: Sequence[Node], layers: Sequence[Sequence[_Slot]]) -> list[float]:
    """The top of each layer; a part's name needs room above it."""
    tops, y, before = [], float(SIDE), ""
    for layer in layers:
        found = _part(nodes, layer)
        part = found.part if found else ""
        y += PART_TOP if part and part != before else 0
        tops.append(y)
        y, before = y + PITCH, part
    return tops


def _frames(
    nodes: Sequence[Node], layers: Sequence[Sequence[_Slot]], tops: Sequence[float], width: float
) -> Iterator[tuple[str, str]]:
    """A frame around each part, with its name and its work."""
    parts = [(_part(nodes, layer), top) for layer, top in zip(layers, tops, strict=True)]
    for name, members in groupby(parts, key=lambda item: item[0].part if item[0] else ""):
        (first, top), *_ = found = list(members)
        if first is None:
            continue
        macs = sum(node.times * node.macs for node in nodes if node.part == name)
        height = found[-1][1] - top + HEIGHT + PART_TOP + 14
        repeated = f", this cell {first.times} times" if first.times > 1 else ""
        yield (
            f'<rect class="part" x="2" y="{top - PART_TOP}" width="{width - 4:.0f}" height="{height}" rx="8"/>',
            text(SIDE, top - 7, f"{name}{repeated}, {count(macs)} MACs", kind="stage"),
        )


def _edge(source: _Slot, times: int, target: _Slot, above: float, top: float, shift: float) -> str:
    """From the bottom of a node, or of an edge that passes, to the top of the next."""
    start, x0, x1 = above + HEIGHT, shift + source.x, shift + target.x
    bend = (top - start) / 2
    passing = f"V{top + HEIGHT:.0f}" if target.node is None else ""
    often = text(x1 + 6, top - 4, f"{times}×") if times > 1 else ""
    return (
        f'<path class="edge" d="M{x0:.1f} {start:.0f}C{x0:.1f} {start + bend:.0f} {x1:.1f} {top - bend:.0f} '
        f'{x1:.1f} {top:.0f}{passing}"/>{often}'
    )


def _box(node: Node, x: float, top: float, most: int) -> str:
    left, shape = f"{x - BOX / 2:.1f}", _shape(node)
    told = f"{shape} · {count(node.macs)} MACs" if node.macs else shape
    name = f"{node.name}, {node.detail}" if node.detail else node.name
    parts = [
        f"<title>{escape(f'{name}: {shape}, {node.params:,} parameters, {node.macs:,} MACs')}</title>",
        f'<rect class="box" x="{left}" y="{top:.1f}" width="{BOX}" height="{HEIGHT}" rx="6"/>',
        text(x, top + 16, node.name, "middle", "name"),
        text(x, top + 31, told, "middle"),
    ]
    if node.macs:
        share = f"{BOX * node.macs / most:.1f}"
        parts.append(f'<rect class="share" x="{left}" y="{top + HEIGHT - 3:.1f}" width="{share}" height="3" rx="1.5"/>')
    if node.adds_input:
        right, y = x + BOX / 2, top - 12
        parts.append(
            f'<path class="edge" d="M{x:.1f} {y:.0f}C{x + 60:.1f} {y:.0f} {right + 14:.1f} {y:.0f} {right + 14:.1f} '
            f"{y + 20:.0f}V{top + HEIGHT - 8:.0f}C{right + 14:.1f} {top + HEIGHT + 12:.0f} {x + 60:.1f} "
            f'{top + HEIGHT + 12:.0f} {x:.1f} {top + HEIGHT + 12:.0f}"/>'
        )
    return f"<g>{''.join(parts)}</g>"
