"""Residual branches must start small."""

from fanin.experiments.lessons.claims import ahead, learns, stays
from fanin.experiments.lessons.lesson import Claim, Lesson

LESSON = Lesson(
    name="residual",
    title="Residual branches must start small",
    question="What does a residual net without norms need of its start as it grows deeper?",
    see="The rows of `he` and of those that make the branches small, from 2 blocks to 16.",
    why="A block adds: x + f(x). If f keeps the second moment, as Kaiming's start makes it, the sum has twice of it, "
    "and n blocks have 2ⁿ; gradients grow alike. Branches that begin at nothing (SkipInit, ZerO), or so small that all "
    "of them together add about as much as the stream has (auto), leave the signal as it is, whatever the depth. "
    "PyTorch's default makes a branch a sixth as strong as Kaiming's twice over, which is small enough by chance.",
    source="Zhang, Dauphin & Ma 2019 (Fixup); De & Smith 2020 (SkipInit)",
    net="residual_cnn(width=8)",
    data="pictures",
    recipes=["he", "torch_default", "skipinit", "zero", "auto"],
    vary={"blocks": [2, 6, 16]},
    settings={"seeds": 3, "learning_rates": [0.003, 0.01, 0.03, 0.1], "steps": 200, "batch_size": 32},
    claims=(
        Claim("At 16 blocks Kaiming's start does not learn.", stays("he", blocks=16)),
        Claim("At 16 blocks SkipInit learns.", learns("skipinit", blocks=16)),
        Claim("At 16 blocks auto learns.", learns("auto", blocks=16)),
        Claim("At 2 blocks Kaiming's start learns, too.", learns("he", blocks=2)),
        Claim("At 6 blocks auto is ahead of Kaiming.", ahead("auto", "he", blocks=6)),
    ),
    found="At 6 blocks auto's mean is a third of Kaiming's, but one of three seeds with Kaiming's start ended as low, "
    "so that three seeds cannot tell the two apart. At 16 blocks none of them did. PyTorch's default learned at every "
    "depth.",
)
