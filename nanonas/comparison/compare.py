"""Runs side by side: groups of seeds, and a winner only when a test supports it.

Runs form a group when their specs differ in nothing but name, seed, device and executor (its lookahead counts: it
changes the trials). Settings given to `nanonas train` count too. Data are the same when their fingerprints are,
wherever they lie; without a fingerprint, when data.root is.

n counts distinct seeds of the search. Runs that share one enter as their mean, whatever the seeds of their trainings.
"""

import json
import shlex
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from ..core.errors import RunError
from ..core.files import SCHEMA_VERSION
from ..core.statistics import mean_and_interval, pairwise
from ..runs.directory import beside
from ..runs.record import RunRecord, TrainResult, read_record
from ..spec.schema import Spec, flat
from .conformance import conformance
from .curves import AXES, area, best_so_far, shared_range
from .verdict import verdict

MEASURES = ("test_accuracy", "val_accuracy", "params", "macs", "latency_ms")
COSTS = ("trials", "search_seconds", "train_seconds")
AREAS = ("area_trials", "area_seconds")
SAME = (
    "data.",
    "space.",
    "constraints",
    "budget.",
    "train.epochs",
    "train.minutes",
    "evaluator.path",
    "evaluator.metric",
)
# what a trial costs
SAME_BY_TRIALS = ("evaluator.epochs", "evaluator.image_size", "evaluator.data_fraction", "evaluator.shown")
MAX_VALUE = 60  # characters of a value in a message


@dataclass(frozen=True)
class _Run:
    """A run: its entry in the document, and what it is grouped by."""

    record: RunRecord
    entry: dict[str, Any]
    identity: Mapping[str, Any]  # what the runs of a group have in common, by dotted key
    warnings: Sequence[str]

    @property
    def name(self) -> str:
        return self.record.spec.name

    @property
    def fingerprint(self) -> str | None:
        """Of the data that were trained on, or would be."""
        record = self.record
        trained = record.train.data if record.train else None
        searched = record.machine.data if record.trained.data == record.spec.data else None
        return (trained or searched or {}).get("fingerprint")


def compare(
    runs: Sequence[Path | str],
    html: Path | str | None = None,
    allow_mismatch: bool = False,
    plots: Path | str | None = None,
) -> dict[str, Any]:
    """The document of `nanonas compare`.

    Accuracies, and differences of them, are fractions. latency_ms is the median of one image in PyTorch.
    `area_trials` and `area_seconds` are areas under the best-so-far curves, as shares of `curves.trials` and
    `curves.seconds`, the ranges that all runs share.

    Args:
        html: a report of the document is written there, too.
        allow_mismatch: whether runs with other data, split, space or budget may stand side by side.
        plots: a folder where each plot of the report is written as SVG, and its numbers as CSV.

    Raises:
        RunError: a run is missing, damaged or named twice; the runs differ in more than the strategy; or `html` is a
            file that is no report, `plots` one that is no folder.
    """
    paths = [Path(run) for run in runs]
    if not paths:
        raise RunError("no run to compare; name one or more: nanonas compare runs/a runs/b")
    for first, second in combinations(paths, 2):
        if first.resolve() == second.resolve():
            raise RunError(f"{second} is named twice; a run compared with itself tells nothing")
    read = _by_fingerprint([_load(path) for path in paths])
    groups = _groups(read)
    mismatch = _mismatch(groups.values())
    if mismatch and not allow_mismatch:
        told = "; ".join(f"{key} ({_values(groups.values(), key)})" for key in mismatch)
        raise RunError(
            f"the runs differ in {told}: what they reached is not comparable; "
            "add --allow-mismatch to see it side by side"
        )
    curves = _add_curves(read)
    entries = [_entry(name, members) for name, members in groups.items()]
    comparable = not _differing(groups.values(), ("data.",))
    values = {name: _by_seed(members, "test_accuracy") for name, members in groups.items()}
    tests = pairwise(values) if comparable else []
    records = {name: [run.record for run in members] for name, members in groups.items()}
    document: dict[str, Any] = {
        "kind": "compare",
        "schema_version": SCHEMA_VERSION,
        "groups": entries,
        "tests": tests,
        "verdict": verdict(entries, tests, comparable),
        "mismatch": mismatch,
        "curves": curves,
        "conformance": [asdict(check) for check in conformance(records, mismatch)],
        "warnings": _warnings(groups, mismatch),
    }
    document = json.loads(json.dumps(document, allow_nan=False))  # lists for tuples: what a reader of the JSON gets
    from .html import write_plots, write_report

    if html is not None:
        write_report(Path(html), document, records)
    if plots is not None:
        write_plots(Path(plots), document, records)
    return document


def _load(path: Path) -> _Run:
    record = read_record(path)
    spec, search, train, measured = record.searched, record.search, record.train, record.measured
    best = search.best if search else None
    metrics = best.metrics if best else {}
    latency = record.evaluated.latency_ms.get("batch_1", {}) if record.evaluated else {}
    other = train is not None and (best is None or best.genotype != train.genotype)
    warnings = []
    if search is None and train and not record.lines:
        warnings.append(f"{path}: a training without a search of its own; its spread is that of the training only")
    elif search is None:
        warnings.append(f"{path}: the search is not finished; go on: {_search_command(path, path)}")
    if record.trained_the_chosen is False:
        warnings.append(f"{path}: trained another genotype than the best of its search")
    if measured is None:
        warnings.append(f"{path}: has no test accuracy; run: nanonas train {shlex.quote(str(path))}")
    entry = {
        "run": str(path),
        "seed": spec.seed,
        "train_seed": record.trained.seed,
        "strategy": spec.strategy.name,
        "genotype": train.genotype if train else best.genotype if best else None,
        "test_accuracy": measured.test_accuracy if measured else None,
        "val_accuracy": metrics.get("val_accuracy") if spec.scores_networks else None,
        "params": measured.params if measured else metrics.get("params"),
        "macs": measured.macs if measured else metrics.get("macs"),
        "latency_ms": latency.get("median"),
        "trials": search.trials if search else None,
        "search_seconds": search.seconds if search else None,
        "train_seconds": train.train_seconds if train else None,
        "commands": _commands(path, record.spec, train, other),
    }
    return _Run(record, entry, _identity(spec, record.trained), warnings)


