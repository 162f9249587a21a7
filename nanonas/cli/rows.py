"""Predictions as rows of a CSV, on disk as they come."""

import csv
import io
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ..core.errors import RunError
from ..data.chosen import FORMULA
from ..models.prediction import Prediction

COLUMNS = (
    *("path", "class", "probability", "most_probable", "second", "second_probability"),
    *("third", "third_probability", "error"),
)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # what a spreadsheet may have put before the header


class RowFile:
    """A CSV (RFC 4180, UTF-8) that holds whole rows whenever it is looked at, also after a full disk.

    What a path holds that is no UTF-8 is written as an escape. A class or a reason that a spreadsheet would compute
    begins with an apostrophe, unless it is a number; a path begins with `./` then (`data.chosen`).
    """

    def __init__(self, path: Path) -> None:
        """Raises RunError when there is a file that is no such table."""
        self.path = path
        self.count = 0
        self._bytes = 0
        if path.is_dir():
            raise RunError(f"{path} is a folder; name a file, such as {path / 'out.csv'}")
        if path.exists() and stat.S_ISREG(path.stat().st_mode) and path.stat().st_size:
            with path.open("rb") as file:
                first = file.readline(1000).removeprefix(BYTE_ORDER_MARK).rstrip(b"\r\n")
            if first != _text([COLUMNS]).rstrip(b"\r\n"):
                raise RunError(f"{path} exists and is no table of nanonas predict; choose another name")

    def __enter__(self) -> Self:
        self._file = self.path.open("wb", buffering=0)
        self._write(_text([COLUMNS]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, predictions: Sequence[Prediction]) -> None:
        self._write(_text(_cells(prediction) for prediction in predictions))
        self.count += len(predictions)

    def _write(self, data: bytes) -> None:
        """All of it or, on a full disk, none."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            with suppress(OSError):  # a pipe
                os.ftruncate(self._file.fileno(), self._bytes)
            if error.filename is None:
                error.filename = str(self.path)
            raise
        self._bytes += len(data)


def _cells(prediction: Prediction) -> list[str]:
    top = [cell for name, probability in prediction.top for cell in (_inert(name), f"{probability:.6f}")]
    best, probability, *others = [*top, *[""] * (6 - len(top))]
    answer = _inert(prediction.answer or "")
    return [prediction.path, answer, probability, best, *others, _inert(prediction.error or "")]


def _inert(text: str) -> str:
    if not text.startswith(FORMULA):
        return text
    with suppress(ValueError):
        float(text)
        return text
    return f"'{text}"


def _text(rows: Iterable[Sequence[str]]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)  # ends lines with CR LF, so that a bare one of either is quoted
    return file.getvalue().encode(errors="backslashreplace")
