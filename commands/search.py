"""nanonas search"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from nanonas.cli import completion

from .options import Json, Quiet, Set, place


def search(
    preset: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A preset; `nanonas presets` lists them.", autocompletion=completion.presets),
    ] = None,
    spec: Annotated[Path | None, place("FILE", "A spec of your own, in YAML.")] = None,
    set_: Set = None,
    out: Annotated[Path | None, place("DIR", "Default: runs/<name>-seed<seed>.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Worker processes; default: one a core, at most executor.lookahead."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure one evaluation, estimate the rest, stop.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for an architecture.

    The same command on a run directory that exists goes on where it stopped; no finished trial is lost on Ctrl-C.

    Examples:

      nanonas search --preset digits-evo

      nanonas search --preset cifar10-evo --set budget.minutes=20 --dry-run

    Your own images, in photos/CLASS/*: nanonas search --preset folder-evo --set data.root=photos
    """
    from nanonas.cli import report
    from nanonas.cli.output import Output
    from nanonas.core.files import read_json
    from nanonas.engine.search import search as trials_of
    from nanonas.runs.directory import default_run
    from nanonas.spec.load import load_spec

    output = Output(json, quiet)
    if (preset is None) == (spec is None):
        names = "both --preset and --spec are given" if preset else "neither --preset nor --spec is given"
        raise typer.BadParameter(f"{names}; give one, e.g. nanonas search --preset digits-evo", param_hint="--preset")
    if preset is not None:
        from nanonas.spec.load import preset_path

        spec = preset_path(preset)
    assert spec is not None
    loaded = load_spec(spec, [*(set_ or []), *([f"executor.workers={workers}"] if workers else [])])
    if dry_run:
        from nanonas.engine.planning import plan

        output.result(plan(loaded, output.say), report.plan_table)
        return
    run = out or default_run(loaded)
    words = ["nanonas", "search", *(["--preset", preset] if preset else ["--spec", str(spec)])]
    words += [word for item in set_ or [] for word in ("--set", item)]
    words += [*(["--out", str(out)] if out else []), *(["--workers", str(workers)] if workers else [])]
    words += [*(["--json"] if json else []), *(["--quiet"] if quiet else [])]
    again = f"the journal is safe. Go on with:\n  {shlex.join(words)}"
    try:
        with report.SearchView(loaded, run, output) as view:
            for trial in trials_of(loaded, run, view.say):
                view.update(trial)
    except KeyboardInterrupt as stop:
        output.say(f"warning: {str(stop) or 'interrupted'}; {again}")
        raise
    except OSError:  # a full disk, a mount that became read-only
        if (run / "spec.yaml").exists():
            output.say(f"warning: stopped; {again}")
        raise
    output.result(read_json(run / "search.json"), report.search_table)
