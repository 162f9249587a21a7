"""The report of compare: one file without network, light and dark, readable on a phone.

Whatever comes from a spec, a journal or a folder's name is escaped where it enters the page.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from .errors import RunError
from .run_directory import write_text
from .run_record import RunRecord
from .statistics import count
from .trial import Line
from .verdict import cells, sentence

START = '<!doctype html>\n<html lang="en"><head><meta name="generator" content="nanonas">'
WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 12, 44  # margins of a plot, for its ticks and titles
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")  # Okabe & Ito: told apart by everyone

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #d0d0d0; --soft: #f4f4f4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; --line: #484848; --soft: #222 } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.verdict { border-left: .3rem solid #0072b2; padding: .5rem 1rem; background: var(--soft); overflow-wrap: anywhere }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
pre { overflow-x: auto; padding: .7rem; background: var(--soft) } li { overflow-wrap: anywhere }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--ink); font: 13px system-ui, sans-serif }
.grid { stroke: var(--line) } .curve { fill: none; stroke-width: 2 } .dot { fill-opacity: .55 }
.key { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 0 } .legend span { margin-right: 1.2rem }
"""

HEADER = f"""{START}
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>nanoNAS: comparison</title><style>{STYLE}</style></head><body><main>
<h1>Comparison of runs</h1>
"""


@dataclass(frozen=True)
class Dot:
    """A trial in a plot; x is its number, from 1, or its params, y its validation accuracy."""

    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Axes:
    """Data to pixels."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, x: float) -> str:
        return f"{LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT):.1f}"

    def up(self, y: float) -> str:
        return f"{HEIGHT - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM):.1f}"


def write_report(path: Path, document: Mapping[str, Any], runs: Sequence[RunRecord]) -> None:
    """Writes the report of a comparison; an older report is replaced, any other file is not.

    Raises:
        RunError: the file is no report, or has no folder.
    """
    page = report(document, {str(run.path): run.lines for run in runs if run.spec.scores_networks})
    if path.exists() and not path.read_bytes().startswith(START.encode()):
        raise RunError(f"{path} exists and is no report of nanonas; choose another --html")
    if not path.parent.is_dir():
        raise RunError(f"{path.parent} is no folder; choose another --html")
    write_text(path, page)


def report(document: Mapping[str, Any], trials_by_run: Mapping[str, Sequence[Line]]) -> str:
    """The page. A run without trials is in the tables, and has no curve."""
    groups = document["groups"]
    lines = [(index, trials_by_run.get(run["run"], ())) for index, group in enumerate(groups) for run in group["runs"]]
    progress = [(index, _progress(trials)) for index, trials in lines]
    sizes = [(index, _sizes(trials)) for index, trials in lines]
    legend = "".join(
        f'<span><i class="key" style="background:{_colour(index)}"></i>{escape(group["name"])}</span>'
        for index, group in enumerate(groups)
    )
    tests = [sentence(test, len(document["tests"])) for test in document["tests"]]
    commands = [command for group in groups for run in group["runs"] for command in run["commands"]]
    parts = [
        HEADER,
        f'<p class="verdict">{escape(document["verdict"])}</p>',
        _items("Warnings", document["warnings"]),
        _table(groups),
        _items("Tests", tests),
        _plot("Best validation accuracy so far", "trials", legend, progress, _curve),
        _plot("Accuracy against parameters", "params", legend, sizes, _dots),
        f"<h2>Commands that repeat the runs</h2><pre>{escape(chr(10).join(commands))}</pre>",
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _items(title: str, items: Sequence[str]) -> str:
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""


def _table(groups: Sequence[Mapping[str, Any]]) -> str:
    rows = [cells(group) for group in groups]
    head = "".join(f'<th scope="col">{title}</th>' for title in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row.values())}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        "<p>Accuracies: mean ± standard deviation over n seeds; all else: means; latency: median at batch 1.</p>"
    )


def _scored(trials: Sequence[Line]) -> list[Line]:
    """Those of the highest fidelity: scores at different costs do not compare."""
    scored = [line for line in trials if "val_accuracy" in line.metrics]
    highest = max((math.prod(line.fidelity.values()) for line in scored), default=0)
    return [line for line in scored if math.prod(line.fidelity.values()) == highest]


def _progress(trials: Sequence[Line]) -> list[Dot]:
    """Where the best improves, and the end."""
    dots: list[Dot] = []
    for line in _scored(trials):
        if not dots or line.metrics["val_accuracy"] > dots[-1].y:
            dots.append(Dot(line.trial + 1, line.metrics["val_accuracy"], line.genotype))
    return [*dots, Dot(len(trials), dots[-1].y, dots[-1].label)] if dots else []


def _sizes(trials: Sequence[Line]) -> list[Dot]:
    sized = [(line.metrics.get("params"), line) for line in _scored(trials)]
    return [Dot(params, line.metrics["val_accuracy"], line.genotype) for params, line in sized if params is not None]


def _curve(axes: Axes, dots: Sequence[Dot], colour: str) -> str:
    steps = "".join(f"H{axes.across(dot.x)}V{axes.up(dot.y)}" for dot in dots[1:])
    return f'<path class="curve" stroke="{colour}" d="M{axes.across(dots[0].x)} {axes.up(dots[0].y)}{steps}"/>'


def _dots(axes: Axes, dots: Sequence[Dot], colour: str) -> str:
    return "".join(
        f'<circle class="dot" fill="{colour}" cx="{axes.across(dot.x)}" cy="{axes.up(dot.y)}" r="4">'
        f"<title>{escape(dot.label)}: {dot.y * 100:.2f} %, {count(dot.x)} params</title></circle>"
        for dot in dots
    )


def _plot(
    title: str,
    unit: str,
    legend: str,
    runs: Sequence[tuple[int, Sequence[Dot]]],
    draw: Callable[[Axes, Sequence[Dot], str], str],
) -> str:
    """A heading, a legend and an SVG of every run's dots; nothing when there are none. `runs` are (group, dots)."""
    every = [dot for _, dots in runs for dot in dots]
    if not every:
        return ""
    across, up = _ticks([dot.x for dot in every]), _ticks([dot.y for dot in every])
    axes = Axes((across[0], across[-1]), (up[0], up[-1]))
    middle, bottom = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM
    marks = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{axes.up(y)}" y2="{axes.up(y)}"/>'
        f'<text x="{LEFT - 8}" y="{axes.up(y)}" dy=".35em" text-anchor="end">{y * 100:.4g} %</text>'
        for y in up
    ]
    marks += [f'<text x="{axes.across(x)}" y="{bottom + 18}" text-anchor="middle">{count(x)}</text>' for x in across]
    marks += [f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">{unit}</text>']
    drawn = [draw(axes, dots, _colour(group)) for group, dots in runs if dots]
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}, by {unit}">'
    return f'<h2>{title}</h2><p class="legend">{legend}</p>{svg}{"".join([*marks, *drawn])}</svg>'


def _ticks(values: Sequence[float]) -> list[float]:
    """Three to eight round numbers that enclose the values."""
    low, high = min(values), max(values)
    span = high - low or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / 4))
    step = size * next(factor for factor in (1, 2, 5, 10) if span / 4 <= factor * size * 1.0001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _colour(group: int) -> str:
    return COLOURS[group % len(COLOURS)]
