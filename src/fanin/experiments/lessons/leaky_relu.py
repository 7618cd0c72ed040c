"""ReLU and leaky ReLU in narrow nets."""

from fanin.experiments.lessons.claims import Look, cell_ahead
from fanin.experiments.lessons.lesson import Claim, Lesson, Seen
from fanin.experiments.sweep import Sweep

SLOPES = [0.0, 0.01, 0.1, 0.3]
RECIPE = "he(negative_slope={slope})"


def stuck_seeds(slope: float, depth: int, least: int) -> Look:
    """So many seeds end near chance at the best rate."""

    def look(swept: Sweep) -> Seen:
        study = swept.at(slope=slope, depth=depth)
        rate = study.best_rate(RECIPE)
        ends = study.finals(RECIPE, rate) if rate is not None else []
        stuck = sum(end > 0.9 * study.chance for end in ends)
        return Seen(stuck >= least, f"{stuck} of {len(ends)} seeds stay at chance")

    return look


LESSON = Lesson(
    name="leaky_relu",
    title="ReLU and leaky ReLU in narrow nets",
    question="What does a slope below 0 change?",
    see="The map by slope and depth, in layers of 8 units, each slope with the Kaiming start that belongs to it.",
    why="A ReLU unit whose input is below 0 for every sample puts out 0 and has no gradient: it is dead. If all 8 "
    "units of some layer are, the net is a constant, and the deeper and narrower it is, the more likely is that from "
    "the start. A slope below 0 keeps some gradient everywhere: 2/((1 + a²) fan_in) is the variance that goes with it.",
    source="Maas et al. 2013; He et al. 2015; Lu et al. 2019 (dying ReLU)",
    net="perceptron(width=8, activation='leaky_relu(negative_slope={slope})')",
    data="digits",
    recipes=[RECIPE],
    vary={"slope": SLOPES, "depth": [3, 10, 20, 30]},
    settings={"seeds": 8, "learning_rates": [0.001, 0.01, 0.03], "steps": 250},
    claims=(
        Claim("At 20 layers, some ReLU nets are dead.", stuck_seeds(0.0, 20, 2)),
        Claim(
            "At 20 layers, a slope of 0.1 ends lower than ReLU.",
            cell_ahead(RECIPE, {"slope": 0.1, "depth": 20}, {"slope": 0.0, "depth": 20}),
        ),
        Claim(
            "At 20 layers, a slope of 0.3 ends lower than 0.01.",
            cell_ahead(RECIPE, {"slope": 0.3, "depth": 20}, {"slope": 0.01, "depth": 20}),
        ),
    ),
    found="Whole nets rarely died at 8 units: of 8 seeds at 20 layers one stayed at chance. They are slow rather than "
    "dead, and slopes of 0.01 and 0.1 hardly change that. A slope of 0.3 does, at every depth: it brings the unit "
    "nearer to a linear one, which keeps samples apart over more layers. Nets that are dead from the start want "
    "fewer units still (Lu et al. have 2 to 5).",
)
