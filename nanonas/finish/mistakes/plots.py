"""The plots of the page: does confidence mean what it says, and what does refusing bring."""

import numpy as np

from ...core.classification import calibration
from ...core.statistics import wilson
from ...pages.svg import Axes, Plot, colour, svg
from ..answers import Answers

MOST_POINTS = 200  # of a line


def _per_cent(share: float) -> str:
    return f"{100 * share:.4g} %"


def reliability(answers: Answers) -> Plot:
    """Accuracy over confidence, in bins (Niculescu-Mizil & Caruana 2005)."""
    confidence, right = answers.probabilities.max(1), answers.predicted == answers.labels
    bins = calibration(np.minimum(confidence, 1.0), right)
    rows = [(count, sure, correct, *wilson(round(correct * count), count)) for count, sure, correct in bins]
    axes, mark = Axes((0.0, 1.0), (0.0, 1.0)), colour(0)
    drawn = [axes.grid("confidence", "accuracy", _per_cent, _per_cent)]
    drawn.append(f'<path class="front" d="M{axes.across(0)} {axes.up(0)}L{axes.across(1)} {axes.up(1)}"/>')
    for count, sure, correct, low, high in rows:
        x = axes.across(sure)
        told = f"{count:,} images: confidence {_per_cent(sure)}, right {_per_cent(correct)}"
        drawn.append(
            f'<g><title>{told}</title><line class="whisker {mark}" x1="{x}" x2="{x}" y1="{axes.up(low)}" '
            f'y2="{axes.up(high)}"/><circle class="mark {mark}" cx="{x}" cy="{axes.up(correct)}" r="5"/></g>'
        )
    title = "Accuracy of answers that are so sure"
    return Plot(
        name="reliability",
        title=title,
        note="Dots on the line: the network is as often right as it is sure. Below it: it is too sure. Bars: 95 % "
        "intervals (Wilson).",
        svg=svg(title, axes.width, axes.height, "".join(drawn)),
        columns=("images", "confidence", "accuracy", "low", "high"),
        rows=rows,
    )


def coverage(answers: Answers) -> Plot:
    """Accuracy of the surest answers, by how many of them are given (El-Yaniv & Wiener 2010)."""
    confidence = answers.probabilities.max(1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((answers.predicted == answers.labels)[order])
    last = np.append(np.diff(confidence[order]) != 0, True)  # of those that are equally sure, all or none
    ends = np.flatnonzero(last)
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(int))]
    points = [(float((end + 1) / len(order)), float(right[end] / (end + 1))) for end in ends]
    axes = Axes.around([0.0, 1.0], [accuracy for _, accuracy in points])
    line = "L".join(f"{axes.across(share)} {axes.up(accuracy)}" for share, accuracy in points)
    title = "Accuracy when the least sure answers are refused"
    content = axes.grid("share of images answered", "accuracy", _per_cent, _per_cent)
    return Plot(
        name="coverage",
        title=title,
        note="At the right end every image is answered; the further left, the more are refused.",
        svg=svg(title, axes.width, axes.height, f'{content}<path class="curve {colour(0)}" d="M{line}"/>'),
        columns=("answered", "accuracy"),
        rows=points,
    )
