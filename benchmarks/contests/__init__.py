"""CONTESTS: nets that are hard to start, each with the recipes that are compared on it.

`Contest` is the type. To add one: an entry here.
"""

from __future__ import annotations

from fanin.experiments import Training

from .contest import ADAM_RATES, SGD_RATES, Contest

DEEP = Training(steps=250, batch_size=64)
PICTURES = Training(steps=400, batch_size=32)
CHARACTERS = Training(steps=150, batch_size=8, optimizer="adam")
SEQUENCES = Training(steps=250, batch_size=32, optimizer="adam")

ENTRIES = (
    Contest(
        "tanh MLP, 100 layers",
        "perceptron(depth=100, width=64, activation='tanh')",
        "digits",
        ("xavier", "lecun", "he", "orthogonal", "edge_of_chaos", "edge_of_chaos(bias_var=0.05)"),
        DEEP,
    ),
    Contest(
        "sigmoid MLP, 100 layers",
        "perceptron(depth=100, width=64, activation='sigmoid')",
        "digits",
        ("xavier", "lecun", "orthogonal", "edge_of_chaos"),
        DEEP,
    ),
    Contest(
        "GELU MLP, 100 layers",
        "perceptron(depth=100, width=64, activation='gelu')",
        "digits",
        ("he", "xavier", "orthogonal", "edge_of_chaos"),
        DEEP,
    ),
    Contest(
        "ReLU MLP, 100 layers",
        "perceptron(depth=100, width=64, activation='relu')",
        "digits",
        ("he", "xavier", "orthogonal", "edge_of_chaos"),
        DEEP,
    ),
    Contest(
        "SELU MLP, 50 layers",
        "perceptron(depth=50, width=64, activation='selu')",
        "digits",
        ("selu", "lecun", "he", "orthogonal"),
        DEEP,
        milliseconds=5.0,
    ),
    Contest(
        "plain tanh CNN, 50 layers",
        "plain_cnn(depth=50, width=16, activation='tanh')",
        "pictures",
        ("delta_orthogonal", "xavier", "orthogonal", "edge_of_chaos"),
        PICTURES,
        SGD_RATES[1:],
        milliseconds=12.0,
    ),
    Contest(
        "plain ReLU CNN, 50 layers",
        "plain_cnn(depth=50, width=16, activation='relu')",
        "pictures",
        ("delta_orthogonal", "he", "orthogonal"),
        PICTURES,
        SGD_RATES[1:],
        milliseconds=12.0,
    ),
    Contest(
        "residual CNN without norm, 24 blocks",
        "residual_cnn(blocks=24, width=16)",
        "pictures",
        ("fixup", "skipinit", "zero", "he"),
        PICTURES,
        (*SGD_RATES[1:], 0.1),
        milliseconds=12.0,
    ),
    Contest(
        "residual CNN with Fixup's scalars, 24 blocks",
        "residual_cnn(blocks=24, width=16, scalars=True)",
        "pictures",
        ("fixup", "skipinit", "zero", "he"),
        PICTURES,
        (*SGD_RATES[1:], 0.1),
        milliseconds=14.0,
    ),
    Contest(
        "post-LN GPT, 48 blocks, no warm-up",
        "transformer(blocks=48, width=32, post_norm=True)",
        "text(length=32)",
        ("t_fixup", "deepnorm", "deepscale", "gpt2", "bert", "xavier"),
        CHARACTERS,
        ADAM_RATES,
        bar=0.9,
        milliseconds=45.0,
    ),
    Contest(
        "pre-LN GPT, 48 blocks, no warm-up",
        "transformer(blocks=48, width=32)",
        "text(length=32)",
        ("gpt2", "llama", "t_fixup", "mup", "xavier"),
        CHARACTERS,
        ADAM_RATES,
        bar=0.9,
        milliseconds=45.0,
    ),
    Contest(
        "LSTM, copy over 200 steps",
        "recurrent(width=48)",
        "copy(symbols=1, delay=198)",
        ("keras_default", "orthogonal", "xavier"),
        SEQUENCES,
        (3e-3, 1e-2, 3e-2),
        milliseconds=50.0,
    ),
    Contest(
        "deep autoencoder, 5 + 5 layers of sigmoids",
        "autoencoder(depth=5, width=64, code=8)",
        "reconstruction",
        ("xavier", "lecun", "keras_default"),
        Training(steps=400, batch_size=64),
        (1e-2, 3e-2, 0.1, 0.3, 1.0),
        bar=0.8,
        milliseconds=2.0,
    ),
    Contest(
        "mixture of experts, 4 blocks",
        "mixture_of_experts(blocks=4, width=32)",
        "text(length=32)",
        ("gpt2", "llama", "xavier", "mup"),
        CHARACTERS,
        (1e-3, 3e-3, 1e-2),
        bar=0.9,
        milliseconds=25.0,
    ),
)
CONTESTS = {entry.name: entry for entry in ENTRIES}

__all__ = ["CONTESTS", "Contest"]
