"""A comparison as the report sees it: the document of compare beside the runs that it was made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...core.trial import Line
from ...runs.record import Groups, RunRecord


@dataclass(frozen=True)
class Run:
    """A run: its number among all runs, that of its group, and its entry of the document."""

    number: int
    group: int
    record: RunRecord
    entry: Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    document: Mapping[str, Any]
    groups: Groups

    @cached_property
    def runs(self) -> Sequence[Run]:
        """In the order of the document."""
        entries = [run for group in self.document["groups"] for run in group["runs"]]
        numbered = [(group, run) for group, members in enumerate(self.groups.values()) for run in members]
        pairs = zip(numbered, entries, strict=True)
        return [Run(number, group, record, entry) for number, ((group, record), entry) in enumerate(pairs)]

    @cached_property
    def drawn(self) -> Sequence[Run]:
        """Those that have a curve: one scale has room for scores of one kind only."""
        return [run for run in self.runs if run.entry["curve"]]

    @cached_property
    def scored(self) -> Sequence[tuple[Run, Line]]:
        """The trials of `drawn` at the highest fidelity."""
        return [(run, line) for run in self.drawn for line in run.record.scored]

    @cached_property
    def legend(self) -> Sequence[tuple[int, str]]:
        return list(enumerate(self.groups)) if len(self.groups) > 1 else []

    @property
    def metric(self) -> str:
        """What searches are compared by."""
        return str(self.document["curves"]["metric"])

    @property
    def label(self) -> str:
        return self.metric.replace("val_", "validation ").replace("_", " ")

    @cached_property
    def larger_is_better(self) -> bool:
        record = (self.drawn or self.runs)[0].record
        return record.spec.objectives.get(self.metric) != "minimize"

    @cached_property
    def is_fraction(self) -> bool:
        """An accuracy is one, but from a table it comes in the table's own unit."""
        return self.metric.endswith("accuracy") and all(0 <= line.metrics[self.metric] <= 1 for _, line in self.scored)

    @cached_property
    def _varied(self) -> set[str]:
        """The parts of a fidelity that are not the same in all trials."""
        seen: dict[str, set[float]] = {}
        for run in self.runs:
            for line in run.record.lines:
                for name, value in line.fidelity.items():
                    seen.setdefault(name, set()).add(value)
        return {name for name, values in seen.items() if len(values) > 1}

    def fidelity(self, line: Line) -> str:
        """`epochs 4`: what tells it from the others."""
        told = [(name, value) for name, value in line.fidelity.items() if name in self._varied]
        return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in told)

    def score(self, value: float, digits: int = 4) -> str:
        return f"{100 * value:.{digits}g} %" if self.is_fraction else f"{value:.{digits}g}"
