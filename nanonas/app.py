"""The command line: assembles commands/, and turns a user's mistake into one line and an exit code."""

import io
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .cli.completion import asked_by_bash, complete_in_bash
from .cli.output import printable, typed_path
from .core.errors import NanonasError
from .devices.machine import affinity, cores


class Terminated(KeyboardInterrupt):
    """SIGTERM: the same as Ctrl-C, but for the exit code."""


class _Interruption:
    """The first signal ends the command in good order; another one does so at once, if that takes over a second."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self, number: int, frame: object) -> None:
        if self._since is None:
            self._since = time.monotonic()
            raise Terminated("terminated") if number == signal.SIGTERM else KeyboardInterrupt
        if time.monotonic() - self._since > 1:
            os._exit(128 + number)


class _Flags:
    """A flag takes no value, so its help names none."""

    def get_params(self, ctx: Any) -> list[Any]:
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return found


class Command(_Flags, TyperCommand):
    """One of the seven."""


class Commands(_Flags, TyperGroup):
    """Exit codes: 0 done, 1 the user's mistake or a failed check, 2 usage, 130 Ctrl-C, 143 SIGTERM; a bug keeps its
    trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except NanonasError as error:
            typer.echo(f"error: {printable(str(error))}", err=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains again at exit
        except OSError as error:
            if error.filename is None and error.strerror is None:
                raise
            typer.echo(f"error: {printable(_explain(error))}", err=True)
        except Terminated as stop:
            typer.echo(stop, err=True)
            raise typer.Exit(128 + signal.SIGTERM) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(128 + signal.SIGINT) from None
        raise typer.Exit(1)


def _explain(error: OSError) -> str:
    import errno
    import shlex

    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left on the disk{where}; nothing finished is lost: free some, then type the same command again"
        )
    if error.errno == errno.EROFS:
        return f"{error.strerror}{where}; choose a place on a disk that can be written to"
    if isinstance(error, PermissionError) and error.filename:
        place = error.filename if os.path.lexists(error.filename) else str(Path(error.filename).parent)
        return f"{error.strerror}{where}; to see whose it is, type: ls -ld {shlex.quote(place)}"
    return f"{error.strerror}{where}"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nanonas {version('nanonas')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def nanonas(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Finds a small, accurate image classifier, and hands it over as a file that runs anywhere.

    Start with: nanonas search --preset digits-evo

    Then: nanonas train runs/digits-evo-seed0
    """


def _assemble() -> None:
    from .commands import compare, eval, export, predict, presets, search, train

    for module in (search, train, eval, export, predict, compare, presets):
        name = module.__name__.rpartition(".")[2]
        app.command(name, cls=Command)(_with_homes(getattr(module, name)))


def _with_homes(command: Callable[..., None]) -> Callable[..., None]:
    """The command, for which `~` is the home folder also in `--out=~/x`, where no shell sees it."""

    @wraps(command)
    def called(**given: Any) -> None:
        command(**{name: typed_path(value) if isinstance(value, Path) else value for name, value in given.items()})

    return called


_assemble()


def _open_streams() -> None:
    """A standard stream that was closed, as by some daemons, becomes the null device: else it is None, and the next
    pipe or file gets its number, and all that is written to it."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def main() -> None:
    _open_streams()
    if cores() < affinity():  # which is all that the libraries below numpy know of
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without − or ─ shows a ? instead of a traceback
    if asked_by_bash():
        complete_in_bash(lambda: app(prog_name="nanonas"))
        return
    interruption = _Interruption()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interruption)
    try:
        app(prog_name="nanonas")
    except OSError as error:  # of --help and --version, which are no command: standard output is full
        if error.strerror is None:
            raise
        typer.echo(f"error: {printable(_explain(error))}", err=True)
        raise SystemExit(1) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # all is done but for Python's own end
            signal.signal(number, signal.SIG_IGN)