def _add_curves(runs: Sequence[_Run]) -> dict[str, Any]:
    """Gives each entry its curve and the areas under it; what the document says of them all. Only scores of one kind
    are drawn together: those of the first run."""
    kinds = [
        (run.record.objective, run.identity["evaluator.name"], run.identity.get("evaluator.metric")) for run in runs
    ]
    curves = [best_so_far(run.record) if kind == kinds[0] else [] for run, kind in zip(runs, kinds, strict=True)]
    ranges = {axis: shared_range(curves, axis) for axis in AXES}
    for run, curve in zip(runs, curves, strict=True):
        run.entry["curve"] = [[step.trials, step.seconds, step.value] for step in curve]
        for axis, name in zip(AXES, AREAS, strict=True):
            within = ranges[axis]
            run.entry[name] = area(curve, axis, within) if curve and within else None
    return {"metric": kinds[0][0], "trials": ranges["trials"], "seconds": ranges["seconds"]}


def _identity(spec: Spec, trained: Spec) -> dict[str, Any]:
    content = spec.model_dump(mode="json", exclude={"name", "seed", "device"})
    content["executor"] = {"lookahead": spec.executor.lookahead}
    if spec.budget.minutes is not None:  # of how many workers, and where
        content["budget"] |= {"executor": f"{spec.executor.name} {spec.executor.workers}", "device": spec.device}
    content |= trained.model_dump(mode="json", include={"data", "space", "train"})
    return {key: value for key, value in flat(content).items() if value != {}}


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


def _commands(path: Path, spec: Spec, train: TrainResult | None, other: bool) -> list[str]:
    """What repeats the run beside itself."""
    again = beside(path, "again")
    commands = [_search_command(path, again)]
    if (path / "latency.json").exists():  # times of its own would be others, and so would the trials
        copy = f"cp {shlex.quote(str(path / 'latency.json'))} {shlex.quote(str(again))}/"
        commands.insert(0, f"mkdir -p {shlex.quote(str(again))} && {copy}")
    if train:
        before, after = (flat(one.model_dump(mode="json")) for one in (spec, train.spec))
        words = ["--genotype", train.genotype] if other else []
        for key in after:
            if key.split(".")[0] in ("seed", "device", "space", "train", "data") and after[key] != before.get(key):
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
            values.setdefault(run.record.seed, []).append(value)
    return {seed: fmean(several) for seed, several in values.items()}


def _entry(name: str, runs: Sequence[_Run]) -> dict[str, Any]:
    entry = {"name": name, "runs": [run.entry for run in runs], "n": len({run.record.seed for run in runs})}
    for measure in (*MEASURES, *COSTS, *AREAS):
        values = list(_by_seed(runs, measure).values())
        entry[measure] = asdict(mean_and_interval(values)) if values else None
    return entry


def _differing(groups: Collection[Sequence[_Run]], sections: tuple[str, ...]) -> list[str]:
    identities = [runs[0].identity for runs in groups]
    keys = dict.fromkeys(key for identity in identities for key in identity if key.startswith(sections))
    return [key for key in keys if len(_kinds(identities, [key])) > 1]


def _mismatch(groups: Collection[Sequence[_Run]]) -> list[str]:
    """The keys of data, split, space and budget that differ, so that a difference would not be the strategy's."""
    firsts = [runs[0] for runs in groups]
    by_trials = all(run.record.spec.budget.minutes is None for run in firsts)
    alike = len({run.record.spec.evaluator.name for run in firsts}) == 1
    found = _differing(groups, SAME + SAME_BY_TRIALS if by_trials and alike else SAME)
    others = tuple(f"{section}." for section in ("data", "space") if f"{section}.name" in found)
    others += ("budget.executor", "budget.device") if "budget.minutes" in found else ()
    return [key for key in found if key.endswith(".name") or not key.startswith(others)]


def _values(groups: Collection[Sequence[_Run]], key: str) -> str:
    """The different values of a key, shortened: `3 and 9`."""
    found = dict.fromkeys(json.dumps(runs[0].identity.get(key)).replace("null", "none") for runs in groups)
    return " and ".join(value if len(value) <= MAX_VALUE else f"{value[:MAX_VALUE]}…" for value in found)


def _warnings(groups: Mapping[str, Sequence[_Run]], mismatch: Sequence[str]) -> list[str]:
    runs = [run for members in groups.values() for run in members]
    warnings = [warning for run in runs for warning in run.warnings]
    for name, members in groups.items():
        if len({run.record.seed for run in members}) < len(members):
            warnings.append(f"{name}: a seed stands twice; its runs are not independent, their mean counts as one")
    if keys := [key for key in mismatch if key.startswith("data.")]:
        warnings.append(f"the groups' data differ ({', '.join(keys)}): their accuracies are not comparable")
    if keys := [key for key in mismatch if not key.startswith("data.")]:
        warnings.append(f"the groups differ in {', '.join(keys)}: a difference is not the strategy's alone")
    if len({run.record.machine.cpu for run in runs} - {None}) > 1:
        warnings.append("the runs are from different processors: their seconds and latencies are not comparable")
    return warnings
