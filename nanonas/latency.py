"""latency.json: what operators take on this machine; so how fast a network would be, the same whenever it is asked."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .environment import cpu
from .errors import RunError
from .program import Program, Shape
from .run_directory import document, read_json, write_json
from .runtime import kernels_ms, measured_ms
from .trial import LARGEST

FUSED = ("Conv+Add", "Conv+Relu", "Conv+Add+Relu", "BatchNormalization+Relu", "Gemm+Relu", "Gemm+Sigmoid")
"""What onnxruntime computes in one kernel, where nothing else needs what lies between."""

Milliseconds = Annotated[float, Field(ge=0, le=LARGEST)]


class _File(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    cpu: str
    onnxruntime: str
    operators: dict[str, Milliseconds] = {}
    networks: dict[str, Milliseconds] = {}


class Operator(NamedTuple):
    """What runs as one kernel: `text` is the same where the time is, `values` are those that it computes."""

    text: str
    values: tuple[int, ...]


class Latency:
    """Milliseconds of a folded program, one image on one thread: the sum of what its operators take.

    An operator is timed once, in the first network that has it, where caches and layouts are as they will be. From then
    on the table has it, in the file before anyone learns of it: so a search goes on with the numbers it began with, and
    neither its neighbours nor noise make one of two equal networks the faster one.

    Args:
        path: the file; None, or before `keep`: nothing is written.
    """

    def __init__(
        self,
        path: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        kernels_ms: Callable[[Program], tuple[float, list[float]]] = kernels_ms,
        measured_ms: Callable[[Program], float] = measured_ms,
    ) -> None:
        self._path, self._say, self._kept = path, say, False
        self._kernels_ms, self._measured_ms = kernels_ms, measured_ms
        self._table = _File(cpu=cpu(), onnxruntime=version("onnxruntime"))
        self._read()

    def keep(self) -> None:
        """From now on the file has everything. The run directory is there, and no other process writes to it.

        Raises:
            RunError: the file is damaged.
        """
        here = self._table.model_copy()
        self._read()
        self._kept = True
        if (here.cpu, here.onnxruntime) != (self._table.cpu, self._table.onnxruntime):
            self._say(
                f"warning: {self._path} tells of {self._table.cpu}, onnxruntime {self._table.onnxruntime}; this is "
                f"{here.cpu}, onnxruntime {here.onnxruntime}: what is timed from now on does not compare"
            )
        self._write()

    def __call__(self, program: Program) -> float:
        found, known = operators(program), self._table.operators
        if any(operator.text not in known for operator in found):
            self._learn(program, found)
        return round(sum(known[operator.text] for operator in found), 4)

    def measured(self, name: str, program: Program) -> float:
        """Measured, not predicted; once for each name."""
        if name not in self._table.networks:
            self._table.networks[name] = self._measured_ms(program)
            self._write()
        return self._table.networks[name]

    def _learn(self, program: Program, found: list[Operator]) -> None:
        """What kernels take, and of the rest of the network's time, which is that between them, an equal share each."""
        total, times = self._kernels_ms(program)
        rest = (total - sum(times)) / len(found)
        taken: dict[str, list[float]] = {}
        for text, values in found:
            taken.setdefault(text, []).append(sum(times[value] for value in values) + rest)
        means = {text: round(max(0.0, fmean(each)), 6) for text, each in taken.items()}
        self._table.operators.update({text: ms for text, ms in means.items() if text not in self._table.operators})
        self._write()

    def _read(self) -> None:
        """What the file has goes before what was timed before it was read."""
        if self._path is None or not self._path.exists():
            return
        try:
            there = _File.model_validate(read_json(self._path))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise RunError(f"{self._path} is damaged: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
        there.operators = {**self._table.operators, **there.operators}
        self._table = there

    def _write(self) -> None:
        if self._kept and self._path is not None and (self._table.operators or self._table.networks):
            write_json(self._path, document("latency", self._path.parent, **self._table.model_dump()))


def operators(program: Program) -> list[Operator]:
    """A folded program as what onnxruntime makes of it, in order."""
    names: list[str] = []
    values: list[tuple[int, ...]] = []
    place: dict[int, int] = {}  # of the operator that ends with a value
    for value, node in enumerate(program.nodes[1:], 1):
        before = [place[i] for i in node.inputs if i in place and program.users[i] == 1]
        joined = next((i for i in before if f"{names[i]}+{node.op}" in FUSED), None)
        if joined is None:
            joined = len(names)
            names.append(node.op)
            values.append((value,))
        else:
            names[joined] += f"+{node.op}"
            values[joined] += (value,)
        place[value] = joined
    return [
        Operator(_text(program, name, first), (first, *more))
        for name, (first, *more) in zip(names, values, strict=True)
    ]


def _text(program: Program, name: str, value: int) -> str:
    """`Conv+Relu 24x32x32 16x24x3x3 16 strides=(2,2) …`: shapes of inputs and weights, then attributes."""
    node = program.nodes[value]
    shapes = [*map(program.shape, node.inputs), *node.weights]
    return " ".join([name, *map(_dims, shapes), *(f"{key}={given}".replace(" ", "") for key, given in node.attributes)])


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape))
