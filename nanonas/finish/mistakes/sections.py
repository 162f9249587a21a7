"""The sections of the page, from top to bottom.

Pictures of the worst mistakes and of doubtful labels are embedded first; when the page is full, cells of the confusion
matrix name their images only.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...core.classification import confused, flatters
from ...pages import page
from ...pages.parts import Markup, figure, interval, note, table, wide
from ...pages.svg import Plot
from ..answers import Answers
from .pictures import Pictures
from .plots import coverage, reliability

MOST_CLASSES = 30  # of the confusion matrix: those with the most mistakes
MOST_PAIRS = 15
WORST = 24
DOUBTFUL = 60
IN_A_CELL, IN_A_RIGHT_CELL = 12, 6
SHADES = 4


@dataclass(frozen=True)
class Evaluated:
    """What the page shows.

    Attributes:
        document: of eval.
        doubted: out-of-fold answers to the training images; None without a second look.
        doubtful: the training images whose label they contradict.
    """

    document: Mapping[str, Any]
    answers: Answers
    pictures: Pictures
    doubted: Answers | None = None
    doubtful: Sequence[int] = ()
    training_pictures: Pictures | None = None


def mistakes_page(evaluated: Evaluated, html: Path) -> str:
    document = evaluated.document
    worst, doubts = _worst(evaluated), _second_look(evaluated, html)  # before the cells, so that they get pictures
    parts = [_confusion(evaluated), _pairs(evaluated), worst, _confidence(evaluated), _classes(document), doubts]
    words = shlex.join(_command(document, html))
    parts.append(f"<h2>Command that repeats it</h2><pre>{escape(words)}</pre>")
    return page(
        title=f"mistakes of {_target(document)}",
        header=_header(document),
        sections=[part for part in parts if part],
        command="eval",
        style=Path(__file__).with_name("page.css").read_text(encoding="utf-8"),
        pictures=True,
    )


def _target(document: Mapping[str, Any]) -> str:
    file = document.get("file")
    return f"{document['run']}/{file}" if file else str(document["run"])


def _command(document: Mapping[str, Any], html: Path, *more: str) -> list[str]:
    looked = ["--second-look"] if "second_look" in document else []
    return ["nanonas", "eval", _target(document), "--html", str(html), *looked, *more]


def percent(share: float | None, digits: int = 2) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


# ---- what was found


def _header(document: Mapping[str, Any]) -> str:
    n, data = document["test_images"], document["data"]["name"]
    counts = [entry["n"] for entry in document["classes"]]
    figures = [
        ("test accuracy", percent(document["test_accuracy"]), f"{interval(document['interval'])} (95 %)"),
        ("balanced accuracy", percent(document["balanced_accuracy"]), "mean recall of the classes"),
        ("macro F1", percent(document["macro_f1"]), "mean F1 of the classes"),
        ("calibration error", percent(document["ece"]), "confidence against accuracy"),
    ]
    if flatters(counts):
        figures[:2] = figures[1::-1]
    cells = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(more)}</small></dd></div>"
        for name, value, more in figures
    )
    wrong = sum(entry["images"] for entry in document["confused"])
    told = f"{wrong:,} of {n:,} test images of {data} are taken for another class."
    if flatters(counts):
        least, most = min(count for count in counts if count), max(counts)
        told += f" Accuracy flatters here: classes have {least:,} to {most:,} images. Look at balanced accuracy first."
    return (
        f'<header><p class="over">nanoNAS, evaluation</p><h1>{escape(_target(document))}</h1>'
        f'<p class="verdict">{escape(told)}</p><dl class="figures">{cells}</dl></header>'
    )


def _confusion(evaluated: Evaluated) -> str:
    answers = evaluated.answers
    matrix = answers.confusion
    shown = _shown(matrix)
    rest = len(answers.classes) - len(shown)
    heads = "".join(f'<th scope="col"><span>{escape(answers.classes[other])}</span></th>' for other in shown)
    rows, cells = [], []
    for true in shown:
        row = [f'<th scope="row"><span>{escape(answers.classes[true])}</span></th>']
        for other in shown:
            images, n = int(matrix[true, other]), int(matrix[true].sum())
            row.append(_matrix_cell(answers, true, other, images, n))
        rows.append(f"<tr>{''.join(row)}</tr>")
    pairs = [(true, other) for true, other, _ in confused(matrix) if true in shown and other in shown]
    for true, other in [*pairs, *((true, true) for true in shown if matrix[true, true])]:
        cells.append(_panel(evaluated, true, other))
    body = f'<table class="matrix"><thead><tr><td></td>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    told = "A row is a class, a column what its images were taken for. Select a number to see the images."
    if rest:
        told += f" The {len(shown)} classes with the most mistakes are shown; {rest:,} are not."
    return f'<h2 id="matrix">Confusion matrix</h2>{note(told)}{wide(body, "confusion matrix")}{"".join(cells)}'


def _shown(matrix: np.ndarray) -> list[int]:
    """The classes of the matrix, in their order."""
    wrong = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
    return sorted(int(one) for one in np.argsort(-wrong, kind="stable")[:MOST_CLASSES])


def _matrix_cell(answers: Answers, true: int, other: int, images: int, n: int) -> str:
    if not images:
        return "<td></td>"
    kind = "right" if true == other else "wrong"
    shade = max(1, -(-images * SHADES // n))
    share = f"{100 * images / n:.3g} %"
    label = escape(f"{_said(answers, true, other)}: {images} of {n}, {share}")
    return (
        f'<td class="{kind}{shade}"><a href="#cell-{true}-{other}" aria-label="{label}">{images:,}'
        f"<small>{share}</small></a></td>"
    )


def _said(answers: Answers, true: int, other: int) -> str:
    name = answers.classes[true]
    return f"{name}, rightly" if true == other else f"{name} taken for {answers.classes[other]}"


def _panel(evaluated: Evaluated, true: int, other: int) -> str:
    """The images of a cell; it is seen once it is the target of a link."""
    answers = evaluated.answers
    images = answers.taken_for(true, other)
    few = images[: IN_A_RIGHT_CELL if true == other else IN_A_CELL]
    which = "the least sure" if true == other else "the surest"
    more = f", {which} {len(few)}" if len(few) < len(images) else ""
    head = f"{_said(answers, true, other)}: {len(images):,} image{'s' * (len(images) > 1)}{more}"
    return (
        f'<div class="cell" id="cell-{true}-{other}" tabindex="-1"><h3>{escape(head)}</h3>'
        f'{_gallery(answers, evaluated.pictures, few)}<p><a href="#matrix">Back to the matrix</a></p></div>'
    )


def _pairs(evaluated: Evaluated) -> str:
    answers = evaluated.answers
    pairs = confused(answers.confusion)
    if not pairs:
        return ""
    shown = set(_shown(answers.confusion))
    rows = []
    for true, other, images in pairs[:MOST_PAIRS]:
        name, told = answers.classes[other], f"{images:,}"
        if true in shown and other in shown:
            label = escape(f"images of {_said(answers, true, other)}")
            told = Markup(f'<a href="#cell-{true}-{other}" aria-label="{images:,} {label}">{images:,}</a>')
        rows.append((answers.classes[true], name, told, percent(images / int(answers.confusion[true].sum()))))
    heads = ("class", "taken for", "images", "of the class")
    rest = len(pairs) - len(rows)
    more = note(f"{rest:,} more pairs were confused less often.") if rest else ""
    return f"<h2>Most confused</h2>{table(heads, rows, 'most confused classes', (2, 3))}{more}"


def _worst(evaluated: Evaluated) -> str:
    answers = evaluated.answers
    wrong = answers.wrong()
    if not len(wrong):
        return f"<h2>Worst mistakes</h2>{note('None: every image got its class.')}"
    told = (
        f"Of {len(wrong):,}, the {min(WORST, len(wrong))} whose own class got the least probability. The name of an "
        "image, and the three classes that the network finds most probable."
    )
    return f"<h2>Worst mistakes</h2>{note(told)}{_gallery(answers, evaluated.pictures, wrong[:WORST])}"


def _gallery(answers: Answers, pictures: Pictures, images: Iterable[int]) -> str:
    return f'<ul class="gallery">{"".join(_picture(answers, pictures, int(image)) for image in images)}</ul>'


def _picture(answers: Answers, pictures: Pictures, image: int) -> str:
    name, label = answers.name(image), answers.label(image)
    rows = answers.top(image)
    if label not in [one for one, _ in rows]:
        rows.append((label, float(answers.own[image])))
    marked = [(' class="true"', " (label)") if one == label else ("", "") for one, _ in rows]
    listed = "".join(
        f"<dt{kind}>{escape(one)}{more}</dt><dd{kind}>{percent(probability, 1)}</dd>"
        for (one, probability), (kind, more) in zip(rows, marked, strict=True)
    )
    shown = pictures.html(image, f"{label}: {name}")
    return f'<li>{shown}<span class="name">{escape(name)}</span><dl>{listed}</dl></li>'


# ---- how sure it is


def _confidence(evaluated: Evaluated) -> str:
    plots: list[Plot] = [reliability(evaluated.answers), coverage(evaluated.answers)]
    figures = "".join(figure(plot, heading=True) for plot in plots)
    told = "What nanonas predict --min-probability would refuse, measured on the test images."
    return (
        f'<h2>Confidence</h2><div class="pair">{figures}</div>'
        f"{_refusals(evaluated.document['refusals'], 'refused answers')}{note(told)}"
    )


def _refusals(refusals: Sequence[Mapping[str, Any]], label: str) -> str:
    rows = [
        (
            f"{entry['min_probability']:g}",
            percent(entry["refused"], 1),
            f"{entry['answered']:,}",
            percent(entry["accuracy"]),
            interval(entry["interval"]),
        )
        for entry in refusals
    ]
    heads = ("least probability", "refused", "answered", "right of these", "95 % interval")
    return table(heads, rows, label, range(5))


def _classes(document: Mapping[str, Any]) -> str:
    rows = [
        (
            entry["name"],
            f"{entry['n']:,}",
            percent(entry["recall"]),
            interval(entry["recall_interval"]),
            percent(entry["precision"]),
            interval(entry["precision_interval"]),
            percent(entry["f1"]),
        )
        for entry in document["classes"]
    ]
    heads = ("class", "images", "recall", "95 % interval", "precision", "95 % interval", "F1")
    told = (
        "Recall: of the images of a class, how many are found. Precision: of the images taken for it, how many are of "
        "it. Intervals: Wilson."
    )
    return f"<h2>Classes</h2>{table(heads, rows, 'classes', range(1, 7))}{note(told)}"


# ---- the labels of the training images


def _second_look(evaluated: Evaluated, html: Path) -> str:
    document, title = evaluated.document, "<h2>Labels worth a second look</h2>"
    doubted, pictures = evaluated.doubted, evaluated.training_pictures
    if doubted is None or pictures is None:
        if "file" in document:
            return ""
        words = shlex.join(_command(document, html, "--second-look"))
        told = "Which labels of training images may be wrong is found by training the network a few times more:"
        return f"{title}{note(told)}<pre>{escape(words)}</pre>"
    found = document["second_look"]
    said = (
        f"{found['folds']} networks of this architecture were trained for {found['epochs']} epochs, each without "
        f"another part of the {found['images']:,} training images, which it then answered: "
        f"{percent(found['accuracy'])} of the labels were met. They contradict {found['contradicted']:,} labels. Many "
        "of these are right, and only hard."
    )
    shown = list(evaluated.doubtful[:DOUBTFUL])
    few = f"The first {len(shown)}, those whose label got the least probability:" if shown else "There is none."
    return f"{title}{note(said)}{note(few)}{_gallery(doubted, pictures, shown) if shown else ''}"
