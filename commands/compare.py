"""nanonas compare"""

from pathlib import Path
from typing import Annotated

import typer

from nanonas.cli import completion

from .options import Json, place


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…",
            help="Run directories; those that differ in their seed only form a group.",
            autocompletion=completion.runs,
        ),
    ],
    html: Annotated[Path | None, place("FILE", "Also write a self-contained report.")] = None,
    plots: Annotated[Path | None, place("DIR", "Also write every plot as SVG, and its numbers as CSV.")] = None,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Compare runs of other data, split, space or budget all the same.")
    ] = False,
    json: Json = False,
) -> None:
    """Put runs side by side, and name a winner only when a test supports it.

    Examples:

      nanonas compare runs/cifar10-evo-seed0 runs/cifar10-random-seed0

      nanonas compare runs/cifar10-*-seed* --html report.html
    """
    from nanonas.cli.output import Output, run_argument
    from nanonas.comparison.compare import compare as compare_runs
    from nanonas.comparison.verdict import renderable

    output = Output(json)
    output.result(compare_runs([run_argument(run) for run in runs], html, allow_mismatch, plots), renderable)
