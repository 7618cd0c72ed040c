"""Recurrent weights are applied once a step."""

from fanin.experiments.lessons.claims import ahead, learns, stays
from fanin.experiments.lessons.lesson import Claim, Lesson

LESSON = Lesson(
    name="recurrent",
    title="Recurrent weights: orthogonal, or gone",
    question="Over how many steps does a plain recurrent net remember, by its start?",
    see="Loss over chance by start and length of the sequence: two marked numbers of it must be added.",
    why="The same matrix acts at every step: its eigenvalues to the power of the length decide what is left. An "
    "orthogonal one has all of modulus 1, and forgets only by the bending of tanh; weights U(±1/√n), PyTorch's "
    "default, have the largest near 0.6, and 30 steps leave 10⁻⁷. Small normal weights forget at once.",
    source="Saxe et al. 2014; Arjovsky, Shah & Bengio 2016; Vorontsov et al. 2017",
    net="recurrent(cell='rnn', width=32)",
    data="adding(length={length}, samples=2048)",
    recipes=["orthogonal", "torch_default", "normal(std=0.01)"],
    vary={"length": [5, 15, 30]},
    settings={
        "seeds": 3,
        "learning_rates": [0.001, 0.003, 0.01],
        "steps": 600,
        "batch_size": 32,
        "optimizer": "adam",
    },
    claims=(
        Claim("At 5 steps PyTorch's default learns, too.", learns("torch_default", length=5)),
        Claim("At 15 steps the orthogonal start learns.", learns("orthogonal", length=15)),
        Claim("At 15 steps it is ahead of PyTorch's default.", ahead("orthogonal", "torch_default", length=15)),
        Claim("At 30 steps small normal weights learn nothing.", stays("normal(std=0.01)", length=30)),
        Claim("At 30 steps it is ahead of PyTorch's default.", ahead("orthogonal", "torch_default", length=30)),
    ),
)
