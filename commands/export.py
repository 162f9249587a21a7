"""nanonas export"""

from typing import Annotated

import typer

from .options import Json, Quiet, Run, Set


def export(
    run: Run,
    format: Annotated[  # the option's name
        list[str] | None, typer.Option("--format", metavar="NAME", help="onnx, torchscript or pt2. Repeatable.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also write an ONNX file quantized to 8 bits.")] = False,
    set_: Set = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the trained network as a file that runs without nanonas, after checking that it computes the same.

    Examples:

      nanonas export runs/digits-evo-seed0 --format onnx

      nanonas export runs/digits-evo-seed0 --format onnx --format pt2 --int8
    """
    from nanonas import report
    from nanonas.exporting import export as export_model
    from nanonas.output import Output, run_argument

    output = Output(json, quiet)
    if not format and not int8:
        raise typer.BadParameter("give at least one, e.g. --format onnx", param_hint="--format")
    output.result(export_model(run_argument(run), format or (), int8, set_ or (), output.say), report.export_table)
