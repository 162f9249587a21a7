"""Runs side by side: groups of seeds, and a winner only when a test supports it.

Runs form a group when their specs differ in nothing but name, seed, device and executor (its lookahead counts: it
changes the trials). Settings given to `nanonas train` count too. Data are the same when their fingerprints are,
wherever they lie; without a fingerprint, when data.root is.

n counts distinct seeds. Runs of the same search seed and training seed repeat one another, and enter as their mean.
"""

import json
import shlex
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from .errors import RunError
from .run_directory import SCHEMA_VERSION, read_json, run_spec
from .spec import Spec, flat
from .statistics import cells, mean_and_interval, pairwise, sentence, verdict
from .trial import LARGEST

MEASURES = ("test_accuracy", "val_accuracy", "params", "macs", "latency_ms")
COSTS = ("trials", "search_seconds", "train_seconds")

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0, le=LARGEST)]


class _File(BaseModel):
    """What compare needs of a result file; the rest of it is left alone."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Entry(_File):
    genotype: str
    metrics: dict[str, Annotated[float, Field(ge=-LARGEST, le=LARGEST)]]


class _Search(_File):
    best: _Entry | None
    trials: Count
    seconds: Amount


class _Eval(_File):
    test_accuracy: Fraction
    params: Count
    macs: Count
    latency_ms: dict[str, dict[str, Amount]] = {}


class _Train(_Eval):
    genotype: str
    train_seconds: Amount
    spec: Spec


class _Environment(_File):
    data: dict[str, str | None] | None = None
    cpu: str | None = None


R = TypeVar("R", bound=_File)


@dataclass(frozen=True)
class _Run:
    """A run directory, read: its entry in the document, and what it is grouped by."""

    entry: Mapping[str, Any]
    name: str
    seeds: tuple[int, int]  # of the search and of the training
    identity: Mapping[str, Any]  # what the runs of a group have in common, by dotted key
    fingerprint: str | None  # of the data
    cpu: str | None
    warnings: Sequence[str]


def compare(runs: Sequence[Path | str], html: Path | None = None) -> dict[str, Any]:
    """The document of `nanonas compare`; with `html`, a report of it is written there too.

    Accuracies, and differences of them, are fractions. latency_ms is the median at batch 1.

    Raises:
        RunError: a run is missing, damaged or named twice, or `html` is a file that is no report.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise RunError("no run to compare; name one or more: nanonas compare runs/a runs/b")
    for first, second in combinations(paths, 2):
        if first.resolve() == second.resolve():
            raise RunError(f"{second} is named twice; a run compared with itself tells nothing")
    groups = _groups(_by_fingerprint([_load(path) for path in paths]))
    entries = [_entry(name, members) for name, members in groups.items()]
    comparable = not _differing(groups.values(), "data.")
    values = {name: _by_seed(members, "test_accuracy") for name, members in groups.items()}
    tests = pairwise(values) if comparable else []
    document: dict[str, Any] = {
        "kind": "compare",
        "schema_version": SCHEMA_VERSION,
        "groups": entries,
        "tests": tests,
        "verdict": verdict(entries, tests, comparable),
        "warnings": _warnings(groups),
    }
    document = json.loads(json.dumps(document, allow_nan=False))  # lists for tuples: what a reader of the JSON gets
    if html is not None:
        from .html import write_report

        write_report(Path(html), document)
    return document


def _load(path: Path) -> _Run:
    spec = run_spec(path)
    search, train = _read(path / "search.json", _Search), _read(path / "train.json", _Train)
    evaluated = _read(path / "eval.json", _Eval)
    environment = _read(path / "environment.json", _Environment) or _Environment()
    trained = train.spec if train else spec
    best = search.best if search else None
    metrics = best.metrics if best else {}
    measured = train or evaluated
    latency = evaluated.latency_ms.get("batch_1", {}) if evaluated else {}
    other = train is not None and (best is None or best.genotype != train.genotype)
    warnings = []
    if search is None and train and not (path / "trials.jsonl").exists():
        warnings.append(f"{path}: a training without a search of its own; its spread is that of the training only")
    elif search is None:
        warnings.append(f"{path}: the search is not finished; go on: {_search_command(path, path)}")
    if other and best:
        warnings.append(f"{path}: trained another genotype than the best of its search")
    if measured is None:
        warnings.append(f"{path}: has no test accuracy; run: nanonas train {shlex.quote(str(path))}")
    entry = {
        "run": str(path),
        "seed": spec.seed,
        "train_seed": trained.seed,
        "genotype": train.genotype if train else best.genotype if best else None,
        "test_accuracy": measured.test_accuracy if measured else None,
        "val_accuracy": metrics.get("val_accuracy") if spec.scores_networks else None,
        "params": measured.params if measured else metrics.get("params"),
        "macs": measured.macs if measured else metrics.get("macs"),
        "latency_ms": latency.get("median"),
        "trials": search.trials if search else None,
        "search_seconds": search.seconds if search else None,
        "train_seconds": train.train_seconds if train else None,
        "commands": _commands(path, spec, train, other),
    }
    data, seeds = environment.data or {}, (spec.seed, trained.seed)
    fingerprint = data.get("fingerprint") if trained.data == spec.data else None
    return _Run(entry, spec.name, seeds, _identity(spec, trained), fingerprint, environment.cpu, warnings)


def _read(path: Path, model: type[R]) -> R | None:
    """None when the file is not there."""
    if not path.exists():
        return None
    try:
        return model.model_validate(read_json(path))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise RunError(f"{path} is damaged: {where + ': ' if where else ''}{problem['msg']}") from None


