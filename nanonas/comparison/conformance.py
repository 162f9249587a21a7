"""The conformance list: what of the NAS best practices (Lindauer & Hutter 2020, JMLR 21:243) runs can show to hold.

Everything is read from the run directories. What they cannot know is marked as not applicable, so that the list names
what is left for the author to say.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..core.numbers import duration
from ..core.statistics import TOO_MANY, seeds_needed, tests_among
from ..runs.directory import beside
from ..runs.record import Groups, Look, Machine, RunRecord
from ..spec.schema import flat

TEST = re.compile("(?<![a-z])test|T(est|EST)")  # a word of a column's name: test_acc, TestAcc, but not latest
Status = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True)
class Check:
    item: str
    status: Status
    reason: str


def conformance(groups: Groups, mismatch: Sequence[str]) -> list[Check]:
    """Args: mismatch: the dotted keys of data, split, space and budget in which the groups differ."""
    return [Check(item, *check(groups, mismatch)) for item, check in CHECKS.items()]


Verdict = tuple[Status, str]


def _runs(groups: Groups) -> list[RunRecord]:
    return [run for members in groups.values() for run in members]


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(items)))


def _code(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    runs = _runs(groups)
    if unknown := [run.path for run in runs if any(machine.nanonas is None for machine in run.machines)]:
        return "fail", f"no version of nanonas is recorded in {_listed(unknown)}"
    if dirty := [run.path for run in runs if any((it.commit or "").endswith("+") for it in run.machines)]:
        return "fail", f"made by code with changes that no commit holds: {_listed(dirty)}"
    machines = [machine for run in runs for machine in run.machines]
    versions = [f"{machine.nanonas}{f' ({machine.commit})' if machine.commit else ''}" for machine in machines]
    return "pass", f"search, training and evaluation are those of nanonas {_listed(versions)}"


def _spec(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    return "pass", "each run's spec.yaml has every setting of search, space, evaluation and last training"


def _seeds(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    seeds = "; ".join(f"{name}: {_listed(run.searched.seed for run in members)}" for name, members in groups.items())
    return "pass", f"{seeds}; each trial's own seed is in the journal"


def _number(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    sizes = {name: len({run.seed for run in members}) for name, members in groups.items()}
    told = "; ".join(f"{name}: n={n}" for name, n in sizes.items())
    least = seeds_needed(paired=True, tests=tests_among(len(groups)))
    needed = f"a difference can be shown from {least} seeds each, the same in all groups" if least else TOO_MANY
    return "pass" if min(sizes.values()) > 1 else "fail", f"{told}; {needed}"


def _benchmark(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    if len(groups) == 1:
        return "not applicable", "one method"
    differing = [key for key in mismatch if not key.startswith(("budget.", "train."))]
    return (
        ("fail", f"the groups differ in {_listed(differing)}") if differing else ("pass", "data, split and space agree")
    )


def _protocol(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    if len(groups) == 1:
        return "not applicable", "one method"
    settings = [flat(members[0].trained.train.model_dump(mode="json")) for members in groups.values()]
    differing = [key for key in settings[0] if any(other.get(key) != settings[0][key] for other in settings)]
    if differing:
        return "fail", f"the last trainings differ in {_listed(f'train.{key}' for key in differing)}"
    return "pass", "the winners were trained with the same settings, and tested by one view of each image"


def _budget(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    if len(groups) == 1:
        return "not applicable", "one method"
    differing = [key for key in mismatch if key.startswith(("budget.", "train."))]
    if differing:
        return "fail", f"the groups differ in {_listed(differing)}"
    budget = next(iter(groups.values()))[0].searched.budget
    return "pass", " and ".join(
        f"{value:g} {name}" for name, value in (("trials", budget.trials), ("minutes", budget.minutes)) if value
    )


def _random(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    random = [name for name, members in groups.items() if members[0].searched.strategy.name == "random"]
    if random:
        return "pass", f"{random[0]} is random search"
    run = _runs(groups)[0].path
    spec, out = shlex.quote(str(run / "spec.yaml")), shlex.quote(str(beside(run, "random")))
    return "fail", f"no run is random search; nanonas search --spec {spec} --set strategy.name=random --out {out}"


def _over_time(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    without = [run.path for run in _runs(groups) if not run.scored]
    if without:
        return "fail", f"no curve of the best so far for {_listed(without)}"
    return "pass", "the best so far over trials and over seconds, with the area under each"


def _hardware(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    runs = _runs(groups)
    if unknown := [run.path for run in runs if any(it.cpu is None or it.torch is None for it in run.machines)]:
        return "fail", f"processor or versions are not recorded in {_listed(unknown)}"
    kinds = {_hardware_of(machine) for run in runs for machine in run.machines}
    told = _listed(sorted(kinds))
    return ("fail", f"the runs are from different machines or versions: {told}") if len(kinds) > 1 else ("pass", told)


def _hardware_of(machine: Machine) -> str:
    return " + ".join([f"{machine.cores} × {machine.cpu}", *machine.gpu, f"torch {machine.torch}"])


def _time(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    runs = _runs(groups)
    if unfinished := [run.path for run in runs if not run.search or not run.train]:
        return "fail", f"search or last training is not finished in {_listed(unfinished)}"
    searched = sum(run.search.seconds for run in runs if run.search)
    trained = sum(run.train.train_seconds for run in runs if run.train)
    failed = sum(line.status == "failed" for run in runs for line in run.lines)
    repeated = sum(line.repeats for run in runs for line in run.lines)
    return "pass", (
        f"search {duration(searched)} with {failed} failed trials and {repeated} repeated proposals in it, "
        f"last training {duration(trained)}, over {len(runs)} run{'s' * (len(runs) > 1)}"
    )


def _test_data(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    runs = _runs(groups)
    if seen := [run.path for run in runs if TEST.search(str(getattr(run.searched.evaluator, "metric", "")))]:
        return "fail", f"the search was steered by test results in {_listed(seen)}"
    trained = [run for run in runs if run.train]
    if not trained:
        return "not applicable", "nothing was tested yet"
    if chosen := [run.path for run in trained if run.trained_the_chosen is False]:
        return "fail", f"trained another genotype than the best on validation data: {_listed(chosen)}"
    if uncounted := [run.path for run in trained if not _looks(run, "train")]:
        return "fail", f"no count of the looks at test data in {_listed(uncounted)}"
    if again := [run.path for run in trained if sum(not look.again for look in _looks(run, "train")) > 1]:
        return "fail", f"tested after more than one training: {_listed(again)}"
    if given := [run.path for run in trained if run.trained_the_chosen is None]:
        return "not applicable", f"no search of its own tells why this network was trained: {_listed(given)}"
    looks = sum(len(_looks(run, "eval")) for run in trained)
    later = f", and {looks} time{'s' * (looks > 1)} by eval after it" if looks else ""
    return "pass", f"the winner was chosen on validation images; each run's last training opened test data once{later}"


def _looks(run: RunRecord, command: str) -> list[Look]:
    return [look for look in run.looks if look.command == command]


def _unknown(groups: Groups, mismatch: Sequence[str]) -> Verdict:
    return "not applicable", "no run directory can tell; for the author to report"


CHECKS: Mapping[str, Callable[[Groups, Sequence[str]], Verdict]] = {
    "code available": _code,
    "spec available": _spec,
    "seeds reported": _seeds,
    "several runs": _number,
    "same data, split and space": _benchmark,
    "same evaluation protocol": _protocol,
    "equal budget": _budget,
    "random baseline": _random,
    "performance over time": _over_time,
    "hardware and versions": _hardware,
    "end-to-end time, failed and repeated trials included": _time,
    "no choice made on test data": _test_data,
    "how hyperparameters were tuned": _unknown,
    "ablations": _unknown,
}
