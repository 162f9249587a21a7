"""What a command says: stdout is data, stderr is talk."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a terminal obeys, but for tab and newline


def printable(text: str) -> str:
    """Text from anywhere, in which nothing commands the terminal."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _printable_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {_printable_all(key): _printable_all(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_printable_all(one) for one in value]
    return printable(value) if isinstance(value, str) else value


class Output:
    """The two streams of a command.

    Args:
        as_json: stdout gets exactly one JSON document.
        quiet: stderr gets only errors, and what begins with "warning".
    """

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet

    @property
    def talk(self) -> "Console":
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    @property
    def is_live(self) -> bool:
        """Whether someone watches stderr, so that a line may be drawn again and again."""
        return not self.quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        if not self.quiet or text.startswith("warning"):
            self.talk.print(printable(text), markup=False, soft_wrap=True)

    def result(self, document: dict[str, Any], render: "Callable[[dict[str, Any]], RenderableType]") -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")  # ASCII: safe in any encoding
        else:
            from rich.console import Console, Group
            from rich.text import Text

            drawn = render(_printable_all(document))
            for part in drawn.renderables if isinstance(drawn, Group) else [drawn]:
                # a line of text is there to be copied: no width may break it
                Console(highlight=False).print(part, soft_wrap=isinstance(part, str | Text))
        sys.stdout.flush()


def typed_path(text: str | Path) -> Path:
    """As typed, with the home folder for `~`. Raises RunError where there is none."""
    from ..core.config import expanded

    try:
        return expanded(text)
    except ValueError as error:
        raise RunError(str(error)) from None


def run_argument(text: str) -> Path:
    """The path of a RUN argument; `-` reads it from the JSON that the command before the pipe printed."""
    if text != "-":
        return typed_path(text)
    try:
        document = json.loads(sys.stdin.buffer.read())  # bytes: it finds out which UTF they are
        run = document["run"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(
            "standard input holds no result: the command before the pipe failed, or lacks --json; "
            "for example: nanonas search --preset digits-evo --json | nanonas train - --json"
        ) from None
    return Path(str(run))
