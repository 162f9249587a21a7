"""Runs side by side: groups of seeds, and a winner only when a test supports it.

Runs form a group when their specs differ in nothing but name, seed, device and executor (its lookahead counts: it
changes the trials). Settings given to `nanonas train` count too. Data are the same when their fingerprints are,
wherever they lie; without a fingerprint, when data.root is.

n counts distinct seeds. Runs of the same search seed and training seed repeat one another, and enter as their mean.
"""

import json
import shlex
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .engine import run_spec
from .errors import RunError
from .journal import SCHEMA_VERSION, read_json
from .spec import Spec
from .statistics import compare_groups, holm, mean_and_interval, mean_text, percent, sentence, verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SEARCHED = ("val_accuracy", "trials", "search_seconds")
MEASURES = ("test_accuracy", *SEARCHED, "params", "macs", "latency_ms", "train_seconds")

Fraction = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]


class _File(BaseModel):
    """What compare needs of a result file; the rest of it is left alone."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Entry(_File):
    genotype: str
    metrics: dict[str, float]


class _Search(_File):
    best: _Entry | None
    trials: Annotated[int, Field(ge=0)]
    seconds: Amount


class _Eval(_File):
    test_accuracy: Fraction
    params: Amount
    macs: Amount
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
    """A run directory, read. `identity` is what the runs of a group have in common, by dotted key."""

    path: Path
    name: str
    seeds: tuple[int, int]  # of the search and of the training
    identity: Mapping[str, Any]
    cpu: str | None
    values: Mapping[str, float | None]
    genotype: str | None
    warnings: Sequence[str]
    commands: Sequence[str]


def compare(runs: Sequence[Path | str], html: Path | None = None) -> dict[str, Any]:
    """The document of `nanonas compare`; with `html`, a report of it is written there too.

    Accuracies, and differences of them, are fractions. latency_ms is the median at batch 1.

    Raises:
        RunError: a run is missing, damaged or named twice, or the report cannot be written.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise RunError("no run to compare; name one or more: nanonas compare runs/a runs/b")
    for first, second in combinations(paths, 2):
        if first.resolve() == second.resolve():
            raise RunError(f"{second} is named twice; a run compared with itself tells nothing")
    groups = _groups([_load(path) for path in paths])
    entries = [_entry(name, members) for name, members in groups.items()]
    tests = _tests(groups)
    document: dict[str, Any] = {
        "kind": "compare",
        "schema_version": SCHEMA_VERSION,
        "groups": entries,
        "tests": tests,
        "verdict": verdict(entries, tests, comparable=not _differing(groups.values(), "data.")),
        "warnings": _warnings(groups),
    }
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
    if search is None and (train is None or (path / "trials.jsonl").exists()):
        warnings.append(f"{path}: the search is not finished; go on: {_search_command(path, path)}")
    if other and best:
        warnings.append(f"{path}: trained another genotype than the best of its search")
    if measured is None:
        warnings.append(f"{path}: has no test accuracy; run: nanonas train {shlex.quote(str(path))}")
    return _Run(
        path=path,
        name=spec.name,
        seeds=(spec.seed, trained.seed),
        identity=_identity(spec, trained, (environment.data or {}).get("fingerprint")),
        cpu=environment.cpu,
        values={
            "test_accuracy": measured.test_accuracy if measured else None,
            "val_accuracy": metrics.get("val_accuracy"),
            "trials": search.trials if search else None,
            "search_seconds": search.seconds if search else None,
            "params": measured.params if measured else metrics.get("params"),
            "macs": measured.macs if measured else metrics.get("macs"),
            "latency_ms": latency.get("median"),
            "train_seconds": train.train_seconds if train else None,
        },
        genotype=train.genotype if train else best.genotype if best else None,
        warnings=warnings,
        commands=_commands(path, spec, train, other),
    )


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
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None


def _identity(spec: Spec, trained: Spec, fingerprint: str | None) -> dict[str, Any]:
    content = spec.model_dump(mode="json", exclude={"name", "seed", "device"})
    content["executor"] = {"lookahead": spec.executor.lookahead}
    content |= {"data": trained.data.model_dump(mode="json"), "train": trained.train.model_dump(mode="json")}
    if fingerprint and trained.data == spec.data:
        content["data"] |= {"root": None, "fingerprint": fingerprint[:12]}
    return _flat(content)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _search_command(path: Path, out: Path) -> str:
    return f"nanonas search --spec {shlex.quote(str(path / 'spec.yaml'))} --out {shlex.quote(str(out))}"


