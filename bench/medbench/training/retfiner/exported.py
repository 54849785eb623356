"""What a refinement stores: tensors under the names of RetFiner's checkpoints, and the card that reads them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from medbench.cards import ModelCard
from medbench.cards.model import Input, Text, Weights
from medbench.models.encoder import Encoder
from medbench.training.retfiner.network import Refiner
from medbench.training.retfiner.reports import Reader

ENCODER, TEXT, IMAGE_MAP = "vision_encoder.", "multimodal_encoder.", "image_projection."
SHARED = "projected"
"""Name of the pooled feature in the space of the texts."""
BEHIND = r"(proj|multimodal_encoder|contra_head_[tv]|contra_temp|itm_head)\b.*"
"""Tensors that are not the encoder's."""


def exported(refiner: Refiner) -> dict[str, Tensor]:
    """Return the tensors: `vision_encoder.` and the encoder's own names, text model and heads as published.

    `image_projection` is added: `proj` and `contra_head_v` as one map, from the class token to the space of the texts.
    """
    found = {ENCODER + name: value for name, value in refiner.encoder.network.state_dict().items()}
    found |= {name: value for name, value in refiner.tensors().items() if not name.startswith("encoder.")}
    weight: Tensor = refiner.contra_head_v.get_submodule("linear").get_parameter("weight").detach().double()
    bias = weight.new_zeros(len(weight))
    if isinstance(refiner.proj, nn.Linear):
        bias = weight @ refiner.proj.bias.detach().double()
        weight = weight @ refiner.proj.weight.detach().double()
    return {**found, f"{IMAGE_MAP}weight": weight.float(), f"{IMAGE_MAP}bias": bias.float()}


def model_card(plain: Encoder, refiner: Refiner, reader: Reader, given: Input) -> ModelCard:
    """Return the card of the refined model, without its name and its file.

    Args:
        plain: The encoder as it was before.
        refiner: The trained network.
        reader: What read the reports.
        given: Section of the input, as it was in training.
    """
    card, shared = plain.card, _shared(plain, refiner, reader)
    licence = card.weights.licence if card.weights else ""
    return card.model_copy(
        update={
            "weights": Weights(prefix=ENCODER, licence=licence),
            "text": _text(refiner, reader),
            "alternatives": {SHARED: shared},
            "input": given,
        }
    )


def _shared(plain: Encoder, refiner: Refiner, reader: Reader) -> dict[str, Any]:
    """Return what changes in the card for the feature in the space of the texts."""
    joint = refiner.settings.joint_width
    wide = refiner.proj.in_features if isinstance(refiner.proj, nn.Linear) else reader.source.shape["hidden_size"]
    return {
        "weights": {
            "prefix": "",
            "rename": {f"^{ENCODER[:-1]}\\.": "", f"^{IMAGE_MAP[:-1]}\\.": "projection."},
            "drop": [BEHIND],
        },
        "features": {
            "pooled": "cls" if plain.prefix else "mean",
            "norm": refiner.normed or not plain.sequential,
            "layer_norm": None,
            "l2": False,
            "projection": [wide, joint],
            "dim": joint,
        },
    }


def _text(refiner: Refiner, reader: Reader) -> Text:
    """Return the section of the text tower: the text model without images, class position, `contra_head_t`."""
    return Text(
        library="open_clip",
        arch="bert",
        args={**reader.source.shape, "hf_pooler_type": "cls_last_hidden_state_pooler", "hf_proj_type": "linear"},
        weights=Weights(
            rename={
                r"^proj\.": "of_images.",
                f"^{TEXT[:-1]}\\.bert\\.": "transformer.",
                r"^contra_head_t\.linear\.": "proj.",
            },
            drop=[r".*\.crossattention\..*", r"(?!transformer\.|proj\.weight).*"],
        ),
        dim=refiner.settings.joint_width,
        tokenizer=reader.tokenizer.rule,
        image=SHARED,
        scale=1 / float(refiner.contra_temp.detach()),
    )
