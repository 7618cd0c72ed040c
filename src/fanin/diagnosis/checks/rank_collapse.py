"""The tokens of one sample become alike with depth.

## What it does
Follows the stream of tokens: at each point, 1 − c is the share of the second moment that two tokens of one sample do
not have in common, c = E x_t·x_t'/E|x_t|². Reports where, and from there on, less than 1e-3 of the first point's is
left; less than 1e-6 is an error. Tokens, patches and steps in time are looked at; not the maps of a convolution.

## Why it is bad
Attention that starts near uniform gives every token the same average. What is the same for all tokens adds up; what is
a token's own does not. The output is then one vector for all positions, and the gradient of queries and keys, which
goes with 1 − c, is gone.

## Example
    for block in blocks: x = block.attention(x)          # no x + … : the tokens are one after two blocks

## Remedy
Branches that end with 1/√N of their gain, N branches to the stream, so that all of them together add what the stream
has. Without a residual connection around attention no weights help: add one.

## Known exceptions
A model that makes one vector of its tokens on purpose, such as a pooling by attention: what has no positions any more
is not looked at.

## Source
Dong, Cordonnier & Loukas 2021; Noci et al. 2022.
"""

from __future__ import annotations

from fanin.diagnosis.checks.alike import alike_check

# The gradient of queries and keys goes with 1 − c (Noci et al. 2022). A pre-norm net of 48 blocks keeps a tenth of it.
CHECK = alike_check(
    "F03",
    "rank collapse across tokens",
    __doc__,
    tokens=True,
    noticeable=1e-3,
    hopeless=1e-6,
    summary="The tokens of one sample become alike with depth.",
    advice="scale the ends of the residual branches by 1/√N (recipe auto); "
    "where no residual connection goes around attention, change the architecture: add one",
)
