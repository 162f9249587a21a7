"""latency.json: what operators take on this machine; so how fast a network would be, the same whenever it is asked."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from ..core.files import document, read, write_json
from ..core.program import Program, Shape
from ..core.say import Say
from ..core.trial import LARGEST
from ..core.version import version
from . import runtime
from .environment import cpu

FUSED = ("Conv+Add", "Conv+Relu", "Conv+Add+Relu", "BatchNormalization+Relu", "Gemm+Relu", "Gemm+Sigmoid")
"""What onnxruntime computes in one kernel, where nothing else needs what lies between."""

CALL = "call"  # what every run takes beside its operators

Milliseconds = Annotated[float, Field(ge=0, le=LARGEST)]


class _File(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    cpu: str
    onnxruntime: str | None
    operators: dict[str, Milliseconds] = {}
    networks: dict[str, Milliseconds] = {}


class Operator(NamedTuple):
    """What runs as one kernel: `text` is the same where the time is, `values` are those that it computes."""

    text: str
    values: tuple[int, ...]


class Latency:
    """Milliseconds of a folded program, one image on one thread: the sum of what its operators take.

    An operator is timed once, in the first network that has it, where caches and layouts are as they will be. From then
    on the table has it, in the file before anyone learns of it: so neither noise nor what else the machine does chooses
    between two networks, and a search that is resumed goes on with the same numbers.

    Args:
        path: the file; None, or before `keep`: nothing is written.
    """

    def __init__(self, path: Path | None = None, say: Say = lambda text: None) -> None:
        self._path, self._say, self._kept = path, say, False
        self._here = (cpu(), version("onnxruntime"))
        self._table = _File(cpu=self._here[0], onnxruntime=self._here[1])
        self._read()

    def keep(self) -> None:
        """From now on the file has everything. The run directory is there, and no other process writes to it.

        Raises:
            RunError: the file is damaged.
        """
        self._read()
        self._kept = True
        there = (self._table.cpu, self._table.onnxruntime)
        if there != self._here:
            told, here = (f"{processor}, onnxruntime {runs}" for processor, runs in (there, self._here))
            self._say(f"warning: {self._path} tells of {told}; this is {here}: what is timed now does not compare")
        self._write()

    def __call__(self, program: Program) -> float:
        found, known = operators(program), self._table.operators
        texts = [CALL, *(operator.text for operator in found)]
        if any(text not in known for text in texts):
            self._learn(program, found)
        return round(sum(known[text] for text in texts), 4)

    def measured(self, program: Program) -> float:
        """Measured, not predicted; once for each program."""
        key = sha256(repr(program.nodes).encode()).hexdigest()[:16]
        if key not in self._table.networks:
            self._table.networks[key] = runtime.measured_ms(program)
            self._write()
        return self._table.networks[key]

    def _learn(self, program: Program, found: Sequence[Operator]) -> None:
        times, known = runtime.kernels_ms(program), self._table.operators
        known.setdefault(CALL, round(runtime.overhead_ms()[0], 6))
        taken: dict[str, list[float]] = {}
        for text, values in found:
            taken.setdefault(text, []).append(sum(times[value] for value in values))
        for text, each in taken.items():
            known.setdefault(text, round(fmean(each), 6))
        self._write()

    def _read(self) -> None:
        """What the file has goes before what was timed before it was read."""
        there = read(self._path, _File) if self._path else None
        if there:
            there.operators = {**self._table.operators, **there.operators}
            self._table = there

    def _write(self) -> None:
        if self._kept and self._path is not None and (self._table.operators or self._table.networks):
            write_json(self._path, document("latency", self._path.parent, **self._table.model_dump()))


def operators(program: Program) -> list[Operator]:
    """A folded program as what onnxruntime makes of it, in order."""
    found: list[tuple[str, tuple[int, ...]]] = []
    place: dict[int, int] = {}  # of the operator that computes a value
    for value, node in enumerate(program.nodes[1:], 1):
        before = [place[i] for i in node.inputs if i in place and program.users[i] == 1]
        joined = next((i for i in before if f"{found[i][0]}+{node.op}" in FUSED), None)
        if joined is None:
            place[value] = len(found)
            found.append((node.op, (value,)))
        else:
            name, values = found[joined]
            place[value] = joined
            found[joined] = f"{name}+{node.op}", (*values, value)
    return [Operator(_text(program, name, values[0]), values) for name, values in found]


def _text(program: Program, name: str, value: int) -> str:
    """`Conv+Relu 24x32x32 16x24x3x3 16 strides=(2,2) …`: shapes of inputs and weights, then attributes."""
    node = program.nodes[value]
    shapes = [*map(program.shape, node.inputs), *node.weights]
    return " ".join([name, *map(_dims, shapes), *(f"{key}={given}".replace(" ", "") for key, given in node.attributes)])


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape))
