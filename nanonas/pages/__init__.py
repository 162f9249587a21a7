"""HTML pages: one file without network, light and dark, readable on a phone and in print.

Whatever comes from outside is escaped where it enters a page. A page allows exactly its own style and script, by their
hashes, and no request at all.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..core.errors import RunError
from ..core.files import write_bytes
from .svg import read

START = '<!doctype html>\n<html lang="en"><head><meta name="generator" content="nanonas">'


def check_page(path: Path) -> None:
    """Raises RunError where no page can be written: only an older page is replaced, and a folder must be there."""
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(START.encode())):
        raise RunError(f"{path} exists and is no report of nanonas; choose another --html")
    if not path.parent.is_dir():
        raise RunError(f"{path.parent} is no folder; choose another --html")


def write_page(path: Path, content: str) -> None:
    """Raises RunError as `check_page` does."""
    check_page(path)
    write_bytes(path, content.encode(errors="replace"))  # a folder's name need not be UTF-8


def page(
    title: str,
    header: str,
    sections: Sequence[str],
    command: str,
    style: str = "",
    script: str | None = None,
    data: str = "",
    pictures: bool = False,
) -> str:
    """The whole page.

    Args:
        header, sections: HTML.
        command: that wrote it.
        style: more CSS than all pages share.
        script: what it runs on `data`, which is JSON in which every < is escaped.
        pictures: whether it holds any.
    """
    style = read("plots.css") + read("page.css") + style
    policy = ["default-src 'none'", f"style-src {_hash(style)}"]
    policy += [f"script-src {_hash(script)}"] if script is not None else []
    policy += ["img-src data:"] if pictures else []
    policy += ["base-uri 'none'", "form-action 'none'"]
    end = ""
    if script is not None:
        end = f'<script type="application/json" id="data">{data}</script>\n<script>{script}</script>'
    return "\n".join(
        [
            f'{START}<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">',
            f"<title>nanoNAS: {escape(title)}</title><style>{style}</style></head><body><main>",
            header,
            *(f"<section>{section}</section>" for section in sections),
            f"<footer>Written by nanonas {command}. This file is complete: it loads nothing, and asks nobody.</footer>",
            f"</main>{end}</body></html>\n",
        ]
    )


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
