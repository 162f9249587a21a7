"""The report of compare. Its script gets what comes from outside as JSON, and writes it as text."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import RunError
from ...core.files import write_bytes
from ...pages import page, write_page
from ...pages.svg import Plot, standalone
from ...runs.record import Groups
from .compared import Compared
from .sections import SECTIONS, headline, title
from .trials import embedded


def write_report(path: Path, document: Mapping[str, Any], groups: Groups) -> None:
    """Writes the report of a comparison; an older report is replaced, any other file is not.

    Raises:
        RunError: the file is no report, or has no folder; a run's journal holds no genotypes of its space.
    """
    write_page(path, report(document, groups))


def report(document: Mapping[str, Any], groups: Groups) -> str:
    """The page. A run without trials is in the tables, and has no curve."""
    compared = Compared(document, groups)
    parts = [section(compared) for section in SECTIONS]
    return page(
        title=title(document),
        header=headline(document),
        sections=["".join(part.content) for part in parts if part.content],
        command="compare",
        script=Path(__file__).with_name("page.js").read_text(encoding="utf-8"),
        data=embedded(compared),
    )


def write_plots(folder: Path, document: Mapping[str, Any], groups: Groups) -> None:
    """Each plot of the report as NAME.svg and NAME.csv.

    Raises:
        RunError: `folder` is a file, or lies in no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is no folder; choose another --plots")
    if not folder.absolute().parent.is_dir():
        raise RunError(f"{folder.parent} is no folder; choose another --plots")
    folder.mkdir(exist_ok=True)
    compared = Compared(document, groups)
    for plot in (plot for section in SECTIONS for plot in section(compared).plots):
        write_bytes(folder / f"{plot.name}.svg", standalone(plot).encode(errors="replace"))
        write_bytes(folder / f"{plot.name}.csv", _csv(plot).encode(errors="replace"))


def _csv(plot: Plot) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(plot.columns)
    writer.writerows(plot.rows)
    return lines.getvalue()
