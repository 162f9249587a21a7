"""The `table` evaluator: a tabular benchmark, so that a search of hundreds of trials takes a second."""

import csv
import errno
import hashlib
import math
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ..core.config import ComponentConfig, absolute
from ..core.errors import DataError, SpecError
from ..core.files import text_of
from ..core.genotype import Genotype
from ..core.problem import measures
from ..core.registry import nearest
from ..core.say import Say
from ..core.space import SearchSpace
from ..core.task import Task
from ..core.trial import Fidelity
from ..data.dataset import DataConfig, known_task
from ..spaces import SPACES
from . import EVALUATORS, Assignment, Evaluator

MAX_BYTES = 1_000_000_000  # a million architectures take a tenth
TASK = Task(3, 32, 32, 10)  # CIFAR-10: of a spec that names no data, or data that do not say theirs beforehand


@EVALUATORS.register("table")
class Table(Evaluator):
    """Looks a genotype up in a CSV file: a row each, its text in the column `cell`, numbers in the others.

    The column `metric` arrives, unscaled, under the name of the objective that is no measure of the architecture; the
    space's own measures arrive beside it. The columns of `report` are for the reader of search.json and steer nothing.
    """

    class Config(ComponentConfig):
        name: Literal["table"] = "table"
        path: Annotated[str | None, Field(description="the CSV file")] = None
        metric: Annotated[str, Field(description="the column that is the score")] = "val_accuracy"
        report: Annotated[tuple[str, ...], Field(description="columns that search.json tells of the winner")] = ()

        @field_validator("path")
        @classmethod
        def _absolute(cls, path: str | None) -> str | None:
            return None if path is None else absolute(path)

    metrics = None

    config: Config

    def __init__(self, assignment: Assignment, say: Say, run: Path | None = None) -> None:
        config: Any = assignment.evaluator
        if config.path is None:
            raise SpecError("evaluator.path is not set; name the table: --set evaluator.path=cells.csv")
        self.config = config
        named_data = assignment.data != DataConfig()
        self.task = (
            named_data and known_task(assignment.data)
        ) or TASK  # for the space's own measures: nothing is trained
        self.path = Path(config.path)
        named = [name for name in assignment.objectives if name not in measures(SPACES[assignment.space.name])]
        if len(named) != 1:
            raise SpecError(
                f"objectives: a table gives one metric ({config.metric}), so one objective is no measure of the "
                f"architecture, not {len(named)}; e.g. objectives: {{val_accuracy: maximize, params: minimize}}"
            )
        self.metric = named[0]
        self._rows, self._fingerprint = self._read()
        space = assignment.make_space()
        if not any(_is_of(space, cell) for cell in self._rows):
            first = next(iter(self._rows))[:200]
            raise DataError(f"{self.path} has no cell of the space {assignment.space.name}, but {first!r}")
        if (rows := len(self._rows)) < space.size:
            say(f"{self.path} has {rows:,} rows, the space {space.size:,} cells: those with a row are proposed")

    @property
    def fidelity(self) -> Fidelity:
        return {}

    @property
    def source(self) -> Mapping[str, Mapping[str, str]]:
        return {"table": {"name": self.path.name, "fingerprint": self._fingerprint}}

    def evaluate(self, space: SearchSpace, genotype: Genotype, fidelity: Fidelity, seed: int) -> Mapping[str, float]:
        return {self.metric: self._rows[str(genotype)][0], **space.measure(genotype, self.task)}

    def can_score(self, space: SearchSpace, genotype: Genotype) -> bool:
        """Also a network that cannot see its input, where it has a row."""
        return str(genotype) in self._rows

    def report(self, genotype: Genotype) -> Mapping[str, float]:
        return dict(zip(self.config.report, self._rows[str(genotype)][1:], strict=True))

    def _read(self) -> tuple[dict[str, tuple[float, ...]], str]:
        """The wanted columns by cell, and the SHA-256 of the file."""
        try:
            found = self.path.stat()
            if not stat.S_ISREG(found.st_mode):  # a device or a pipe would never end
                raise OSError(errno.EINVAL, "not a file")
            if found.st_size > MAX_BYTES:
                raise OSError(errno.EFBIG, f"larger than {MAX_BYTES:,} bytes")
            data = self.path.read_bytes()
            lines = csv.reader(text_of(data).splitlines(), strict=True)
            header = next(lines, [])
            columns = [self._column(header, name) for name in ("cell", self.config.metric, *self.config.report)]
            rows: dict[str, tuple[float, ...]] = {}
            for line in lines:
                if line:
                    where = f"{self.path}:{lines.line_num}"
                    if len(line) != len(header):
                        raise DataError(f"{where}: {len(line)} fields, where the header has {len(header)}")
                    self._add(rows, line, columns, where)
        except (OSError, ValueError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DataError(
                f"evaluator.path {self.path} cannot be read ({reason}); name a CSV file: --set evaluator.path=cells.csv"
            ) from None
        if not rows:
            raise DataError(f"{self.path} has no rows below its header")
        return rows, hashlib.sha256(data).hexdigest()

    def _column(self, header: list[str], name: str) -> int:
        if name not in header:
            hint = nearest(name, [column[:100] for column in header[:50]])
            raise DataError(f"{self.path} has no column {name[:100]!r}; {hint}")
        if header.count(name) > 1:
            raise DataError(f"{self.path} has {header.count(name)} columns {name[:100]!r}; give each its own name")
        return header.index(name)

    def _add(self, rows: dict[str, tuple[float, ...]], line: list[str], columns: list[int], where: str) -> None:
        try:
            cell, values = line[columns[0]], tuple(float(line[column]) for column in columns[1:])
        except ValueError:
            raise DataError(f"{where}: not a row of a cell and numbers: {','.join(line)[:200]!r}") from None
        if not all(map(math.isfinite, values)):
            raise DataError(f"{where}: a number is not finite: {','.join(line)[:200]!r}")
        if cell in rows:
            raise DataError(f"{where}: {cell[:200]!r} stands twice")
        rows[cell] = values


def _is_of(space: SearchSpace, cell: str) -> bool:
    try:
        space.parse(cell)
    except SpecError:
        return False
    return True
