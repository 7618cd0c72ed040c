"""The sets that come with scikit-learn."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fanin.errors import MissingExtra
from fanin.experiments.data.model import Data, Loss, permutation, split


def digits(*, test_share: float = 0.2) -> Data:
    """1,797 handwritten digits of 8 × 8 pixels as vectors of 64 (UCI ML, with scikit-learn)."""
    return _flat("digits", "handwritten digits", test_share)


def pictures(*, test_share: float = 0.2) -> Data:
    """The digits as pictures of shape (1, 8, 8), for convolutions."""
    flat = digits(test_share=test_share)
    shown, test = (x.reshape(-1, 1, 8, 8) for x in (flat.inputs, flat.test_inputs))
    return Data("pictures of digits", flat.outputs, shown, flat.targets, test, flat.test_targets)


def reconstruction(*, test_share: float = 0.2) -> Data:
    """The digits as their own targets, for autoencoders."""
    flat = digits(test_share=test_share)
    shown, test = flat.inputs, flat.test_inputs
    return Data("digits from themselves", shown.shape[1], shown, shown, test, test, Loss.SQUARED_ERROR)


def iris(*, test_share: float = 0.2) -> Data:
    """150 flowers of 3 species by 4 lengths (Fisher 1936)."""
    return _columns("iris", "iris", test_share)


def wine(*, test_share: float = 0.2) -> Data:
    """178 wines of 3 growers by 13 chemical measurements (UCI ML)."""
    return _columns("wine", "wine", test_share)


def breast_cancer(*, test_share: float = 0.2) -> Data:
    """569 tumours, malignant or not, by 30 measurements of their cells (UCI ML)."""
    return _columns("breast_cancer", "breast cancer", test_share)


def diabetes(*, test_share: float = 0.2) -> Data:
    """442 patients by 10 measurements; how the disease went on for a year, to unit variance (Efron et al. 2004)."""
    return _columns("diabetes", "diabetes", test_share, Loss.SQUARED_ERROR)


def _flat(loader: str, name: str, test_share: float) -> Data:
    """All elements scaled alike."""
    inputs, labels = _shuffled(loader)
    test = round(test_share * len(labels))
    mean, std = inputs[test:].mean(), inputs[test:].std()
    return split(
        name, int(labels.max()) + 1, ((inputs - mean) / std).astype(np.float32), labels.astype(np.int64), test=test
    )


def _columns(loader: str, name: str, test_share: float, loss: Loss = Loss.CROSS_ENTROPY) -> Data:
    """Each column scaled by itself, as they have units of their own."""
    inputs, targets = _shuffled(loader)
    test = round(test_share * len(targets))
    inputs = ((inputs - inputs[test:].mean(0)) / inputs[test:].std(0)).astype(np.float32)
    if loss is Loss.CROSS_ENTROPY:
        return split(name, int(targets.max()) + 1, inputs, targets.astype(np.int64), test=test)
    scaled = ((targets - targets[test:].mean()) / targets[test:].std()).astype(np.float32)[:, None]
    return split(name, 1, inputs, scaled, test=test, loss=loss)


def _shuffled(loader: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """By a fixed permutation."""
    inputs, targets = getattr(_sklearn(), f"load_{loader}")(return_X_y=True)
    order = permutation(0, f"fanin/data/{loader}", len(targets))
    return inputs[order], targets[order]


def _sklearn() -> ModuleType:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtra("scikit-learn", "demo", "The sets that come with scikit-learn") from error
    found: ModuleType = datasets
    return found
