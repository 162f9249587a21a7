"""trials.jsonl: the record is the state."""

import errno
import json
import os
from functools import cached_property
from io import FileIO
from pathlib import Path

from pydantic import ValidationError

from ..core.errors import RunError
from ..core.files import check_version, first_problem, read_bytes
from ..core.trial import Line, Trial, line_of

MAX_BYTES = 2_000_000_000  # some four million trials


class Journal:
    """trials.jsonl: a line is on disk before anyone learns of it. A torn last line is cut off, any other is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = read_bytes(path, MAX_BYTES) if path.exists() else b""
        self._end = data.rfind(b"\n") + 1  # what follows the last newline was never finished
        self.lines = self._parsed(data[: self._end])

    def _parsed(self, whole: bytes) -> list[Line]:
        lines: list[Line] = []
        for number, text in enumerate(whole.splitlines(keepends=True), 1):
            try:
                line = Line.model_validate_json(text)
            except ValidationError as error:
                check_version(self.path, error)
                raise RunError(f"{self.path}:{number}: not a trial: {first_problem(error)}") from None
            if line.trial != len(lines):
                raise RunError(f"{self.path}:{number}: trial {line.trial} stands where trial {len(lines)} belongs")
            lines.append(line)
        return lines

    def append(self, trial: Trial) -> None:
        """One write, then fsync. On a full disk the half line is cut off again, and the error goes on."""
        text = (json.dumps(line_of(trial), allow_nan=False) + "\n").encode()
        file = self._file
        try:
            if (file.write(text) or 0) < len(text):
                raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
            os.fsync(file)
        except OSError:
            file.truncate(self._end)
            file.seek(self._end)
            raise
        self._end += len(text)

    @cached_property
    def _file(self) -> FileIO:
        """Opened for the first new line, at the end of the whole ones: a torn line of an earlier death is cut off."""
        file = FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
        file.truncate(self._end)
        file.seek(self._end)
        return file

    def close(self) -> None:
        if "_file" in self.__dict__:
            self._file.close()
