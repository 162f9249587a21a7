"""nanonas eval"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from nanonas.cli import completion

from .options import Json, Quiet, SetData, Trust, place


def eval(  # the command's name
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL_FILE",
            help="A run directory or an exported file; `-`: stdin.",
            autocompletion=completion.runs,
        ),
    ],
    html: Annotated[Path | None, place("FILE", "Also write a self-contained page of its mistakes.")] = None,
    second_look: Annotated[
        bool,
        typer.Option(
            "--second-look",
            help="Also train five times more, as short as candidates, and name labels that may be wrong.",
        ),
    ] = False,
    set_: SetData = None,
    trust: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How good a trained run or an exported file is on the test images, class by class, and what it gets wrong.

    Examples:

      nanonas eval runs/digits-evo-seed0

      nanonas eval runs/digits-evo-seed0 --html mistakes.html
    """
    from nanonas.cli import report
    from nanonas.cli.output import Output, run_argument

    output, path = Output(json, quiet), run_argument(target)
    from nanonas.finish.evaluate import evaluate  # torch

    if not second_look:
        output.result(evaluate(path, set_ or (), trust, output.say, html), report.eval_table)
        return
    try:
        with report.TrainView(output, "second look") as view:
            result = evaluate(path, set_ or (), trust, view.say, html, second_look, view.update)
    except KeyboardInterrupt:
        words = ["nanonas", "eval", str(path), *(["--html", str(html)] if html else []), "--second-look"]
        words += [word for item in set_ or [] for word in ("--set", item)]
        words += [*(["--trust"] if trust else []), *(["--json"] if json else []), *(["--quiet"] if quiet else [])]
        output.say(f"warning: interrupted. Trainings that are done are kept; go on with:\n  {shlex.join(words)}")
        raise
    output.result(result, report.eval_table)