def _commands(path: Path, spec: Spec, train: _Train | None, other: bool) -> list[str]:
    """What repeats the run beside itself."""
    named = path if path.name.strip(".") else path.resolve()  # not `.` or `..`
    again = named.with_name(f"{named.name}-again")
    commands = [_search_command(path, again)]
    if train:
        before, after = (_flat(one.model_dump(mode="json")) for one in (spec, train.spec))
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
        used: list[str] = []
        for key in sorted(
            dict.fromkeys(k for rival in rivals for k in rival), key=lambda key: not key.endswith(".name")
        ):
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
        if (value := run.values[measure]) is not None:
            values.setdefault(run.seeds[0] if measure in SEARCHED else run.seeds, []).append(value)
    return {seed: fmean(several) for seed, several in values.items()}


def _entry(name: str, runs: Sequence[_Run]) -> dict[str, Any]:
    estimates: dict[str, Any] = {}
    for measure in MEASURES:
        values = list(_by_seed(runs, measure).values())
        estimates[measure] = asdict(mean_and_interval(values)) if values else None
    singles = [
        {"run": str(run.path), "seed": run.seeds[0], "train_seed": run.seeds[1], "genotype": run.genotype}
        | dict(run.values)
        | {"commands": list(run.commands)}
        for run in runs
    ]
    return {"name": name, "runs": singles, "n": len({run.seeds for run in runs}), **estimates}


def _tests(groups: Mapping[str, Sequence[_Run]]) -> list[dict[str, Any]]:
    """Every pair of groups on the same data with at least 2 seeds each."""
    tests = []
    for (a, first), (b, second) in combinations(groups.items(), 2):
        values = _by_seed(first, "test_accuracy"), _by_seed(second, "test_accuracy")
        if min(map(len, values)) > 1 and not _differing([first, second], "data."):
            tests.append({"a": a, "b": b, "metric": "test_accuracy", **asdict(compare_groups(*values))})
    for test, adjusted in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_adjusted"] = adjusted
    return tests


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
        if len({run.seeds[0] for run in members}) < len({run.seeds for run in members}):
            warnings.append(
                f"{name}: a search seed was trained with several seeds; their spread is that of the training"
            )
    if keys := _differing(groups.values(), "data."):
        warnings.append(f"the groups' data differ ({', '.join(keys)}): their accuracies are not comparable")
    if keys := _differing(groups.values(), "budget."):
        warnings.append(f"the groups' budgets differ ({', '.join(keys)})")
    if len({run.cpu for run in runs} - {None}) > 1:
        warnings.append("the runs are from different processors: their seconds and latencies are not comparable")
    return warnings


def table(document: Mapping[str, Any]) -> "Table":
    """A group a row, within 80 columns; params and all after them are means."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, show_lines=False, pad_edge=False)
    for title in ("group", "accuracy", "network", "cost"):
        drawn.add_column(title, overflow="fold")
    for group in document["groups"]:
        cells = [
            group["name"],
            f"test {percent(group['test_accuracy'])}\nval  {percent(group['val_accuracy'])}",
            f"{mean_text(group, 'params')} params\n{mean_text(group, 'macs')} MACs\n{mean_text(group, 'latency_ms')} latency",
            f"{mean_text(group, 'trials')} trials\n{mean_text(group, 'search_seconds')} search\n"
            f"{mean_text(group, 'train_seconds')} train",
        ]
        drawn.add_row(*map(Text, cells))
    return drawn


def render(document: Mapping[str, Any], console: "Console") -> None:
    """The table, the tests, the warnings and the verdict, for a person."""
    console.print(table(document))
    lines = [sentence(test, len(document["tests"]) > 1) for test in document["tests"]]
    lines += [f"warning: {warning}" for warning in document["warnings"]]
    for line in [*lines, document["verdict"]]:
        console.print(line, markup=False, highlight=False)
