"""nanonas presets"""

import sys
from typing import Annotated

import typer

from nanonas.cli import completion


def presets(
    name: Annotated[
        str | None, typer.Argument(help="Print this preset's YAML.", autocompletion=completion.presets)
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a spec.")] = False,
) -> None:
    """List the presets, print one, or print the schema of a spec.

    Examples:

      nanonas presets

      nanonas presets cifar10-evo > my.yaml
    """
    from nanonas.spec.load import preset_path
    from nanonas.spec.schema import Spec

    if schema:
        import json

        sys.stdout.write(json.dumps(Spec.model_json_schema(), indent=2) + "\n")
    elif name is not None:
        sys.stdout.write(preset_path(name).read_text(encoding="utf-8"))
    else:
        from rich.console import Console

        from nanonas.cli.report import presets_table

        Console(highlight=False).print(presets_table())
