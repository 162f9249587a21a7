"""The trials of a report: the best as a table, all as JSON for the script that sorts, filters and points at them."""

import json
import math
from functools import partial
from html import escape
from typing import Any

from ...core.numbers import count, duration
from ...core.trial import Line
from ...pages.parts import Section, note, wide
from .compared import Compared, Run
from .plots import sized

EMBEDDED = 20_000
"""Trials in a page, the best of them all: more would open slowly, and nobody scrolls that far."""
STATIC_ROWS = 20  # of the table where no script runs
MAX_ERROR = 300  # characters of a failed trial's reason
COLUMNS = ("run", "trial", "score", "params", "MACs", "fidelity", "after", "genotype")  # in the order of page.js
SCORE = COLUMNS.index("score")


def embedded(compared: Compared) -> str:
    """JSON that may stand in a script element: it has no `<`, so that nothing in it ends the element."""
    trials = best_trials(compared)
    places = {(run.number, line.trial): place for place, (run, line) in enumerate(trials)}
    dots = [places.get((run.number, line.trial)) for run, line in sized(compared)]
    fidelities: dict[str, int] = {}
    content = {
        "runs": [run.entry["run"] for run in compared.runs],
        "percent": compared.is_fraction,
        "trials": [_row(compared, run, line, fidelities) for run, line in trials],
        "fidelities": list(fidelities),
        "dots": sorted(place for place in dots if place is not None),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def best_trials(compared: Compared) -> list[tuple[Run, Line]]:
    """The trials that the page holds, best first; those of lower fidelity come after those of the highest."""
    scored = {(run.number, line.trial) for run, line in compared.scored}

    def order(run: Run, line: Line) -> tuple[bool, float]:
        worst = -math.inf if compared.larger_is_better else math.inf
        value = line.metrics.get(compared.metric, worst)
        return (run.number, line.trial) not in scored, -value if compared.larger_is_better else value

    every = [(run, line) for run in compared.runs for line in run.record.lines]
    return sorted(every, key=lambda trial: order(*trial))[:EMBEDDED]


def _row(compared: Compared, run: Run, line: Line, fidelities: dict[str, int]) -> list[Any]:
    measured = [_short(line.metrics.get(name)) for name in (compared.metric, "params", "macs")]
    fidelity = fidelities.setdefault(compared.fidelity(line), len(fidelities))
    reason = None if line.error is None else line.error.partition("\n")[0][:MAX_ERROR]
    return [run.number, line.trial, *measured, fidelity, round(line.elapsed, 1), line.genotype, reason]


def _short(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.7g}")


def trials(compared: Compared) -> Section:
    kept = best_trials(compared)
    if not kept:
        return Section()
    every = sum(len(run.record.lines) for run in compared.runs)
    hidden = ({"run"} if len(compared.runs) == 1 else set()) | (
        {"fidelity"} if len({compared.fidelity(line) for _, line in kept}) == 1 else set()
    )
    heads = "".join(_head(compared, column, name) for column, name in enumerate(COLUMNS) if name not in hidden)
    write = partial(_cells, compared)
    rows = ["".join(cell for name, cell in write(*trial).items() if name not in hidden) for trial in kept[:STATIC_ROWS]]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    best = f"The best {len(kept):,} of {every:,} trials. " if len(kept) < every else ""
    return Section(
        [
            "<h2>Trials</h2>",
            note(f"{best}Best first, at the highest fidelity; a heading sorts by its column."),
            '<div class="controls script" hidden><label for="filter">Filter</label><input id="filter" type="search" '
            'placeholder="words in genotype, fidelity, failure"><span id="shown" role="status"></span></div>',
            wide(f'<table class="trials"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>', "trials"),
            '<button type="button" id="more" class="script" hidden>Show 50 more</button>',
        ]
    )


def _head(compared: Compared, column: int, name: str) -> str:
    first = "descending" if column == SCORE and compared.larger_is_better else "ascending"
    sort = f' aria-sort="{first}"' if column == SCORE else ""
    kind = "" if name in ("run", "fidelity", "genotype") else ' class="number"'
    title = escape(compared.label) if column == SCORE else name
    return (
        f'<th scope="col" data-column="{column}" data-first="{first}"{sort}{kind}>'
        f'<button type="button">{title}</button></th>'
    )


def _cells(compared: Compared, run: Run, line: Line) -> dict[str, str]:
    score, params, macs = (line.metrics.get(name) for name in (compared.metric, "params", "macs"))
    numbers = {
        "trial": str(line.trial),
        "score": "failed" if line.status == "failed" else "–" if score is None else compared.score(score),
        "params": "–" if params is None else count(params),
        "MACs": "–" if macs is None else count(macs),
        "after": duration(line.elapsed),
    }
    cells = {name: f'<td class="number">{escape(text)}</td>' for name, text in numbers.items()}
    cells["run"], cells["fidelity"] = (
        f"<td>{escape(text)}</td>" for text in (run.entry["run"], compared.fidelity(line))
    )
    cells["genotype"] = f'<td class="genotype"><code>{escape(line.genotype)}</code></td>'
    return {name: cells[name] for name in COLUMNS}
