"""nanonas export"""

from typing import Annotated

import typer

from nanonas.cli import completion

from .options import Json, Quiet, Run, SetData


def export(
    run: Run,
    format: Annotated[  # the option's name
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="onnx, torchscript, pt2 or executorch. Repeatable.",
            autocompletion=completion.formats,
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also a file in 8 bits, beside its float32 file. ONNX if no format has it.")
    ] = False,
    with_preprocessing: Annotated[
        bool, typer.Option("--with-preprocessing", help="Also a file that takes uint8 images and gives probabilities.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Keep an int8 file that loses more than a point of test accuracy.")
    ] = False,
    set_: SetData = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the trained network as a file that runs without nanonas, after checking that it computes the same.

    Examples:

      nanonas export runs/digits-evo-seed0 --format onnx

      nanonas export runs/digits-evo-seed0 --format onnx --format pt2 --int8 --with-preprocessing
    """
    from nanonas.cli import report
    from nanonas.cli.output import Output, run_argument

    output = Output(json, quiet)
    if not format and not int8:
        raise typer.BadParameter("give at least one, e.g. --format onnx", param_hint="--format")
    path = run_argument(run)
    from nanonas.finish.export import export as export_model  # torch

    document = export_model(
        path,
        format or (),
        int8,
        set_ or (),
        output.say,
        with_preprocessing=with_preprocessing,
        force=force,
    )
    output.result(document, report.export_table)
