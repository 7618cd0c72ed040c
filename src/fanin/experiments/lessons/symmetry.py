"""Zero and constant weights, and the symmetry that they keep."""

from fanin.experiments.lessons.claims import ahead, both, cell_ahead, layers_alike, layers_differ, learns, stays
from fanin.experiments.lessons.lesson import Claim, Lesson

DEEP = "perceptron(depth=3, width=32, activation='tanh')"
LINEAR = "perceptron(depth=0)"

LESSON = Lesson(
    name="symmetry",
    title="Zeros, constants, and the symmetry they keep",
    question="What do three layers learn if all weights start at the same number?",
    see="The rows: with weights that are all 0 or all 0.1, the net of three layers ends above a linear model, with the "
    "same zeros a linear model learns all it can. In the JSON report, `alike` is the share of a layer's weights that "
    "all its units have in common.",
    why="Units with equal weights compute the same number, get the same gradient, and take the same step: they stay "
    "equal for ever, and 32 of them are worth one. At 0 it is worse: each layer's gradient is multiplied by the "
    "weights of the next, which are 0, so that only the last bias moves. A linear model has no hidden units to tell "
    "apart, and its loss is convex: it may start anywhere. Biases may be 0 in any net, since random weights already "
    "tell the units apart.",
    source="Goodfellow, Bengio & Courville 2016, section 8.4",
    net=DEEP,
    data="digits",
    recipes=["zeros", "constant(value=0.1)", "normal(std=0.01)", "xavier"],
    vary={"net": [DEEP, LINEAR]},
    settings={"seeds": 6, "learning_rates": [0.01, 0.03, 0.1, 0.3], "steps": 300, "signals": True},
    claims=(
        Claim("Three layers of zeros learn nothing.", stays("zeros", net=DEEP)),
        Claim(
            "Three layers of a constant end above the linear model.",
            cell_ahead("zeros", {"net": LINEAR}, {"net": DEEP}, "constant(value=0.1)"),
        ),
        Claim(
            "After training, all units of each hidden layer still have the same weights.",
            both(layers_alike("zeros", 0.999, net=DEEP), layers_alike("constant(value=0.1)", 0.999, net=DEEP)),
        ),
        Claim(
            "Random weights learn, and their units differ.",
            both(learns("xavier", net=DEEP), layers_differ("xavier", 0.5, net=DEEP)),
        ),
        Claim("A linear model learns from zeros.", learns("zeros", net=LINEAR)),
        Claim("Small random weights are enough at three layers.", ahead("normal(std=0.01)", "zeros", net=DEEP)),
    ),
)
