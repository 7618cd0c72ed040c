"""How deep a net may be: six correlation lengths."""

import math

from fanin.activations import TABLE, mean_field
from fanin.experiments.lessons.claims import Look, stays
from fanin.experiments.lessons.lesson import Claim, Lesson, Line, Seen
from fanin.experiments.sweep import Sweep

RECIPE = "mean_field(weight_var={weight_var}, bias_var=0.05)"
WEIGHTS = [0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0]
DEPTHS = [10, 20, 30, 40, 50, 60, 80, 100]
TIMES = 6  # correlation lengths: the constant that the paper reads off its figure


def reach(weight_var: float) -> float:
    """6 ξ, ξ the layers in which what tells two inputs apart shrinks by e."""
    return TIMES * (mean_field(TABLE["tanh"], weight_var=weight_var, bias_var=0.05).correlation_depth or 0.0)


def agreement(least: float) -> Look:
    """Of the cells that are not within a third of the line, this share is on its right side."""

    def look(swept: Sweep) -> Seen:
        right = total = 0
        for weight_var in WEIGHTS:
            limit = reach(weight_var)
            for depth in DEPTHS:
                if limit / 1.5 < depth < limit * 1.5:
                    continue
                study = swept.at(weight_var=weight_var, depth=depth)
                loss = study.loss(RECIPE)
                learned = loss is not None and math.isfinite(loss) and loss <= study.chance / 2
                total, right = total + 1, right + (learned == (depth < limit))
        return Seen(right >= least * total, f"{right} of {total} cells")

    return look


def deepest(weight_var: float, above: int) -> Look:
    """It learns at more than this depth."""

    def look(swept: Sweep) -> Seen:
        depths = [d for d in DEPTHS if _learns(swept, weight_var, d)]
        return Seen(bool(depths) and max(depths) >= above, f"deepest that learns: {max(depths, default=0)}")

    return look


def _learns(swept: Sweep, weight_var: float, depth: int) -> bool:
    study = swept.at(weight_var=weight_var, depth=depth)
    loss = study.loss(RECIPE)
    return loss is not None and math.isfinite(loss) and loss <= study.chance / 2


def line() -> Line:
    """6 ξ over σ_w²; at the edge itself, where it is infinite, far above the map."""
    steps = [WEIGHTS[0] + (WEIGHTS[-1] - WEIGHTS[0]) * i / 140 for i in range(141)]
    points = [(w, min(reach(w), 10.0 * DEPTHS[-1])) for w in steps]
    return Line("6 ξ", tuple(points))


LESSON = Lesson(
    name="trainable_depth",
    title="How deep may a net be? Six correlation lengths",
    question="At which depth and weight variance does a plain tanh net begin to learn?",
    see="The map, depth by σ_w², with biases of variance 0.05: the blue region is what learned within 250 steps. The "
    "line is 6 ξ of theory, computed before any training.",
    why="Two inputs pass through the layers, and their correlation goes to a fixed value: to 1 where weights are small "
    "(order: all inputs look alike), below 1 where they are large (chaos: similar inputs become strangers). It comes "
    "close by e each ξ layers; after some 6 ξ nothing of the inputs is left that a gradient could use. At the edge "
    "between the two, σ_w² = 1.76 here, ξ is infinite, and a net may be as deep as one likes.",
    source="Schoenholz et al. 2017, figure 5",
    net="perceptron(width=64, activation='tanh')",
    data="digits",
    recipes=[RECIPE],
    vary={"depth": DEPTHS, "weight_var": WEIGHTS},
    settings={"seeds": 1, "learning_rates": [0.001, 0.003], "steps": 250},
    claims=(
        Claim("Nine of ten cells are on the side of the line that theory says.", agreement(0.9)),
        Claim("Near the edge, σ_w² = 1.75, 60 layers learn.", deepest(1.75, 60)),
        Claim("Deep in order, σ_w² = 0.5, ten layers are too many.", stays(RECIPE, weight_var=0.5, depth=10)),
        Claim("Deep in chaos, σ_w² = 4, forty are.", stays(RECIPE, weight_var=4.0, depth=40)),
    ),
    found="Cells on the wrong side of the line are few, and lie where 250 steps of a net of 64 units end: at the edge "
    "itself, ξ is infinite in theory, and 80 layers were the most that learned here. The theory is of infinitely "
    "wide nets, and says what can be learned, not how soon.",
    line=line,
)
