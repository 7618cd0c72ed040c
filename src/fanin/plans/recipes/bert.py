"""BERT: one truncated standard deviation for all."""

from __future__ import annotations

from collections.abc import Mapping

from fanin.graph import Graph, Role
from fanin.initializers import Initializer, Normal, keras_truncated_normal
from fanin.plans.by_role import PLAIN, always, by_role
from fanin.plans.model import Decision

ORIGINAL = "google-research/bert, modeling.create_initializer: truncated_normal_initializer(stddev=0.02)"
HUGGING_FACE = "transformers BertPreTrainedModel._init_weights: normal_(std=initializer_range)"


def bert(graph: Graph, *, std: float = 0.02, truncated: bool = True) -> Mapping[str, Decision]:
    """N(0, std²) cut at ±2 std, so that 0.88 std is left; biases 0. truncated=False: not cut, as in Hugging Face.

    Query, key and value, packed or not, have one law; embeddings and positions have it, too.

    For: encoders with post-norm, of BERT's widths (768 to 1024).
    Not for: other widths: 0.02 is blind to fan_in.
    Reference: Devlin et al. 2019, "BERT", and its code, `create_initializer`.
    """
    what: Initializer = keras_truncated_normal(std) if truncated else Normal(std)
    cut = " cut at ±2σ" if truncated else ""
    rule = always(what, f"N(0, {std:g}²){cut}, blind to fan_in", ORIGINAL if truncated else HUGGING_FACE)
    everywhere = (Role.WEIGHT, Role.RECURRENT, Role.EMBEDDING, Role.POSITION, Role.TOKEN, Role.ROUTER)
    return by_role(graph, {**PLAIN, **dict.fromkeys(everywhere, rule)})
