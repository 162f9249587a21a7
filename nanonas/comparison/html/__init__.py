"""The report of compare: one file without network, light and dark, readable on a phone and in print.

Whatever comes from a spec, a journal or a folder's name is escaped where it enters the page; the script gets it as JSON
and writes it as text. The page allows exactly its own script and style, by their hashes, and no request at all.
"""

import base64
import csv
import hashlib
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from ...core.errors import RunError
from ...core.files import write_bytes
from ...runs.record import Groups
from .compared import Compared
from .sections import SECTIONS, headline, title
from .svg import Plot, read, standalone
from .trials import embedded

START = '<!doctype html>\n<html lang="en"><head><meta name="generator" content="nanonas">'


def write_report(path: Path, document: Mapping[str, Any], groups: Groups) -> None:
    """Writes the report of a comparison; an older report is replaced, any other file is not.

    Raises:
        RunError: the file is no report, or has no folder; a run's journal holds no genotypes of its space.
    """
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(START.encode())):
        raise RunError(f"{path} exists and is no report of nanonas; choose another --html")
    if not path.parent.is_dir():
        raise RunError(f"{path.parent} is no folder; choose another --html")
    write_bytes(path, report(document, groups).encode(errors="replace"))  # a folder's name need not be UTF-8


def report(document: Mapping[str, Any], groups: Groups) -> str:
    """The page. A run without trials is in the tables, and has no curve."""
    style, script = read("plots.css") + read("page.css"), read("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    compared = Compared(document, groups)
    parts = [section(compared) for section in SECTIONS]
    return "\n".join(
        [
            f'{START}<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>nanoNAS: {escape(title(document))}</title><style>{style}</style></head><body><main>",
            headline(document),
            *(f"<section>{''.join(part.content)}</section>" for part in parts if part.content),
            "<footer>Written by nanonas compare. This file is complete: it loads nothing, and asks nobody.</footer>",
            f'</main><script type="application/json" id="data">{embedded(compared)}</script>',
            f"<script>{script}</script></body></html>\n",
        ]
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


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
