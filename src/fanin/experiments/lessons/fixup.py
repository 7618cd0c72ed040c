"""Fixup in the place of norms."""

from fanin.experiments.lessons.claims import Look, ahead, learns, stays
from fanin.experiments.lessons.lesson import Claim, Lesson, Seen
from fanin.experiments.sweep import Sweep

PLAIN, SCALARS, NORMED = (
    "residual_cnn(blocks=16, width=8)",
    "residual_cnn(blocks=16, width=8, scalars=True)",
    "residual_cnn(blocks=16, width=8, norm='batch')",
)


def tests_as_well(within: float) -> Look:
    """Fixup's share of the test is at most this much below batch norm's with Kaiming's start."""

    def look(swept: Sweep) -> Seen:
        ours = {row.recipe: row.accuracy or 0.0 for row in swept.at(net=SCALARS).standings}.get("fixup", 0.0)
        norm = {row.recipe: row.accuracy or 0.0 for row in swept.at(net=NORMED).standings}.get("he", 0.0)
        return Seen(ours >= norm - within, f"Fixup {ours:.1%}, batch norm {norm:.1%}")

    return look


LESSON = Lesson(
    name="fixup",
    title="Fixup in the place of norms",
    question="Can a start do what batch norm does in a residual net?",
    see="The same 16 blocks three times: plain, with Fixup's scalar biases and multipliers, with batch norm.",
    why="Norms keep the stream from doubling at every block. Fixup does it by the start: the last layer of each branch "
    "and the readout at 0, the others smaller by the number of branches, L^(−1/(2m−2)) for branches of m layers, so "
    "that one step of all branches together moves the output as much as one step of one branch would. The scalars let "
    "it shift and scale, which is the rest of what a norm does.",
    source="Zhang, Dauphin & Ma 2019 (Fixup), section 3",
    net=PLAIN,
    data="pictures",
    recipes=["he", "fixup", "auto"],
    vary={"net": [PLAIN, SCALARS, NORMED]},
    settings={"seeds": 3, "learning_rates": [0.003, 0.01, 0.03, 0.1], "steps": 250, "batch_size": 32},
    claims=(
        Claim("Without norm and scalars, Kaiming's start does not learn.", stays("he", net=PLAIN)),
        Claim("With the scalars, Fixup learns.", learns("fixup", net=SCALARS)),
        Claim("With the scalars, Fixup is ahead of Kaiming's start.", ahead("fixup", "he", net=SCALARS)),
        Claim("With batch norm, Kaiming's start learns.", learns("he", net=NORMED)),
        Claim("Fixup's test is within three points of batch norm's.", tests_as_well(0.03)),
    ),
    found="With its scalars, two of three seeds of Fixup end at 0.23, and the third stays at chance; no seed of "
    "Kaiming's start learns. Three seeds cannot tell the two apart, and the means of the test are far from batch "
    "norm's. Its best rate is the largest of the grid: where branches start at 0 it asks for large steps, and they "
    "are where seeds differ. The paper trains hundreds of times as long, with a smaller rate for the scalars.",
)
