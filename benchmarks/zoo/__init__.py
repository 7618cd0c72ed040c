"""ARCHITECTURES: small models of many families, each honest to its original in structure and start.

`Architecture` is the type: a factory, an example, how it is started. To add one: an entry in a family's file, or a file
here and its name below.
"""

from __future__ import annotations

from . import (
    cnn,
    convnext,
    densenet,
    encoders,
    gpt,
    hugging_face,
    llama,
    mlp,
    mobile,
    nfnet,
    recurrent,
    resnet,
    unet,
    vision,
)
from .architecture import OWN, Architecture

FAMILIES = (mlp, cnn, resnet, nfnet, mobile, densenet, unet, convnext, vision, gpt, llama, encoders, recurrent)
ARCHITECTURES = {entry.name: entry for family in (*FAMILIES, hugging_face) for entry in family.ENTRIES}
MISSING = {entry.name: hugging_face.MISSING for entry in hugging_face.ENTRIES if hugging_face.MISSING}
"""Why an architecture cannot be built here."""

__all__ = ["ARCHITECTURES", "MISSING", "OWN", "Architecture"]
