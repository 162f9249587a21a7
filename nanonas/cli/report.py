"""Tables, drawings and live views for the terminal: 80 columns, no colour but for meaning."""

import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..core.classification import flatters
from ..core.errors import NanonasError
from ..core.numbers import count, duration, points
from ..core.pareto import scores
from ..core.problem import AT_32
from ..core.trial import Trial, at_highest_fidelity
from ..devices.timing import when_busy
from ..engine.results import front_of
from ..spaces import SPACES
from ..spec.load import load_spec, preset_names, preset_path
from ..spec.schema import Spec
from ..training.recipe import Progress
from .output import Output, printable

PLAIN_SECONDS = 10  # between two lines where nothing can be redrawn
BEST_SHOWN = 5
DOUBTS_SHOWN = 10
FRONT_SHOWN = 10  # while it grows; at the end all of it
WIDEST = 10_000  # columns


def quoted(value: object) -> str:
    return shlex.quote(str(value))


def percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def metric(name: str, value: float) -> str:
    """An accuracy is a fraction, but from a table it comes in the table's own unit."""
    if name.endswith("accuracy"):
        return percent(value) if value <= 1 else f"{value:.2f}"
    return count(value) if value >= 1000 else f"{value:.4g}"


def facts(rows: Mapping[str, str]) -> Table:
    """Names and values, two columns."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


class View:
    """Something that is watched: redrawn on a terminal, plain lines elsewhere."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._live: Live | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self.output.is_live:
            self._live = Live(get_renderable=self.render, console=self.output.talk, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.transient = isinstance(error, NanonasError)  # a line of its own says what was wrong
            self._live.stop()

    def render(self) -> RenderableType:
        return ""

    def say(self, text: str) -> None:
        if self._live:
            self._live.console.print(printable(text), markup=False, soft_wrap=True)
        else:
            self.output.say(text)

    def plain(self, text: str, always: bool = False) -> None:
        """A line now and then, when nothing is redrawn."""
        if not self._live and (always or time.monotonic() - self._last_line > PLAIN_SECONDS):
            self._last_line = time.monotonic()
            self.output.say(text)


def trials_table(objectives: Iterable[str], rows: Iterable[tuple[int, Mapping[str, float], str]], title: str) -> Table:
    """A trial a row: what is wanted of it, its size, and its genotype, cut off where the line ends."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=True)
    columns = list(dict.fromkeys([*objectives, "params"]))
    for name in ("trial", *columns):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("genotype", no_wrap=True, ratio=1)
    for trial, metrics, genotype in rows:
        table.add_row(str(trial), *(metric(name, metrics.get(name, 0)) for name in columns), Text(genotype))
    return table


def in_full(table: Table) -> Text:
    """A table as lines to copy from: nothing is cut off, however wide it gets."""
    console = Console(width=WIDEST, height=1, color_system=None)  # without a height rich trusts a dumb terminal's 80
    with console.capture() as capture:
        console.print(table)
    return Text("\n".join(line.rstrip() for line in capture.get().splitlines()))


class SearchView(View):
    """The best five, or with several objectives the front; evaluated, cached, failed, best so far, time left."""

    def __init__(self, spec: Spec, run: Path, output: Output) -> None:
        super().__init__(output)
        self.spec, self.run = spec, run
        self.trials = self.failed = self.cached = self.untrained = 0
        self.leaders: list[Trial] = []
        self.begin = time.monotonic()
        self.elapsed = self.before = 0.0  # seconds of search until the last trial; of them, in earlier processes
        self.metric = next(iter(spec.objectives))

    def update(self, trial: Trial) -> None:
        self.trials += 1
        self.failed += not trial.ok
        self.cached += trial.repeats
        self.untrained += trial.untrained
        self.elapsed = trial.elapsed
        self._lead(trial)
        if trial.replayed:
            self.before = trial.elapsed
        else:
            first = self.metric if self.metric in trial.metrics else next(iter(trial.metrics), "")
            shown = f"{first} {metric(first, trial.metrics[first])}" if trial.ok else f"failed: {trial.reason}"
            improved = "  (best so far)" if self.leaders and self.leaders[0] is trial else ""
            self.plain(f"trial {trial.trial}: {shown}{improved}; {self._status()}", not trial.ok)

    def _lead(self, trial: Trial) -> None:
        objectives = self.spec.objectives
        if len(objectives) > 1:
            self.leaders = front_of([*self.leaders, trial], self.spec)
        else:
            self.leaders = at_highest_fidelity([*self.leaders, trial], objectives)
            self.leaders.sort(key=lambda one: scores(one.metrics, objectives), reverse=True)
            del self.leaders[BEST_SHOWN:]

    def _status(self) -> str:
        budget = f" of {self.spec.budget.trials}" if self.spec.budget.trials else ""
        best = f"best {metric(self.metric, self.leaders[0].metrics[self.metric])}" if self.leaders else "no result yet"
        best += f", front of {len(self.leaders)}" if len(self.spec.objectives) > 1 else ""
        left = self._seconds_left()
        until = f"{duration(left)} left" if left is not None else "starting"
        counts = f"{self.trials}{budget} evaluated{_untrained(self.untrained)}"
        return f"{counts}, {self.cached} cached, {self.failed} failed, {best}, {until}"

    def _seconds_left(self) -> float | None:
        elapsed = time.monotonic() - self.begin + self.before
        limits = []
        if self.spec.budget.minutes:
            limits.append(self.spec.budget.minutes * 60 - elapsed)
        if self.spec.budget.trials and self.trials:
            limits.append((self.spec.budget.trials - self.trials) * self.elapsed / self.trials)
        return max(0.0, min(limits)) if limits else None

    def render(self) -> RenderableType:
        title, shown = f"{self.spec.name}, seed {self.spec.seed}", self.leaders[:FRONT_SHOWN]
        if len(self.spec.objectives) > 1:
            rest = f", the first {len(shown)}" if len(shown) < len(self.leaders) else ""
            title += f": a front of {len(self.leaders)}{rest}"
        rows = [(trial.trial, trial.metrics, str(trial.genotype)) for trial in shown]
        table = trials_table(self.spec.objectives, rows, title)
        return Group(table, Text(self._status()), Text(f"into {self.run}; Ctrl-C stops, the same command goes on"))


class TrainView(View):
    """Epochs, loss, share done."""

    def __init__(self, output: Output, what: str = "training") -> None:
        super().__init__(output)
        self.what = what
        self.progress: Progress | None = None
        self.begin = time.monotonic()
        self.first = 0.0

    def update(self, progress: Progress) -> None:
        if self.progress is None:
            self.first, self.begin = progress.fraction, time.monotonic()
        record = progress.record or (self.progress.record if self.progress else None)
        self.progress = Progress(progress.fraction, progress.epoch, record)
        self.plain(self._status())

    def _status(self) -> str:
        if self.progress is None:
            return f"{self.what}: starting"
        done = self.progress.fraction - self.first
        left = (time.monotonic() - self.begin) * (1 - self.progress.fraction) / done if done > 0 else None
        until = f", {duration(left)} left" if left is not None else ""
        loss = f", loss {self.progress.record['train_loss']:.3f}" if self.progress.record else ""
        return f"{self.what}: {self.progress.fraction:.0%}, epoch {self.progress.epoch} done{loss}{until}"

    def render(self) -> RenderableType:
        return Text(self._status())


def search_table(document: dict[str, Any]) -> RenderableType:
    """The end of a search: winner, drawing, what random sampling reached, what to type next."""
    best, drawn, run = document["best"], document["random"], document["run"]
    spec = Spec.model_validate(document["spec"])
    scored = _untrained(document.get("proxies", {}).get("scored", 0))
    counts = f"{document['evaluated']} evaluated{scored}, {document['cached']} cached, {document['failed']} failed"
    rows = {"search": f"{counts}, {duration(document['seconds'])}"}
    if best is None:
        scored = f"no trial has {next(iter(spec.objectives))} yet: the budget ended in the warm start"
        failed = f"no trial succeeded; {run}/trials.jsonl holds the reasons"
        return Group(facts(rows), Text(scored if document["evaluated"] else failed))
    space = SPACES[spec.space.name](spec.space)
    rows["winner"] = f"trial {best['trial']}: " + ", ".join(
        f"{name} {metric(name, value)}"
        for name, value in best["metrics"].items()
        if name not in ("train_seconds", *AT_32) and "=" not in name
    )
    if "report" in best:
        rows["report"] = ", ".join(f"{name} {metric(name, value)}" for name, value in best["report"].items())
    if "proxies" in document:
        rows["proxies"] = _agreement(document["proxies"])
    name = next(iter(spec.objectives))
    if drawn["n"]:
        scope = "equal budget" if drawn["equal_budget"] else "its own first random trials, no equal-budget arm"
        rows["random"] = (
            f"mean {metric(name, drawn['mean'])}, best {metric(name, drawn['best'])} (n={drawn['n']}; {scope})"
        )
    chosen: list[RenderableType] = [Text(f"next: nanonas train {quoted(run)}")]
    if len(spec.objectives) > 1:
        reports = [entry.get("report", {}) for entry in document["front"]]
        members = [
            (entry["trial"], {**report, **entry["metrics"]}, entry["genotype"])
            for entry, report in zip(document["front"], reports, strict=True)
        ]
        title = f"front: {len(members)} trials, none of which beats another in everything"
        other = quoted(members[-1][2])
        chosen = ["", in_full(trials_table([*spec.objectives, *reports[0]], members, title)), "", *chosen]
        if len(members) > 1:
            chosen.append(Text(f"or another of the front: nanonas train {quoted(run)} --genotype {other}"))
    return Group(
        facts(rows), "", Text(space.describe(space.parse(best["genotype"]))), "", Text(best["genotype"]), *chosen
    )


def _untrained(trials: int) -> str:
    return f" ({trials} of them untrained)" if trials else ""


def _agreement(proxies: Mapping[str, Any]) -> str:
    used, tau = proxies["used"], proxies["kendall_tau"]
    known = {name: "unknown" if value is None else value for name, value in tau.items()}
    shown = ", ".join(f"{name} {value}" for name, value in known.items() if name in (used, "params"))
    return f"Kendall τ with the measured scores: {shown} (n={proxies['n']})"


def train_table(document: dict[str, Any]) -> RenderableType:
    rows = {
        **_measures(document),
        "params": f"{document['params']:,}",
        "MACs": count(document["macs"]),
        "training": f"{document['epochs']} epochs, {duration(document['train_seconds'])} on {document['device']}",
    }
    run = document["run"]
    parts = ["", *_by_class(document), ""] if "classes" in document else []
    return Group(
        facts(rows), *parts, Text(f"model: {run}/model.safetensors\nnext: nanonas export {quoted(run)} --format onnx")
    )


def eval_table(document: dict[str, Any]) -> RenderableType:
    """Accuracy, calibration, size and latency, then each class, and what refusing would bring."""
    latency = {
        name.replace("_", " "): f"{times['median']:.2f} ms median, {times['p95']:.2f} ms p95"
        + (" (the machine was busy)" if when_busy({name: times}) else "")
        for name, times in document["latency_ms"].items()
    }
    rows = {
        **_measures(document),
        "calibration error": percent(document["ece"]),
        "params": f"{document['params']:,}",
        "MACs": count(document["macs"]),
        **{f"latency, {name}": text for name, text in latency.items()},
    }
    parts = ["", *_by_class(document), *_doubts(document.get("second_look"))]
    return Group(facts(rows), *parts)


def _measures(document: Mapping[str, Any]) -> dict[str, str]:
    """Of the whole; where the classes differ so much that accuracy flatters, not accuracy first."""
    if "classes" not in document:  # of an earlier version
        return {"test accuracy": percent(document["test_accuracy"])}
    counts = [entry["n"] for entry in document["classes"]]
    low, high = document["interval"]
    rows = {
        "test accuracy": f"{percent(document['test_accuracy'])} ({points(low)} to {points(high)}, n={sum(counts):,})",
        "balanced accuracy": percent(document["balanced_accuracy"]),
        "macro F1": percent(document["macro_f1"]),
    }
    if flatters(counts):
        least, most = min(filter(None, counts)), max(counts)
        rows["balanced accuracy"] += f" (accuracy flatters: classes have {least:,} to {most:,} images)"
        return {name: rows[name] for name in ("balanced accuracy", "macro F1", "test accuracy")}
    return rows


def _by_class(document: Mapping[str, Any]) -> list[RenderableType]:
    """Within 80 columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("class", "n", "recall", "95 % interval", "precision", "95 % interval", "F1"):
        table.add_column(name, justify="left" if name == "class" else "right", overflow="fold", no_wrap=name != "class")
    for entry in document["classes"]:
        shares = [_share(entry[name]) for name in ("recall", "precision", "f1")]
        spans = [_span(entry[f"{name}_interval"]) for name in ("recall", "precision")]
        table.add_row(Text(entry["name"]), f"{entry['n']:,}", shares[0], spans[0], shares[1], spans[1], shares[2])
    refused = Table(box=None, pad_edge=False)
    for name in ("below", "refused", "right of the rest", "95 % interval"):
        refused.add_column(name, justify="right")
    for entry in document["refusals"]:
        shares = [_share(entry["refused"]), _share(entry["accuracy"]), _span(entry["interval"])]
        refused.add_row(f"{entry['min_probability']:g}", *shares)
    return [table, "", Text("if answers below a probability were refused, measured on the test images:"), refused]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _span(found: Sequence[float] | None) -> str:
    return "–" if found is None else f"{100 * found[0]:.1f}–{100 * found[1]:.1f}"


def _doubts(looked: Mapping[str, Any] | None) -> list[RenderableType]:
    """The first labels that are worth a second look; all of them are in the JSON and on the page."""
    if looked is None:
        return []
    told = (
        f"labels worth a second look: {looked['contradicted']:,} of {looked['images']:,}, contradicted by networks "
        f"that never saw the image (and meet {_share(looked['accuracy'])} of all labels)"
    )
    table = Table("image", "label", "rather", box=None, pad_edge=False)
    for entry in looked["labels"][:DOUBTS_SHOWN]:
        name = entry["name"] or f"image {entry['image']}"
        table.add_row(Text(name, overflow="fold"), Text(entry["class"]), Text(entry["top"][0]["class"]))
    return ["", Text(told), *([table] if looked["labels"] else [])]


def export_table(document: dict[str, Any]) -> RenderableType:
    """A file a row: its size, how good and how fast it is, and how far from the network."""
    table = Table(box=None, pad_edge=False)
    for name in ("file", "size", "accuracy", "batch 1", "largest diff", "agrees"):
        table.add_column(name, justify="left" if name == "file" else "right")
    for entry in document["files"]:
        table.add_row(
            Text(entry["path"], overflow="fold"),
            f"{count(entry['bytes'])}B",
            percent(entry["test_accuracy"]),
            f"{entry['latency_ms']['batch_1']['median']:.2f} ms",
            f"{entry['max_abs_diff']:.1e}",
            f"{100 * entry['top1_agreement']:.4g} %",
        )
    return Group(Text(f"in {document['run']}"), table, Text(f"model card: {document['run']}/exports/model.md"))


def predict_table(document: dict[str, Any]) -> RenderableType:
    """An image a row; where the rows lie in a file, how many of each class."""
    images = document["images"]
    if "csv" in document:
        counts = Counter("unreadable" if image["error"] else image["class"] for image in images)
        counted = Table("class", "images", box=None, pad_edge=False)
        for name, number in counts.most_common():
            counted.add_row(Text(name), f"{number:,}")
        return Group(counted, Text(f"rows: {document['csv']}"))
    table = Table("path", "class", "probability", "next", box=None, pad_edge=False)
    wrong = []
    for image in images:
        path = Text(image["path"], overflow="fold")
        if image["error"]:
            table.add_row(path, "–", "–", "unreadable")
            wrong.append(Text(image["error"]))
            continue
        best, others = image["most_probable"], image["top"][1:]
        answer = image["class"] if image["class"] == best else f"{image['class']} ({best}?)"
        following = ", ".join(f"{other['class']} {percent(other['probability'])}" for other in others)
        table.add_row(path, Text(answer), percent(image["probability"]), Text(following))
    return Group(table, *wrong)


def plan_table(document: dict[str, Any]) -> RenderableType:
    share, workers = f"{100 * document['feasible_share']:.3g} %", document["workers"]
    rows = {
        "space": f"{document['space_size']:.3g} genotypes, {share} of random ones meet the constraints",
        "one evaluation": duration(document["seconds_per_trial"]),
        "whole search": f"{duration(document['seconds'])}, about {document['trials']} trials, {workers} workers",
        "memory": f"{count(document['memory_bytes'])}B",
        "disk": f"{count(document['bytes'])}B",
    }
    return Group(Text(Spec.model_validate(document["spec"]).text()), facts(rows))


def presets_table() -> RenderableType:
    table = Table("preset", "data", "strategy", "what it is", box=None, pad_edge=False)
    for name in preset_names():
        spec = load_spec(preset_path(name))
        first = preset_path(name).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        table.add_row(name, spec.data.name, spec.strategy.name, first)
    return table
