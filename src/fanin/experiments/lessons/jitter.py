"""A little noise for diversity."""

from fanin.experiments.lessons.claims import both, cell_ahead, layers_alike, layers_differ, learns
from fanin.experiments.lessons.lesson import Claim, Lesson

RECIPE = "constant(value=0.1, jitter={jitter})"

LESSON = Lesson(
    name="jitter",
    title="A little noise for diversity",
    question="How much noise tells units apart that start as copies?",
    see="The row of losses from left to right: without noise the net is one unit wide; the first grain of it helps, "
    "and more helps sooner.",
    why="What makes copies stay copies is exact equality. Any difference grows: units that differ a little get "
    "gradients that differ a little. How long that takes is the price of small noise, and a start of random weights "
    "has no need of any: noise is for starts that are exact on purpose, such as the identity, or a net that was "
    "widened by copying units.",
    source="Chen, Goodfellow & Shlens 2016 (Net2Net), section 2.3",
    net="perceptron(depth=3, width=32, activation='tanh')",
    data="digits",
    recipes=[RECIPE],
    vary={"jitter": [0.0, 1e-6, 1e-4, 1e-2, 0.1, 1.0]},
    settings={"seeds": 6, "learning_rates": [0.01, 0.03, 0.1], "steps": 300, "signals": True},
    claims=(
        Claim("Without noise the units stay copies.", layers_alike(RECIPE, 0.999, jitter=0.0)),
        Claim(
            "A hundredth is enough to learn, and the units of some layer part.",
            both(learns(RECIPE, jitter=0.01), cell_ahead(RECIPE, {"jitter": 0.01}, {"jitter": 0.0})),
        ),
        Claim("More noise learns faster.", cell_ahead(RECIPE, {"jitter": 1.0}, {"jitter": 0.01})),
        Claim("With noise as large as the weights, the units differ.", layers_differ(RECIPE, 0.7, jitter=1.0)),
    ),
    found="A hundredth of noise ended lower than none in all seeds, but 300 steps were not enough for it to learn: "
    "1.24, where chance is 2.30. Differences grow from so little only as fast as the loss falls, and most of that "
    "time is spent as a net one unit wide.",
)
