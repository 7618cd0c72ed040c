"""Built-in real data that needs no download."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fanin.errors import MissingExtra
from fanin.stream import Domain, key, words


@dataclass(frozen=True)
class Data:
    """A labelled set, split in two; inputs have mean 0 and second moment 1 over the training part.

    Attributes:
        inputs, test_inputs: (samples, features), float32.
        labels, test_labels: (samples,), int64, 0 … classes − 1.
    """

    name: str
    classes: int
    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    test_inputs: npt.NDArray[np.float32]
    test_labels: npt.NDArray[np.int64]


def digits(test_share: float = 0.2) -> Data:
    """1,797 handwritten digits of 8 × 8 pixels (UCI ML, with scikit-learn), split by a fixed permutation."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("scikit-learn", "demo", "The set of handwritten digits") from error
    images, labels = load_digits(return_X_y=True)
    order = permutation(0, "fanin/data/digits", len(labels))
    images, labels = images[order], labels[order].astype(np.int64)
    test = round(test_share * len(labels))
    mean, std = images[test:].mean(), images[test:].std()
    scaled = ((images - mean) / std).astype(np.float32)
    return Data("handwritten digits", 10, scaled[test:], labels[test:], scaled[:test], labels[:test])


def permutation(seed: int, name: str, n: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 … n − 1 from the stream: the order of n random words, ties by index."""
    return np.argsort(words(key(seed, name, domain=Domain.PERMUTATION), range(n)), kind="stable").astype(np.int64)
