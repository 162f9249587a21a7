"""Which images are held out: a share of every class, and never one picture or group on both sides."""

import numpy as np
import numpy.typing as npt

from ..core.errors import DataError
from .cache import Indices, Labels


def split(labels: Labels, fraction: float, seed: int, groups: Labels | None = None) -> tuple[Indices, Indices]:
    """Indices of train and of what is held out, which gets `fraction` of every class; both sorted.

    Every class has at least one image in each part. With `groups`, images of one number stay together, and the
    fractions are met as nearly as whole groups allow.

    Raises:
        DataError: a class has a single image, or all of its images are in one group.
    """
    rng = np.random.default_rng(seed)
    wanted = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise DataError(f"class {label} has a single image, which cannot be split; at least two are needed")
        count = min(len(members) - 1, max(1, int(len(members) * fraction + 0.5)))
        wanted.append((members, count))
    if groups is None or len(np.unique(groups)) == len(groups):
        held = np.concatenate([rng.permutation(members)[:count] for members, count in wanted])
    else:
        held = _whole_groups(labels, groups, np.array([count for _, count in wanted]), rng)
    held_out = np.sort(held).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), held_out), held_out


def _whole_groups(
    labels: Labels, groups: Labels, wanted: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """A group is taken, in random order, when the counts of the classes come nearer to what is wanted."""
    _, classes = np.unique(labels, return_inverse=True)
    _, of_image = np.unique(groups, return_inverse=True)
    table = np.zeros((of_image.max() + 1, len(wanted)), dtype=np.int64)  # images of a group, by class
    np.add.at(table, (of_image, classes), 1)
    if (alone := np.flatnonzero((table > 0).sum(0) < 2)).size:
        label = np.unique(labels)[alone[0]]
        raise DataError(f"all images of class {label} are in one group, which cannot be split; at least two are needed")
    held, taken, whole = np.zeros_like(wanted), np.zeros(len(table), dtype=bool), table.sum(0)

    def distance(counts: npt.NDArray[np.int64]) -> float:
        return float((((counts - wanted) / wanted) ** 2).sum())

    for group in rng.permutation(len(table)):
        after = held + table[group]
        if distance(after) < distance(held) and (after < whole).all():
            held, taken[group] = after, True
    for label in np.flatnonzero(held == 0):  # none came near enough
        fitting = [g for g in np.flatnonzero(~taken & (table[:, label] > 0)) if (held + table[g] < whole).all()]
        if held[label] == 0 and not fitting:
            name = np.unique(labels)[label]
            raise DataError(f"the groups of class {name} cannot be split: it would be missing on one side")
        if held[label] == 0:
            best = min(fitting, key=lambda group: distance(held + table[group]))
            held, taken[best] = held + table[best], True
    return np.flatnonzero(taken[of_image])
