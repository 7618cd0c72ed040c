"""Weights that are too small, and too large."""

from fanin.experiments.lessons.claims import both, learns, more_cells_learn, stays
from fanin.experiments.lessons.lesson import Claim, Lesson

NORMAL = "normal(std={std})"

LESSON = Lesson(
    name="scale",
    title="Too small, too large",
    question="How wrong may the size of the weights be in ten layers?",
    see="The map: a band in the middle learns; to its left everything stays at chance, to its right it diverges or "
    "saturates. The layers have 64 inputs: 1/√64 = 0.125, and √(2/64) = 0.18.",
    why="Every layer multiplies the second moment of its input by fan_in · std²: at 0.03 that is 0.06, and ten layers "
    "leave 10⁻¹² of it, of the signal and of the gradient. At 1 it is 64: ReLU grows by 32¹⁰ and overflows the loss, "
    "tanh is pushed to its ends, where its derivative is nearly 0. The band is narrower the deeper the net is.",
    source="Glorot & Bengio 2010; He et al. 2015, section 2.2",
    net="perceptron(depth=10, width=64)",
    data="digits",
    recipes=[NORMAL],
    vary={"activation": ["tanh", "relu"], "std": [0.001, 0.01, 0.03, 0.06, 0.125, 0.18, 0.3, 0.5, 1.0, 3.0]},
    settings={"seeds": 3, "learning_rates": [0.0001, 0.001, 0.01, 0.1], "steps": 200},
    claims=(
        Claim(
            "Weights of std 0.01 learn nothing.",
            both(stays(NORMAL, activation="tanh", std=0.01), stays(NORMAL, activation="relu", std=0.01)),
        ),
        Claim("1/√fan_in suits tanh.", learns(NORMAL, activation="tanh", std=0.125)),
        Claim("√(2/fan_in) suits ReLU.", learns(NORMAL, activation="relu", std=0.18)),
        Claim(
            "Standard normal weights learn nothing, with either.",
            both(stays(NORMAL, activation="tanh", std=1.0), stays(NORMAL, activation="relu", std=1.0)),
        ),
        Claim(
            "tanh forgives more sizes than ReLU, as it is bounded.",
            more_cells_learn(NORMAL, {"activation": "tanh"}, {"activation": "relu"}),
        ),
    ),
)
