"""DATA: real and synthetic data that need no download.

`Data` is the type: arrays, and the loss that they are for. Each builder takes keyword arguments with defaults, written
`copy(delay=100)`, and gives the same arrays for the same arguments on any machine.
To add one: a function in a file here and a line in `DATA`.
"""

from collections.abc import Callable
from typing import Final

from fanin.experiments.data.memory import adding, copy
from fanin.experiments.data.model import IGNORED, Data, Loss, permutation
from fanin.experiments.data.sets import breast_cancer, diabetes, digits, iris, pictures, reconstruction, wine
from fanin.experiments.data.text import text

DATA: Final[dict[str, Callable[..., Data]]] = {
    "adding": adding,
    "breast_cancer": breast_cancer,
    "copy": copy,
    "diabetes": diabetes,
    "digits": digits,
    "iris": iris,
    "pictures": pictures,
    "reconstruction": reconstruction,
    "text": text,
    "wine": wine,
}

__all__ = ["DATA", "IGNORED", "Data", "Loss", "digits", "permutation"]
