"""Post-norm transformers without warm-up."""

from fanin.experiments.lessons.claims import ahead, cell_ahead
from fanin.experiments.lessons.lesson import Claim, Lesson

LESSON = Lesson(
    name="post_norm",
    title="Post-norm transformers without warm-up",
    question="Which start trains a transformer with norms after its branches from the first step at the full rate?",
    see="Loss at the end over the blocks with pre-norm and post-norm; chance is what a bias alone reaches.",
    why="norm(x + f(x)) halves the gradient on its way through each block where branch and stream are of equal "
    "strength, so that the first blocks get 2⁻ⁿ of it; the readout learns which characters are common, and the rest "
    "waits. T-Fixup and DeepNorm make the branches weak at first, auto does so by how many there are; then each norm "
    "passes nearly all. Pre-norm has a clean way through and does not need any of it.",
    source="Xiong et al. 2020; Huang et al. 2020 (T-Fixup); Wang et al. 2022 (DeepNorm)",
    net="transformer(width=32)",
    data="text(length=16)",
    recipes=["torch_default", "xavier", "t_fixup", "deepnorm", "auto"],
    vary={"post_norm": [False, True], "blocks": [4, 16]},
    settings={
        "seeds": 3,
        "learning_rates": [0.001, 0.003],
        "steps": 100,
        "batch_size": 16,
        "optimizer": "adam",
        "bar": 0.9,
    },
    claims=(
        Claim(
            "At 16 blocks with post-norm, T-Fixup is ahead of Xavier.",
            ahead("t_fixup", "xavier", post_norm=True, blocks=16),
        ),
        Claim("So is DeepNorm.", ahead("deepnorm", "xavier", post_norm=True, blocks=16)),
        Claim("So is auto.", ahead("auto", "xavier", post_norm=True, blocks=16)),
        Claim(
            "With pre-norm, PyTorch's default trains 16 blocks better than with post-norm.",
            cell_ahead("torch_default", {"post_norm": False, "blocks": 16}, {"post_norm": True, "blocks": 16}),
        ),
    ),
)
