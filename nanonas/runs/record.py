"""A run directory, read: what compare, the model card and a training need of it. Nothing in it is believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import RunError, SpecError
from ..core.files import check_version, first_problem, read, read_bytes, readable
from ..core.genotype import Genotype
from ..core.space import SearchSpace
from ..core.task import Task
from ..core.trial import LARGEST, Line, at_highest_fidelity
from ..spaces import SPACES
from ..spec.schema import Spec
from ..strategies import STRATEGIES
from .directory import run_spec
from .journal import Journal

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0, le=LARGEST)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Side = Annotated[int, Field(ge=1, le=10_000)]


class _File(BaseModel):
    """What is needed of a result file; the rest of it is left alone."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Best(_File):
    genotype: str
    metrics: dict[str, Number]


class Agreement(_File):
    n: Count
    kendall_tau: dict[str, Number | None]


class _Task(_File):
    channels: Side
    height: Side
    width: Side
    classes: Side


Place = Literal["best", "front", "other"]  # of a network in what a search has found


class SearchResult(_File):
    best: Best | None
    front: list[Best] = []
    trials: Count
    failed: Count = 0
    cached: Count = 0
    seconds: Amount
    proxies: Agreement | None = None
    task: _Task | None = None

    def place_of(self, genotype: str) -> Place:
        if self.best and genotype == self.best.genotype:
            return "best"
        return "front" if genotype in [one.genotype for one in self.front] else "other"

    def found(self, run: Path, spec: Spec, genotype: str) -> "Found":
        """What a training of this genotype, or the card of it, tells of the search in `run`, which had this spec."""
        counted = self.model_dump(include={"trials", "failed", "seconds"})
        return Found(run=readable(run), spec=spec, place=self.place_of(genotype), **counted)


class Found(_File):
    """Of the search that a training took its network from."""

    run: str
    spec: Spec
    place: Place
    trials: Count
    failed: Count
    seconds: Amount


class ClassResult(_File):
    name: str
    n: Count
    recall: Fraction | None = None
    precision: Fraction | None = None
    f1: Fraction | None = None


class EvalResult(_File):
    test_accuracy: Fraction
    params: Count
    macs: Count
    latency_ms: dict[str, dict[str, Amount]] = {}
    per_class: dict[str, Fraction] = {}
    balanced_accuracy: Fraction | None = None
    macro_f1: Fraction | None = None
    classes: list[ClassResult] = []


class TrainResult(_File):
    test_accuracy: Fraction
    balanced_accuracy: Fraction | None = None
    params: Count
    macs: Count
    genotype: str
    epochs: Count
    train_seconds: Amount
    device: str
    spec: Spec
    search: Found | None = None
    data: dict[str, str | None] | None = None
    environment: "Machine | None" = None


class Machine(_File):
    """environment.json, and what train.json says of the same."""

    data: dict[str, str | None] | None = None
    table: dict[str, str | None] | None = None
    nanonas: str | None = None
    commit: str | None = None
    python: str | None = None
    torch: str | None = None
    numpy: str | None = None
    system: str | None = None
    cpu: str | None = None
    onnxruntime: str | None = None
    cores: Count | None = None
    threads: Count | None = None
    gpu: list[str] = []


class _Model(_File):
    """model.json."""

    classes: Annotated[list[str], Field(min_length=2)]
    input_size: tuple[Side, Side, Side]


class Look(_File):
    command: Literal["train", "eval", "export"]
    again: bool = False


@dataclass(frozen=True)
class RunRecord:
    """What a run directory holds.

    Attributes:
        looks: at the test data, in order.
        lines: of the journal.
        task: what its trained network fits, or those of the search; None before either is finished.
    """

    path: Path
    spec: Spec
    search: SearchResult | None
    train: TrainResult | None
    evaluated: EvalResult | None
    machine: Machine
    looks: Sequence[Look]
    lines: Sequence[Line]
    task: Task | None

    @property
    def trained(self) -> Spec:
        """The spec of the last training, which may have had settings of its own."""
        return self.train.spec if self.train else self.spec

    @property
    def searched(self) -> Spec:
        """The spec of the search; a training in a directory of its own may have changed more than a training reads."""
        return self.train.search.spec if self.train and self.train.search else self.spec

    @property
    def seed(self) -> int:
        """Of the search, or of the training where there was none: runs that share it are not independent."""
        return self.searched.seed if self.search or (self.train and self.train.search) else self.trained.seed

    @property
    def machines(self) -> list[Machine]:
        """Where it was searched, and where it was trained."""
        trained = self.train.environment if self.train else None
        return [self.machine, *([trained] if trained else [])]

    @property
    def trained_the_chosen(self) -> bool | None:
        """Whether what was trained is the best of the search, or of its front; None when nothing tells."""
        if self.train and self.train.search:  # of this run or, with `train --out`, of another
            return self.train.search.place != "other"
        if not self.train or not self.search or not self.search.best:
            return None
        return self.search.place_of(self.train.genotype) != "other"

    @property
    def measured(self) -> EvalResult | TrainResult | None:
        return self.train or self.evaluated

    @property
    def objective(self) -> str:
        """The first of them: the metric that searches are compared by."""
        return next(iter(self.spec.objectives))

    @cached_property
    def space(self) -> SearchSpace:
        found: SearchSpace = SPACES[self.spec.space.name](self.spec.space)
        return found

    @cached_property
    def trained_space(self) -> SearchSpace:
        """Of the last training, or of the search where there was none."""
        found: SearchSpace = SPACES[self.trained.space.name](self.trained.space)
        return found

    def genotype(self, space: SearchSpace, text: str, where: str) -> Genotype:
        """Raises RunError, with the file `where` it stands, when it is none of this space."""
        try:
            return space.parse(text)
        except SpecError as error:
            raise RunError(f"{self.path / where}: {error}") from None

    @cached_property
    def scored(self) -> Sequence[Line]:
        """The lines that tell how good an architecture is; none where the score is that of a supernet."""
        if STRATEGIES[self.spec.strategy.name].one_shot:
            return []
        return at_highest_fidelity(self.lines, self.spec.objectives)


Groups = Mapping[str, Sequence[RunRecord]]
"""Runs that are compared, by the name of their group."""


def read_record(path: Path) -> RunRecord:
    """Raises RunError when the run is missing or damaged."""
    spec = run_spec(path)
    search, model = read(path / "search.json", SearchResult), read(path / "model.json", _Model)
    searched = Task(**search.task.model_dump()) if search and search.task else None
    task = Task(*model.input_size, len(model.classes)) if model else searched
    return RunRecord(
        path=path,
        spec=spec,
        search=search,
        train=read(path / "train.json", TrainResult),
        evaluated=read(path / "eval.json", EvalResult),
        machine=read(path / "environment.json", Machine) or Machine(),
        looks=_looks(path / "test_looks.jsonl"),
        lines=Journal(path / "trials.jsonl").lines,
        task=task,
    )


def _looks(path: Path) -> list[Look]:
    if not path.exists():
        return []
    looks: list[Look] = []
    for line in read_bytes(path).splitlines():
        try:
            looks.append(Look.model_validate_json(line))
        except ValidationError as error:
            check_version(path, error)
            raise RunError(f"{path} is damaged: {first_problem(error)}") from None
    return looks
