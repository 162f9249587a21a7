"""Options that several commands share, so that they read the same everywhere."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from nanonas.cli.completion import data_settings, runs, settings


def _set(help: str, completed: Callable[[typer.Context, str], list[str]]) -> Any:
    return typer.Option("--set", metavar="KEY=VALUE", help=f"{help} Repeatable.", autocompletion=completed)


def place(metavar: str, help: str) -> Any:
    """An option that names a file or a folder; whether it may be read is found out, and said, where it is."""
    return typer.Option(metavar=metavar, readable=False, help=help)


Set = Annotated[
    list[str] | None,
    _set("Change one key of the spec (nanonas presets --schema); the value is YAML.", settings),
]
SetData = Annotated[
    list[str] | None, _set("Change a key of data, such as data.root when the images have moved.", data_settings)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document; all else goes to stderr.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Load a .ts, .pt2 or .pte from elsewhere, though it can hold code.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and errors.")]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run directory; `-` reads it from the JSON on standard input.", autocompletion=runs
    ),
]