def _identity(spec: Spec, trained: Spec) -> dict[str, Any]:
    content = spec.model_dump(mode="json", exclude={"name", "seed", "device"})
    content["executor"] = {"lookahead": spec.executor.lookahead}
    return flat(
        content | {"data": trained.data.model_dump(mode="json"), "train": trained.train.model_dump(mode="json")}
    )


def _by_fingerprint(runs: Sequence[_Run]) -> list[_Run]:
    """data.root gives way to the fingerprint of what lies there, where any of the runs knows it."""

    def data(run: _Run) -> str:
        return json.dumps({key: value for key, value in run.identity.items() if key.startswith("data.")})

    known = {data(run): run.fingerprint for run in runs if run.fingerprint}
    found = [run.fingerprint or known.get(data(run)) for run in runs]
    return [
        replace(run, identity={**run.identity, "data.root": fingerprint[:12]}) if fingerprint else run
        for run, fingerprint in zip(runs, found, strict=True)
    ]


def _search_command(path: Path, out: Path) -> str:
    return f"nanonas search --spec {shlex.quote(str(path / 'spec.yaml'))} --out {shlex.quote(str(out))}"


def _commands(path: Path, spec: Spec, train: _Train | None, other: bool) -> list[str]:
    """What repeats the run beside itself."""
    named = path if path.name.strip(".") else path.resolve()  # not `.` or `..`
    again = named.with_name(f"{named.name}-again")
    commands = [_search_command(path, again)]
    if train:
        before, after = (flat(one.model_dump(mode="json")) for one in (spec, train.spec))
        words = ["--genotype", train.genotype] if other else []
        for key in after:
            if key.split(".")[0] in ("seed", "train", "data") and after[key] != before.get(key):
                words += ["--set", f"{key}={json.dumps(after[key])}"]
        commands.append(shlex.join(["nanonas", "train", str(again), *words]))
    return commands


def _groups(runs: Sequence[_Run]) -> dict[str, list[_Run]]:
    """By name. Groups that share their spec's name get the keys that tell them apart: `evo (strategy.name=random)`."""
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.identity, sort_keys=True), []).append(run)
    named: dict[str, list[_Run]] = {}
    for members in groups.values():
        rivals = [other[0].identity for other in groups.values() if other[0].name == members[0].name]
        keys = dict.fromkeys(key for rival in rivals for key in rival)
        used: list[str] = []
        for key in sorted(keys, key=lambda key: not key.endswith(".name")):
            if len(_kinds(rivals, [*used, key])) > len(_kinds(rivals, used)):
                used.append(key)
        parts = ", ".join(f"{key}={members[0].identity[key]}" for key in used if key in members[0].identity)
        named[f"{members[0].name} ({parts})" if parts else members[0].name] = members
    return named


def _kinds(identities: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> set[str]:
    """The different values that `keys` have together."""
    return {json.dumps([identity.get(key) for key in keys]) for identity in identities}


def _by_seed(runs: Sequence[_Run], measure: str) -> dict[Hashable, float]:
    values: dict[Hashable, list[float]] = {}
    for run in runs:
        if (value := run.entry[measure]) is not None:
            values.setdefault(run.seeds, []).append(value)
    return {seed: fmean(several) for seed, several in values.items()}


def _entry(name: str, runs: Sequence[_Run]) -> dict[str, Any]:
    entry = {"name": name, "runs": [run.entry for run in runs], "n": len({run.seeds for run in runs})}
    for measure in (*MEASURES, *COSTS):
        values = list(_by_seed(runs, measure).values())
        entry[measure] = asdict(mean_and_interval(values)) if values else None
    return entry


def _differing(groups: Iterable[Sequence[_Run]], section: str) -> list[str]:
    identities = [runs[0].identity for runs in groups]
    keys = dict.fromkeys(key for identity in identities for key in identity if key.startswith(section))
    return [key for key in keys if len(_kinds(identities, [key])) > 1]


def _warnings(groups: Mapping[str, Sequence[_Run]]) -> list[str]:
    runs = [run for members in groups.values() for run in members]
    warnings = [warning for run in runs for warning in run.warnings]
    for name, members in groups.items():
        if len({run.seeds for run in members}) < len(members):
            warnings.append(f"{name}: a seed stands twice; its runs are not independent, their mean counts as one")
    if keys := _differing(groups.values(), "data."):
        warnings.append(f"the groups' data differ ({', '.join(keys)}): their accuracies are not comparable")
    if keys := _differing(groups.values(), "budget."):
        warnings.append(f"the groups' budgets differ ({', '.join(keys)})")
    if len({run.cpu for run in runs} - {None}) > 1:
        warnings.append("the runs are from different processors: their seconds and latencies are not comparable")
    return warnings


def table(document: Mapping[str, Any]) -> Table:
    """A group a row, within 80 columns; what is no accuracy is a mean."""
    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in ("group", "accuracy", "network", "cost"):
        drawn.add_column(title, overflow="fold", no_wrap=title != "group")
    for group in document["groups"]:
        cell = cells(group)
        accuracy = f"test {cell['test accuracy']}\nval  {cell['validation accuracy']}"
        network, cost = (
            "\n".join(f"{cell[title]} {title}" for title in titles)
            for titles in (("params", "MACs", "latency"), ("trials", "search", "train"))
        )
        drawn.add_row(*map(Text, (group["name"], accuracy, network, cost)))
    return drawn


def renderable(document: Mapping[str, Any]) -> Group:
    """The table, the tests, the warnings and the verdict, for a person."""
    tests = [sentence(test, len(document["tests"]) > 1) for test in document["tests"]]
    warnings = [f"warning: {warning}" for warning in document["warnings"]]
    said = [] if tests == [document["verdict"]] else tests
    return Group(table(document), *map(Text, ["", *warnings, *said, document["verdict"]]))
