"""The plots of the report, each with its numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html import escape

from ...core.numbers import count
from ...core.pareto import Objectives, dominates, scores
from ...core.ranking import kendall
from ...core.trial import Line, cost
from ...pages.svg import RIGHT, Axes, Plot, colour, dots, guides, round_count, steps, svg, text, ticks
from ..curves import AXES, Axis
from .compared import Compared, Run

BEST_SHARE = 0.1
FEW = 30  # of the best, below which shares say little
ROW = 22  # pixels of a row of a plot that has rows


def progress(compared: Compared, axis: Axis) -> Plot | None:
    """The best so far of every run."""
    if not compared.drawn:
        return None
    column = AXES.index(axis)
    curves = [(run, run.entry["curve"]) for run in compared.drawn]
    end = max(point[column] for _, curve in curves for point in curve)
    unit, size = ("trials", 1) if axis == "trials" else _unit(end)
    lines = [(run.group, [(point[column] / size, point[2]) for point in curve]) for run, curve in curves]
    axes = replace(Axes.around([0.0], [y for _, points in lines for _, y in points]), x=(0.0, end / size or 1.0))
    title = f"Best so far, by {'trials' if axis == 'trials' else 'time'}"
    content = axes.grid(unit, compared.label, round_count, compared.score)
    content += "".join(steps(axes, points, group) for group, points in lines)
    return Plot(
        name=f"best-so-far-by-{axis}",
        title=title,
        note=f"A line for each of {len(lines)} runs." if len(lines) > 1 else "",
        svg=svg(title, axes.width, axes.height, content),
        columns=("run", axis, compared.metric),
        rows=[(run.entry["run"], point[column], point[2]) for run, curve in curves for point in curve],
        legend=compared.legend,
    )


def _unit(seconds: float) -> tuple[str, int]:
    if seconds < 120:
        return "seconds", 1
    return ("minutes", 60) if seconds < 7200 else ("hours", 3600)


def sized(compared: Compared) -> list[tuple[Run, Line]]:
    """The scored trials that know their parameters."""
    return [(run, line) for run, line in compared.scored if "params" in line.metrics]


def sizes(compared: Compared) -> Plot | None:
    """The score of every trial against its parameters. The front can be pointed at and focused, one by one."""
    trials, metric = sized(compared), compared.metric
    if not trials or metric == "params":
        return None
    values = [(line.metrics["params"], line.metrics[metric]) for _, line in trials]
    axes = Axes.around([x for x, _ in values], [y for _, y in values], 720, 400)
    best = _front(trials, {metric: "maximize" if compared.larger_is_better else "minimize", "params": "minimize"})
    places = [(axes.across(line.metrics["params"]), axes.up(line.metrics[metric])) for _, line in best]
    content = axes.grid("parameters", compared.label, round_count, compared.score)
    for group in range(len(compared.groups)):
        members = [value for (run, _), value in zip(trials, values, strict=True) if run.group == group]
        content += dots(axes, members, group)
    content += f'<path class="front" d="M{"L".join(f"{x} {y}" for x, y in places)}"/>'
    content += "".join(_mark(compared, run, line, x, y) for (run, line), (x, y) in zip(best, places, strict=True))
    title = f"{compared.label.capitalize()} against parameters"
    on_front = {(run.number, line.trial) for run, line in best}
    return Plot(
        name="score-against-parameters",
        title=title,
        note=f"{len(trials):,} trials; larger dots: the front, where nothing is both smaller and better.",
        svg=svg(title, axes.width, axes.height, content, "group", f' class="pointed"{axes.data}'),
        columns=("run", "trial", "params", metric, "front", "genotype"),
        rows=[
            (run.entry["run"], line.trial, x, y, int((run.number, line.trial) in on_front), line.genotype)
            for (run, line), (x, y) in zip(trials, values, strict=True)
        ],
        legend=compared.legend,
    )


def _mark(compared: Compared, run: Run, line: Line, x: float, y: float) -> str:
    """A dot that can be focused and read out."""
    told = f"{compared.score(line.metrics[compared.metric])}, {count(line.metrics['params'])} parameters"
    label = f"on the front: trial {line.trial}, {told}: {line.genotype}"
    return (
        f'<circle class="mark {colour(run.group)}" cx="{x}" cy="{y}" r="6" tabindex="0" role="button" '
        f'data-run="{run.number}" data-trial="{line.trial}" aria-label="{escape(label)}"/>'
    )


def _front(trials: Sequence[tuple[Run, Line]], objectives: Objectives) -> list[tuple[Run, Line]]:
    """Those that no other dominates in two objectives, by the second: one pass after sorting, for thousands."""
    best: list[tuple[Run, Line]] = []
    last: tuple[float, ...] | None = None
    for trial in sorted(trials, key=lambda trial: scores(trial[1].metrics, objectives), reverse=True):
        score = scores(trial[1].metrics, objectives)
        if last is None or not (score == last or dominates(last, score)):
            best.append(trial)
            last = score
    return best[::-1]


def choices(compared: Compared) -> Plot | None:
    """How often the best tenth of all trials takes each option, beside how often all of them do."""
    if not compared.scored:
        return None
    space = compared.drawn[0].record.space
    trials = [(run, line) for run, line in compared.scored if run.record.space.config == space.config]
    trials.sort(key=lambda trial: trial[1].metrics[compared.metric], reverse=compared.larger_is_better)
    best = max(1, round(BEST_SHARE * len(trials)))
    kinds = [_kind(choice.name) for choice in space.choices]
    in_all, in_best = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for place, (run, line) in enumerate(trials):
        genotype = run.record.genotype(space, line.genotype, f"trials.jsonl:{line.trial + 1}")
        options = list(zip(kinds, map(str, genotype.values), strict=True))
        in_all.update(options)
        in_best.update(options if place < best else ())
    named = dict.fromkeys(
        (kind, str(option))
        for kind in dict.fromkeys(kinds)
        for choice, its in zip(space.choices, kinds, strict=True)
        if its == kind
        for option in choice.options
    )
    often = Counter(kinds)  # choices of a kind in a genotype
    rows = [
        (kind, option, in_all[kind, option] / len(trials) / often[kind], in_best[kind, option] / best / often[kind])
        for kind, option in named
    ]
    title = "What the best tenth chooses"
    return Plot(
        name="choices-of-the-best",
        title=title,
        note=f"Share of each option in the best {best} of {len(trials):,} trials (filled) and in all of them (hollow)."
        + (" So few are a hint, no finding." if best < FEW else ""),
        svg=_shares(title, rows),
        columns=("choice", "option", "share in all trials", "share in the best tenth"),
        rows=rows,
    )


def _kind(choice: str) -> str:
    """What a choice decides, wherever it does: `stage2.edge0-1` is an edge."""
    return re.sub(r"[-\d]+$", "", choice.rpartition(".")[2])


def _shares(title: str, rows: Sequence[tuple[str, str, float, float]]) -> str:
    """A row an option: a hollow dot for all, a filled one for the best."""
    width, left = 560, 130
    marks = ticks([0.0, *(share for row in rows for share in row[2:])])
    height = 24 + ROW * (len(rows) + len({row[0] for row in rows}))

    def across(share: float) -> float:
        return round(left + share / marks[-1] * (width - left - RIGHT), 1)

    content = guides([(across(share), f"{100 * share:.3g} %") for share in marks], 22, height, 12)
    y, before = 22.0, ""
    for kind, option, share, best in rows:
        if kind != before:
            y, before = y + ROW, kind
            content += text(0, y, kind, kind="title")
        y += ROW
        content += text(left - 14, y, option, "end")
        content += f'<line class="whisker g0" x1="{across(share)}" x2="{across(best)}" y1="{y - 4}" y2="{y - 4}"/>'
        content += f'<circle class="hollow g0" cx="{across(share)}" cy="{y - 4}" r="4.5"/>'
        content += f'<circle class="mark g0" cx="{across(best)}" cy="{y - 4}" r="5.5"/>'
    return svg(title, width, height + 8, content)


def fidelities(compared: Compared) -> Plot | None:
    """How the scores at lower fidelities rank architectures, beside the highest fidelity; None where there is one."""
    metric = compared.metric
    pairs: dict[str, list[tuple[float, float]]] = {}
    for record in (run.record for run in compared.drawn):
        full = {line.genotype: line.metrics[metric] for line in record.scored}
        top = {line.trial for line in record.scored}
        lower = [line for line in record.lines if metric in line.metrics and line.trial not in top]
        for line in sorted(lower, key=cost):
            if line.genotype in full:
                pairs.setdefault(compared.fidelity(line), []).append((line.metrics[metric], full[line.genotype]))
    if not pairs:
        return None
    found = [pair for several in pairs.values() for pair in several]
    axes = Axes.around([low for low, _ in found], [high for _, high in found], 480, 360)
    write, label = compared.score, compared.label
    content = axes.grid("at the lower fidelity", f"{label} at the highest fidelity", write, write)
    content += "".join(dots(axes, several, group) for group, several in enumerate(pairs.values()))
    tau = {told: kendall(*zip(*several, strict=True)) for told, several in pairs.items()}
    title = "Does a cheap score rank like the full one?"
    return Plot(
        name="fidelities",
        title=title,
        note="Architectures that were scored at both. Kendall's rank correlation goes from −1 to 1.",
        svg=svg(title, axes.width, axes.height, content),
        columns=("fidelity", "score", "score at the highest fidelity", "kendall tau", "n"),
        rows=[(told, *pair, tau[told], len(several)) for told, several in pairs.items() for pair in several],
        legend=[
            (group, f"{told}: Kendall τ {correlation(tau[told])} (n={len(several)})")
            for group, (told, several) in enumerate(pairs.items())
        ],
    )


def correlation(tau: float | None) -> str:
    return "unknown" if tau is None else f"{tau:.2f}".replace("-", "−")


def accuracies(compared: Compared) -> Plot | None:
    """The test accuracy of every run, and each group's mean with its interval."""
    groups = [(number, group) for number, group in enumerate(compared.document["groups"]) if group["test_accuracy"]]
    rows = [
        (group["name"], run["run"], run["test_accuracy"])
        for _, group in groups
        for run in group["runs"]
        if run["test_accuracy"] is not None
    ]
    if len(rows) < 2:
        return None
    intervals = [(number, group["test_accuracy"]["interval"] or ()) for number, group in groups]
    ends = [min(max(end, 0.0), 1.0) for _, interval in intervals for end in interval]
    row, top = 46, 8
    width, height = 720, top + row * len(groups) + 26
    marks = ticks([*ends, *(value for *_, value in rows)])

    def across(value: float) -> float:
        share = (min(max(value, marks[0]), marks[-1]) - marks[0]) / (marks[-1] - marks[0])
        return round(24 + share * (width - 48), 1)

    content = guides([(across(mark), f"{100 * mark:.4g} %") for mark in marks], top, height - 24, height - 6)
    for place, (number, group) in enumerate(groups):
        y, (_, interval) = top + row * place + 34, intervals[place]
        content += text(0, y - 18, group["name"], kind="name")
        if interval:
            low, high = map(across, interval)
            content += f'<line class="whisker {colour(number)}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        mean = across(group["test_accuracy"]["mean"])
        content += f'<circle class="mark {colour(number)}" cx="{mean}" cy="{y}" r="7"/>'
        for name, _, value in rows:
            if name == group["name"]:
                content += f'<circle class="hollow {colour(number)}" cx="{across(value)}" cy="{y}" r="3.5"/>'
    title = "Test accuracy of every run"
    return Plot(
        name="test-accuracy",
        title=title,
        note="Hollow: runs; filled: their mean, with its 95 % interval by Student's t.",
        svg=svg(title, width, height, content),
        columns=("group", "run", "test_accuracy"),
        rows=rows,
    )
