"""nanonas train"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .options import Json, Quiet, Run, Set, place


def train(
    run: Run,
    genotype: Annotated[str | None, typer.Option(metavar="TEXT", help="Train this one instead of the winner.")] = None,
    set_: Set = None,
    out: Annotated[Path | None, place("DIR", "Where the model goes; default: RUN.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train the winner from scratch on train + validation, and test it once.

    The same command goes on after the last saved epoch when it was stopped, and prints the result when it is done.

    Examples:

      nanonas train runs/digits-evo-seed0

      nanonas train runs/cifar10-evo-seed0 --set train.minutes=60 --out runs/longer
    """
    from nanonas.cli import report
    from nanonas.cli.output import Output, run_argument

    output, path = Output(json, quiet), run_argument(run)
    from nanonas.finish.train import train as train_winner  # torch

    try:
        with report.TrainView(output) as view:
            result = train_winner(path, genotype, set_ or (), out, view.say, view.update)
    except KeyboardInterrupt:
        words = ["nanonas", "train", str(path), *(["--genotype", genotype] if genotype else [])]
        words += [*(word for item in set_ or [] for word in ("--set", item)), *(["--out", str(out)] if out else [])]
        words += [*(["--json"] if json else []), *(["--quiet"] if quiet else [])]
        output.say(f"warning: interrupted. Go on after the last saved epoch with:\n  {shlex.join(words)}")
        raise
    output.result(result, report.train_table)
