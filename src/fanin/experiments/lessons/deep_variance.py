"""Very deep nets want their variance to the percent."""

from fanin.experiments.lessons.claims import both, cell_ahead, more_cells_learn, stays
from fanin.experiments.lessons.lesson import Claim, Lesson

RECIPE = "mean_field(weight_var={weight_var})"

LESSON = Lesson(
    name="deep_variance",
    title="Very deep nets want their variance to the percent",
    question="How far from 2/fan_in may the weights of a deep ReLU net be?",
    see="Each map row is a depth: the deeper, the fewer variances learn, and they lie about 2.",
    why="With ReLU, n layers multiply the second moment by (σ_w²/2)ⁿ. At 5 layers σ_w² = 1 leaves 3 %, which a net "
    "can work with; at 60 it leaves 10⁻¹⁸, and even 1.8 leaves 0.2 %. What scatters about that mean grows with depth "
    "over width, too: in a narrow net one draw is not like the next, which is why calibration on a batch "
    "(`fanin.calibrate`) or on the predicted signals (`auto`) goes beyond a formula.",
    source="He et al. 2015, section 2.2; Hanin & Rolnick 2018",
    net="perceptron(width=64, activation='relu')",
    data="digits",
    recipes=[RECIPE],
    vary={"depth": [5, 20, 60], "weight_var": [0.5, 1.0, 1.5, 1.8, 2.0, 2.2, 2.5, 3.0, 4.0]},
    settings={"seeds": 3, "learning_rates": [0.0003, 0.003, 0.03], "steps": 150},
    claims=(
        Claim("More variances learn at 5 layers than at 20.", more_cells_learn(RECIPE, {"depth": 5}, {"depth": 20})),
        Claim("More at 20 than at 60.", more_cells_learn(RECIPE, {"depth": 20}, {"depth": 60})),
        Claim(
            "At 60 layers, σ_w² = 1 and σ_w² = 4 learn nothing.",
            both(stays(RECIPE, depth=60, weight_var=1.0), stays(RECIPE, depth=60, weight_var=4.0)),
        ),
        Claim(
            "At 60 layers, σ_w² = 2 ends lower than 1.5.",
            cell_ahead(RECIPE, {"depth": 60, "weight_var": 2.0}, {"depth": 60, "weight_var": 1.5}),
        ),
    ),
    found="At 60 layers, no variance came below half of chance within 150 steps; those from 1.8 to 2.2 came furthest, "
    "and a fifth more than 2.2 overflows. This is where a formula ends: see auto in the lesson by_activation.",
)
