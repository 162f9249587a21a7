"""What a shell completes: presets, runs, formats, keys and values of a spec. `nanonas --install-completion`.

Imports only what it needs, where it needs it: a shell asks at every press of Tab.
"""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from ..spec.schema import Spec

VARIABLE = "_NANONAS_COMPLETE"  # typer sets it to the shell that asks
MOST = 200  # run directories


def presets(incomplete: str) -> list[str]:
    from .. import presets as package

    names = sorted(path.stem for folder in package.__path__ for path in Path(folder).glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def formats(incomplete: str) -> list[str]:
    from ..exporters import EXPORTERS

    return [name for name in EXPORTERS if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Run directories that begin so, also one folder further down."""
    end = incomplete.rfind("/") + 1
    try:
        return list(islice(_runs(incomplete[:end], incomplete[end:]), MOST))
    except (OSError, RuntimeError):  # the home of nobody
        return []


def _runs(folder: str, name: str) -> Iterator[str]:
    for path in sorted(Path(folder or ".").expanduser().iterdir()):
        if path.name.startswith(name) and (name or not path.name.startswith(".")) and path.is_dir():
            if (path / "spec.yaml").is_file():
                yield f"{folder}{path.name}"
            elif os.access(path, os.R_OK):
                inside = sorted(run.parent.name for run in path.glob("*/spec.yaml"))
                yield from (f"{folder}{path.name}/{run}" for run in inside)


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """KEY=VALUE of the spec that the command line names so far: keys first, then the values of one key."""
    from ..spec.schema import flat

    spec = _spec(ctx.params)
    content = flat(spec.model_dump(mode="json"))
    keys = [key for key in content if key.startswith(incomplete.partition("=")[0])]
    if "=" not in incomplete and len(keys) != 1:
        return [f"{key}=" for key in keys]
    key, _, value = incomplete.partition("=")
    key = key if "=" in incomplete else keys[0]
    if key not in content:
        return []
    options = _options(spec, key) or [json.dumps(content[key])]
    found = [f"{key}={option}" for option in options if option.startswith(value)]
    return found if "=" in incomplete else [f"{key}=", *found]  # with both, a shell stops behind the sign


def data_settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Those of the data, which is all that may differ once a network is trained."""
    return [setting for setting in settings(ctx, incomplete) if setting.startswith("data.")]


def _spec(given: dict[str, Any]) -> "Spec":
    """Of the preset, file or run that was given, with what was set before; any spec when there is none yet."""
    from ..core.errors import NanonasError
    from ..spec.load import load_spec, override_spec
    from ..spec.schema import Budget, Spec

    source: str | Path | None = given.get("preset")
    if given.get("spec"):
        source = Path(given["spec"])
    elif run := given.get("run") or given.get("target"):
        source = Path(run) / "spec.yaml"
    try:
        spec = load_spec(source) if source else Spec(name="any", budget=Budget(trials=1000))
        for override in given.get("set_") or ():
            spec = override_spec(spec, [override])
    except (NanonasError, OSError):
        return Spec(name="any", budget=Budget(trials=1000))
    return spec


def _options(spec: "Spec", key: str) -> Sequence[str]:
    """The values that a key can have, where there are few."""
    from ..data.dataset import DATASETS
    from ..spec.schema import SECTIONS

    section, _, name = key.partition(".")
    if name == "name":
        return list(SECTIONS.get(section, DATASETS))
    owner: Any = spec
    *path, last = key.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    field = getattr(type(owner), "model_fields", {}).get(last)
    if field is None:
        return []
    if get_origin(field.annotation) is Literal:
        return list(map(str, get_args(field.annotation)))
    return ("true", "false") if field.annotation is bool else ()


def asked_by_bash() -> bool:
    return os.environ.get(VARIABLE) == "complete_bash"


def complete_in_bash(answer: Callable[[], None]) -> None:
    """Prints what `answer` prints, for bash: it takes `=` for the end of a word, and wants spaces escaped."""
    words, place = os.environ["COMP_WORDS"].split("\n"), int(os.environ["COMP_CWORD"])
    words = words[: place + 1] if place < len(words) else [*words, ""]
    joined = re.sub("\n?=\n?", "=", "\n".join(words)).split("\n")
    os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(len(joined) - 1)}
    typed = joined[-1].rpartition("=")
    with redirect_stdout(io.StringIO()) as said, suppress(SystemExit):
        answer()
    for line in said.getvalue().splitlines():
        sys.stdout.write(re.sub(r"([^\w@%+=:,./-])", r"\\\1", line.removeprefix(f"{typed[0]}{typed[1]}")) + "\n")
