"""nanonas eval"""

from typing import Annotated

import typer

from nanonas.cli import completion

from .options import Json, Quiet, SetData, Trust


def eval(  # the command's name
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL_FILE",
            help="A run directory or an exported file; `-`: stdin.",
            autocompletion=completion.runs,
        ),
    ],
    set_: SetData = None,
    trust: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Accuracy, calibration, latency and size of a trained run or an exported file, on the test images.

    Examples:

      nanonas eval runs/digits-evo-seed0

      nanonas eval runs/digits-evo-seed0/exports/model.onnx --json
    """
    from nanonas.cli import report
    from nanonas.cli.output import Output, run_argument

    output, path = Output(json, quiet), run_argument(target)
    from nanonas.finish.evaluate import evaluate  # torch

    output.result(evaluate(path, set_ or (), trust, output.say), report.eval_table)
