"""Plots as SVG: axes with round ticks, and what is drawn between them. Colours are classes of plots.css."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

LEFT = 0.105  # of the width: a margin for the ticks, which phones write larger
RIGHT, TOP, BOTTOM = 24, 40, 50
GROUPS = 6  # colours; with more groups they begin again

Write = Callable[[float], str]


@dataclass(frozen=True)
class Plot:
    """A plot of a page, and the numbers in it.

    Attributes:
        name: of its files.
        note: what is drawn, and of how much.
        svg: the element.
        legend: (group, name) pairs, where there are several groups.
    """

    name: str
    title: str
    note: str
    svg: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    legend: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class Axes:
    """Data to pixels.

    Attributes:
        x, y: the ends of each axis.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 560
    height: int = 320

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float], width: int = 560, height: int = 320) -> "Axes":
        """From round number to round number."""
        x, y = ticks(xs), ticks(ys)
        return cls((x[0], x[-1]), (y[0], y[-1]), width, height)

    @property
    def left(self) -> int:
        return round(LEFT * self.width)

    def across(self, x: float) -> float:
        return round(self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * (self.width - self.left - RIGHT), 1)

    def up(self, y: float) -> float:
        share = (y - self.y[0]) / (self.y[1] - self.y[0])
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)

    def grid(self, x_title: str, y_title: str, write_x: Write, write_y: Write) -> str:
        """Lines and labels at round numbers."""
        end, bottom = self.width - RIGHT, self.height - BOTTOM
        marks = [text(0, 14, y_title, kind="title"), text(end, self.height - 4, x_title, "end", "title")]
        for y in ticks(self.y):
            marks.append(f'<line class="grid" x1="{self.left}" x2="{end}" y1="{self.up(y)}" y2="{self.up(y)}"/>')
            marks.append(text(self.left - 8, self.up(y) + 4, write_y(y), "end"))
        inside = [x for x in ticks(self.x) if self.x[0] <= x <= self.x[1]]
        marks += [text(self.across(x), bottom + 20, write_x(x), "middle") for x in inside]
        return "".join(marks)

    @cached_property
    def data(self) -> str:
        """As attributes, for the script that finds the dot under the pointer."""
        ends = {"x0": self.across(self.x[0]), "x1": self.across(self.x[1])}
        ends |= {"y0": self.up(self.y[0]), "y1": self.up(self.y[1])}
        ends |= {"left": self.x[0], "right": self.x[1], "bottom": self.y[0], "top": self.y[1]}
        return "".join(f' data-{name}="{value:.10g}"' for name, value in ends.items())


def svg(label: str, width: int, height: int, content: str, role: str = "img", attributes: str = "") -> str:
    """Role `img` is read out as its label alone; `group` when something in it can be pointed at."""
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="{role}" '
        f'aria-label="{escape(label)}"{attributes}>{content}</svg>'
    )


def standalone(plot: Plot) -> str:
    """A file of its own for papers and slides: light, and without variables, which only browsers know."""
    head, _, content = plot.svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{_plain(read("plots.css"))}</style>{content}\n'


def read(name: str) -> str:
    """A file of this package."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _plain(css: str) -> str:
    """The light half of plots.css with its variables replaced; a rule in the colour of its group once a group."""
    light, _, rest = css.partition("@media")
    values = dict(re.findall(r"--(\w+): ([^;]+);", light))
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", rest[rest.index("svg {") :])
    lines = []
    for selector, body in rules:
        groups = range(GROUPS) if "var(--c)" in body else [None]
        for group in groups:
            prefix, named = ("", body) if group is None else (f".g{group}", body.replace("--c", f"--g{group}"))
            plain = re.sub(r"var\(--(\w+)\)", lambda found: values[found[1]], named)
            if "--c" not in plain:
                lines.append(f"{prefix}{selector.strip()} {{{plain}}}")
    return "\n".join(lines)


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def guides(marks: Sequence[tuple[float, str]], top: float, bottom: float, label: float) -> str:
    """Vertical lines from top to bottom, their labels at this height."""
    return "".join(
        f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>{text(x, label, name, "middle")}'
        for x, name in marks
    )


def colour(group: int) -> str:
    return f"g{group % GROUPS}"


def steps(axes: Axes, points: Sequence[tuple[float, float]], group: int) -> str:
    """A line that keeps its value until the next point."""
    drawn = "".join(f"H{axes.across(x)}V{axes.up(y)}" for x, y in points[1:])
    return f'<path class="curve {colour(group)}" d="M{axes.across(points[0][0])} {axes.up(points[0][1])}{drawn}"/>'


def dots(axes: Axes, points: Sequence[tuple[float, float]], group: int) -> str:
    """All in one path of lines without length, whose round ends are dots: thousands of elements would be slow."""
    drawn = "".join(f"M{axes.across(x)} {axes.up(y)}h0" for x, y in points)
    return f'<path class="dots {colour(group)}" d="{drawn}"/>' if points else ""


def ticks(values: Sequence[float]) -> list[float]:
    """Three to eight round numbers that enclose the values; around a single value, a per cent of it on either side."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-300):
        low, high = low - (abs(low) / 100 or 1), high + (abs(high) / 100 or 1)
    size = 10 ** math.floor(math.log10((high - low) / 4))
    step = size * next(factor for factor in (1, 2, 5, 10) if (high - low) / 4 <= factor * size * 1.0001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def round_count(value: float) -> str:
    """A round number, short: `2,000`, `50 K`, `1.5 M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e4)):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'K' else size):.4g} {unit}"
    return f"{value:,.4g}" if value < 1 else f"{value:,.0f}"
