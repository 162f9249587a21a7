"""What the sections of a page are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..core.numbers import points
from .svg import Plot, colour


@dataclass(frozen=True)
class Section:
    """HTML, and the plots in it; empty when there is nothing to say."""

    content: Sequence[str] = ()
    plots: Sequence[Plot] = ()


class Markup(str):
    """HTML that is ready; any other text is escaped."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], label: str, numbers: Iterable[int] = ()) -> str:
    """`numbers` are the columns that are aligned to the right."""
    kinds = [' class="number"' if column in set(numbers) else "" for column in range(len(heads))]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{_html(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return wide(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", label)


def wide(content: str, label: str) -> str:
    """What may be wider than the screen scrolls by itself, with the keyboard too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">{content}</div>'


def figure(plot: Plot, heading: bool = False) -> str:
    names = "".join(f'<li><span class="{colour(group)}"></span>{escape(name)}</li>' for group, name in plot.legend)
    parts = [
        f"<h3>{escape(plot.title)}</h3>" if heading else "",
        f'<ul class="legend">{names}</ul>' if names else "",
        plot.svg,
        f"<figcaption>{escape(plot.note)}</figcaption>" if plot.note else "",
    ]
    return f"<figure>{''.join(parts)}</figure>"


def note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'


def details(summary: str, content: str, is_open: bool = False) -> str:
    return f"<details{' open' * is_open}><summary>{escape(summary)}</summary>{content}</details>"


def copyable(text: str, name: str, label: str) -> str:
    """A text to copy, with a button where a script runs; `name` is its id."""
    return f'<pre id="{name}">{escape(text)}</pre><p>{copy_button(name, label)}</p>'


def copy_button(name: str, label: str) -> str:
    return f'<button type="button" class="script" hidden data-copy="{name}">{label}</button>'


def interval(found: Sequence[float] | None) -> str:
    return f"{points(found[0])} to {points(found[1])}" if found else "–"


def _html(text: str) -> str:
    return text if isinstance(text, Markup) else escape(text)
