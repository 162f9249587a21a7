"""Options that several commands share, so that they read the same everywhere."""

from typing import Annotated

import typer

from nanonas.completion import data_settings, runs, settings

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one key of the spec; the value is YAML. Repeatable.",
        autocompletion=settings,
    ),
]
SetData = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of data, such as data.root when the images have moved. Repeatable.",
        autocompletion=data_settings,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document; all else goes to stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only warnings and errors.")]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run directory; `-` reads it from the JSON on standard input.", autocompletion=runs
    ),
]
