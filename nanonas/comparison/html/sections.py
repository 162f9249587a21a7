"""The sections of the report, from top to bottom."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from ...core.genotype import Genotype
from ...core.numbers import duration
from ...networks.diagram import Drawn
from ...pages.parts import Section, copy_button, copyable, details, figure, note, table, wide
from ...pages.svg import Plot
from ...runs.record import RunRecord
from ..curves import AXES
from ..verdict import cells
from .account import conformance, environment, repeat, statistics
from .compared import Compared
from .network import network
from .plots import accuracies, choices, correlation, fidelities, progress, sizes
from .trials import trials


def title(document: Mapping[str, Any]) -> str:
    names = [group["name"] for group in document["groups"]]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def headline(document: Mapping[str, Any]) -> str:
    """What was found, in a sentence, and the figures behind it."""
    groups = document["groups"]
    runs = sum(len(group["runs"]) for group in groups)
    told = f"{runs} run{'s' * (runs > 1)}" + (f" in {len(groups)} groups" if len(groups) > 1 else "")
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in document["warnings"])
    said = runs > 1 or not groups[0]["test_accuracy"]  # the figures of a single run say it themselves
    parts = [
        f'<p class="over">nanoNAS, {told}</p><h1>{escape(title(document))}</h1>',
        f'<p class="verdict">{escape(document["verdict"])}</p>' if said else "",
        f'<ul class="warnings">{warnings}</ul>' if warnings else "",
        _figures(groups[0]) if len(groups) == 1 else _table(groups),
    ]
    return f"<header>{''.join(parts)}</header>"


def _figures(group: Mapping[str, Any]) -> str:
    """The figures of a group, each with its spread below it: `93.42 ± 0.11 % (n=3)` in two lines."""
    figures = []
    for name, cell in list(cells(group).items())[1:]:
        value, _, size = cell.partition(" (")
        value, _, spread = value.partition(" ± ")
        value, more = (f"{value} %", f"± {spread}, {size[:-1]}") if spread else (value, size[:-1])
        if value != "–":
            figures.append(f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>")
    return f'<dl class="figures">{"".join(figures)}</dl>'


def _table(groups: Sequence[Mapping[str, Any]]) -> str:
    rows = [cells(group) for group in groups]
    heads = list(rows[0])
    return table(heads, [list(row.values()) for row in rows], "groups", range(1, len(heads))) + note(
        "Accuracies: mean ± standard deviation over n seeds; all else: means; latency: median of one image in PyTorch "
        "on one thread."
    )


def _plotted(plot: Plot | None) -> Section:
    return Section([f"<h2>{escape(plot.title)}</h2>", figure(plot)], [plot]) if plot else Section()


def _results(compared: Compared) -> Section:
    return _plotted(accuracies(compared))


def _choices(compared: Compared) -> Section:
    return _plotted(choices(compared))


def _winners(compared: Compared) -> Section:
    """The best network of each group: that of the run whose winner has the best score in its search."""
    content: list[str] = []
    plots: list[Plot] = []
    for number, (name, records) in enumerate(compared.groups.items()):
        entries = compared.document["groups"][number]["runs"]
        record, entry = max(zip(records, entries, strict=True), key=lambda pair: _search_score(pair[0]))
        if entry["genotype"] is not None:
            told_by = "train.json" if record.train else "search.json"
            genotype = record.genotype(record.trained_space, entry["genotype"], told_by)
            plot = _network(record, genotype, number, name)
            plots += [plot] if plot else []
            told = _winner(record, genotype, plot, f"winner-{number}")
            content.append(told if len(compared.groups) == 1 else details(name, told, is_open=not content))
    return Section(["<h2>Winner</h2>", *content] if content else [], plots)


def _search_score(record: RunRecord) -> float:
    best = record.search.best if record.search else None
    score = best.metrics.get(record.objective) if best else None
    if score is None:
        return float("-inf")
    return score if record.spec.objectives[record.objective] == "maximize" else -score


def _network(record: RunRecord, genotype: Genotype, number: int, name: str) -> Plot | None:
    """None before it is known what the images are, and where the space cannot say what its networks look like."""
    space = record.trained_space
    if record.task is None or not isinstance(space, Drawn):
        return None
    return network(space.diagram(genotype, record.task), f"network-{number + 1}", f"Network of {name}")


def _winner(record: RunRecord, genotype: Genotype, plot: Plot | None, name: str) -> str:
    chosen = record.train is None or record.trained_the_chosen
    parts = [note(f"Of {record.path}, {'chosen by its score in the search' if chosen else 'chosen by hand'}.")]
    parts.append(copyable(str(genotype), name, "Copy genotype"))
    if plot:
        drawing = wide(plot.svg, plot.title)
        parts.append(f"<figure>{drawing}<figcaption>{escape(plot.note)}</figcaption></figure>")
    else:
        parts.append(f"<pre>{escape(record.trained_space.describe(genotype))}</pre>")
    if record.evaluated and record.evaluated.per_class:
        rows = [(label, f"{100 * accuracy:.2f} %") for label, accuracy in record.evaluated.per_class.items()]
        summary = "Test accuracy of each class"
        parts.append(details(summary, table(("class", "test accuracy"), rows, summary, [1])))
    return "".join(parts)


def _search(compared: Compared) -> Section:
    plots = [plot for axis in AXES if (plot := progress(compared, axis))]
    figures = "".join(figure(plot, heading=True) for plot in plots)
    return (
        Section(["<h2>Search</h2>", f'<div class="pair">{figures}</div>', _areas(compared)], plots)
        if plots
        else Section()
    )


def _areas(compared: Compared) -> str:
    """The areas under the curves; nothing when the runs share no range."""
    ranges = {axis: compared.document["curves"][axis] for axis in AXES}
    axes = [axis for axis in AXES if ranges[axis]]
    if not axes:
        return ""
    told = {axis: [f"{end:,.0f}" if axis == "trials" else duration(end) for end in ranges[axis]] for axis in axes}
    heads = ["area under the curve", *(f"{'trials ' * (axis == 'trials')}{' to '.join(told[axis])}" for axis in axes)]
    rows = []
    for group in compared.document["groups"]:
        areas = [group[f"area_{axis}"] for axis in axes]
        rows.append([group["name"], *(compared.score(area["mean"]) if area else "–" for area in areas)])
    return table(heads, rows, "areas under the curves", range(1, len(heads))) + note(
        f"The mean of the best {compared.label} so far, over the range in which every run has one: how good a search "
        "is whenever it is stopped."
    )


def _sizes(compared: Compared) -> Section:
    plot = sizes(compared)
    if plot is None:
        return Section()
    genotype = next((run.entry["genotype"] for run in compared.drawn if run.entry["genotype"]), "")
    chosen = (
        '<div class="chosen" aria-live="polite"><p id="chosen-line">Winner</p>'
        f'<code id="chosen-genotype">{escape(genotype)}</code>{copy_button("chosen-genotype", "Copy genotype")}</div>'
        '<p class="note script" hidden>Point at a dot to see its genotype; click, tap or focus it to keep it.</p>'
    )
    return Section([*_plotted(plot).content, chosen], [plot])


def _fidelities(compared: Compared) -> Section:
    plot = fidelities(compared)
    rows = [
        (run.entry["run"], name, correlation(tau), str(found.n))
        for run in compared.runs
        if run.record.search and (found := run.record.search.proxies)
        for name, tau in found.kendall_tau.items()
    ]
    content = [*_plotted(plot).content]
    if rows:
        content.append("<h2>Do scores of untrained networks rank like measured ones?</h2>")
        content.append(table(("run", "score", "Kendall's τ", "n"), rows, "scores of untrained networks", (2, 3)))
    return Section(content, [plot] if plot else [])


SECTIONS: Sequence[Callable[[Compared], Section]] = (
    _results,
    _winners,
    _search,
    _sizes,
    _choices,
    _fidelities,
    trials,
    statistics,
    conformance,
    environment,
    repeat,
)
