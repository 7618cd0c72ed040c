"""LESSONS: what textbooks say of starts, each as an experiment of a few minutes with its words.

The type to know is `Lesson`: what is compared, and `Claim`s, written before the experiment, with how each is looked
for in the results. To add one: a file here, a line in `LESSONS`; `python scripts/lessons.py NAME` writes its page.
"""

from typing import Final

from fanin.experiments.lessons import (
    batch_norm,
    by_activation,
    deep_variance,
    fixup,
    jitter,
    leaky_relu,
    post_norm,
    recurrent,
    residual,
    scale,
    symmetry,
    trainable_depth,
    weight_decay,
)
from fanin.experiments.lessons.lesson import Claim, Given, Lesson, Line, Seen

LESSONS: Final[dict[str, Lesson]] = {
    one.LESSON.name: one.LESSON
    for one in (
        symmetry,
        scale,
        by_activation,
        recurrent,
        batch_norm,
        residual,
        deep_variance,
        jitter,
        weight_decay,
        leaky_relu,
        trainable_depth,
        fixup,
        post_norm,
    )
}

__all__ = ["LESSONS", "Claim", "Given", "Lesson", "Line", "Seen"]
