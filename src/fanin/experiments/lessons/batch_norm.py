"""Batch norm forgives."""

from fanin.experiments.lessons.claims import both, learns, more_cells_learn, stays
from fanin.experiments.lessons.lesson import Claim, Lesson

NORMAL = "normal(std={std})"

LESSON = Lesson(
    name="batch_norm",
    title="Batch norm forgives",
    question="Does it matter how large the weights start if a norm follows each of them?",
    see="Two rows of the map: without a norm, a narrow band of sizes learns; with batch norm, nearly all do.",
    why="A norm divides by the standard deviation of what comes in, so that the size of the weights before it drops "
    "out of the signal, whatever it was. It does not drop out of the gradient: that of a weight is divided by its "
    "size, and so the steps of large weights are small beside them. A norm forgives the start, and makes it choose "
    "the learning rate instead.",
    source="Ioffe & Szegedy 2015, section 3.3",
    net="perceptron(depth=15, width=64, activation='relu')",
    data="digits",
    recipes=[NORMAL],
    vary={"norm": ["none", "batch"], "std": [0.001, 0.01, 0.06, 0.18, 0.5, 1.0, 10.0]},
    settings={"seeds": 3, "learning_rates": [0.001, 0.01, 0.1, 1.0], "steps": 150},
    claims=(
        Claim(
            "With batch norm, weights of std 0.001 and of std 1 learn.",
            both(learns(NORMAL, norm="batch", std=0.001), learns(NORMAL, norm="batch", std=1.0)),
        ),
        Claim(
            "Without, neither does.",
            both(stays(NORMAL, norm="none", std=0.001), stays(NORMAL, norm="none", std=1.0)),
        ),
        Claim("With it, more sizes learn.", more_cells_learn(NORMAL, {"norm": "batch"}, {"norm": "none"})),
    ),
)
