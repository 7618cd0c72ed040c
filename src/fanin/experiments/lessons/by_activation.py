"""Xavier against Kaiming, by activation and depth."""

from fanin.experiments.lessons.claims import ahead
from fanin.experiments.lessons.lesson import Claim, Lesson

DEPTHS = [3, 10, 20, 40]

LESSON = Lesson(
    name="by_activation",
    title="Xavier against Kaiming",
    question="Which of the two for which activation, and from which depth does it matter?",
    see="Each map has the depth across: which row stays dark to the right? A star in the table is a winner beyond what "
    "seeds differ in; at depth 3 there is hardly one.",
    why="Xavier's variance 2/(fan_in + fan_out) keeps the second moment through a linear layer, and tanh is nearly one "
    "near 0. ReLU throws half of it away, so that Xavier leaves 2⁻ⁿ after n layers, of the signal and of the gradient; "
    "Kaiming's 2/fan_in gives it back. With tanh Kaiming is too large: the signal saturates, and gradients grow on "
    "their way back. Sigmoid takes a sixteenth of the gradient at each layer: neither can save it.",
    source="Glorot & Bengio 2010; He et al. 2015",
    net="perceptron(width=64)",
    data="digits",
    recipes=["xavier", "he", "auto"],
    vary={"activation": ["tanh", "relu", "sigmoid"], "depth": DEPTHS},
    settings={"seeds": 5, "learning_rates": [0.001, 0.003, 0.01, 0.03], "steps": 150},
    claims=(
        Claim("At 40 layers of ReLU, Kaiming is ahead of Xavier.", ahead("he", "xavier", activation="relu", depth=40)),
        Claim("At 20 layers of ReLU, too.", ahead("he", "xavier", activation="relu", depth=20)),
        Claim("At 40 layers of tanh, Xavier is ahead of Kaiming.", ahead("xavier", "he", activation="tanh", depth=40)),
        Claim("At 20 layers of tanh, too.", ahead("xavier", "he", activation="tanh", depth=20)),
        Claim(
            "At 40 layers of sigmoid, auto is ahead of Xavier.", ahead("auto", "xavier", activation="sigmoid", depth=40)
        ),
    ),
    found="With tanh, Kaiming's start was no worse than Xavier's at any of these depths. At σ_w² = 2 a tanh net is "
    "chaotic, but mildly: its six correlation lengths are 130 layers (see trainable_depth), and its signal keeps a "
    "second moment of 0.6 before the activation. Xavier's σ_w² = 1 is at the edge, where the signal shrinks slowly. "
    "At 100 layers Xavier's is ahead (docs/start.md). auto was ahead of both from 20 layers on.",
)
