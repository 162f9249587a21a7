"""Which labels of training images are worth a second look (confident learning, Northcutt et al. 2021,
arXiv:1911.00068).

It works on probabilities from networks that never saw the image: those of a network that was trained on it only
repeat its label.
"""

import numpy as np

from .classification import Integers, Reals


def folds(labels: Integers, groups: Integers | None, count: int, seed: int) -> Integers:
    """(N,): the part, 0 … count − 1, in which each image is held out. Every class is dealt out evenly, and images of
    one group stay together."""
    rng = np.random.default_rng(seed)
    _, group = np.unique(np.arange(len(labels)) if groups is None else groups, return_inverse=True)
    _, first = np.unique(group, return_index=True)
    order = rng.permutation(len(first))
    order = order[np.argsort(labels[first][order], kind="stable")]  # by class, at random within it
    part = np.empty(len(first), dtype=np.int64)
    part[order] = np.arange(len(first)) % count
    return part[group]


def contradicted(probabilities: Reals, labels: Integers) -> Integers:
    """The images whose label out-of-fold probabilities contradict, those that they contradict most first.

    A class is claimed where its probability reaches the mean of that class's own images (the paper's thresholds, which
    do justice to classes that every network finds hard). A label is contradicted when another class is claimed with a
    higher probability. They are ordered by self-confidence, the probability of the label itself.

    Args:
        probabilities: (N, classes); a row of NaN is of an image that nothing is known of.
    """
    known = ~np.isnan(probabilities).any(1)
    own = probabilities[np.arange(len(labels)), labels]
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels[known]):
        thresholds[label] = own[known & (labels == label)].mean()
    claimed = np.where(probabilities >= thresholds, probabilities, -1.0)  # NaN claims nothing
    best = claimed.argmax(1)
    doubtful = known & (claimed.max(1) >= 0) & (best != labels) & (claimed.max(1) > own)
    found = np.flatnonzero(doubtful)
    return found[np.argsort(own[found], kind="stable")]
