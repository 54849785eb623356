"""Builds the text towers of cards, without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from medbench.cards import ModelCard
from medbench.cards.model import Text
from medbench.errors import CardError, unknown
from medbench.models.networks.builders import REFUSED


class AveragedBert(nn.Module):
    """FLAIR's text tower: the mean of a BERT's hidden states over all positions, with padding, and over `states`."""

    def __init__(self, bert: nn.Module, states: list[int], width: int, dim: int) -> None:
        super().__init__()
        self.model, self.states = bert, states
        self.projection = nn.Linear(width, dim, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the mean (n, width) of ids (n, t)."""
        found = self.model(input_ids, attention_mask, output_hidden_states=True).hidden_states
        return torch.stack([found[i].mean(dim=1) for i in self.states]).mean(dim=0)


def construct_text(card: ModelCard, text: Text) -> nn.Module:
    """Return the card's text tower with its projection, without weights."""
    known = [arch for library, arch in BUILDERS if library == text.library]
    builder = BUILDERS.get((text.library, text.arch))
    if builder is None and text.library == "open_clip":
        import open_clip

        known += open_clip.list_models()
        builder = _open_clip if text.arch in known else None
    if builder is None:
        raise unknown(f"text tower of {card.name}", text.arch, known)
    try:
        return builder(text)
    except REFUSED as error:
        raise CardError(
            f"model card {card.name}: {text.library} cannot build the text tower {text.arch} with {text.args}: {error}",
            "fix text in the card",
        ) from error


class SiglipText(nn.Module):
    """SigLIP's text tower of transformers: the last position, after the last norm; texts fill all positions."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        from transformers import SiglipTextModel

        self.model = SiglipTextModel(config)
        self.projection = self.model.head
        self.model.head = nn.Identity()  # type: ignore[assignment]
        self.context_length = config.max_position_embeddings
        self.positional_embedding = None  # has one: texts must have this length

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the vectors (n, width) of ids (n, t), before the projection."""
        return self.model(input_ids).pooler_output  # type: ignore[no-any-return]


def _bert(text: Text) -> nn.Module:
    from transformers import BertModel

    config = _bert_config(text.args)
    if not text.hidden:
        raise ValueError("text.hidden names no hidden state")
    if odd := [i for i in text.hidden if not -config.num_hidden_layers - 1 <= i <= config.num_hidden_layers]:
        raise ValueError(f"text.hidden: {config.num_hidden_layers} layers have no hidden state {odd[0]}")
    return AveragedBert(BertModel(config), text.hidden, config.hidden_size, text.dim)


def _bert_config(args: dict[str, Any]) -> Any:
    from transformers import BertConfig

    if odd := set(args) - set(BertConfig().to_dict()):  # transformers ignores unknown fields
        raise ValueError(f"a BERT has no {', '.join(sorted(odd))}")
    return BertConfig(**args)


def _siglip(text: Text) -> nn.Module:
    from transformers import SiglipTextConfig

    if odd := set(text.args) - set(SiglipTextConfig(bos_token_id=None, eos_token_id=None).to_dict()):
        raise ValueError(f"SigLIP's text tower has no {', '.join(sorted(odd))}")
    special = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": text.tokenizer.pad_id}  # unused here
    return SiglipText(SiglipTextConfig(**{**special, **text.args}))


def _open_clip_bert(text: Text) -> nn.Module:
    """Return open_clip's wrapper of a BERT; `hf_pooler_type` and `hf_proj_type` are as in its own configurations."""
    from open_clip.hf_model import HFTextEncoder

    args = dict(text.args)
    pooler, proj = args.pop("hf_pooler_type", "mean_pooler"), args.pop("hf_proj_type", "mlp")
    tower = HFTextEncoder("", text.dim, config=_bert_config(args), pooler_type=pooler, proj_type=proj)
    if not hasattr(tower, "proj"):
        raise ValueError(f"unknown hf_proj_type {proj}")
    if pooler != "cls_pooler":
        tower.transformer.pooler = None  # open_clip's files have no unused pooler
    return tower  # type: ignore[no-any-return]


def _open_clip(text: Text) -> nn.Module:
    """Return open_clip's own text transformer; `args` override the text part of its configuration."""
    import open_clip

    config = open_clip.get_model_config(text.arch)
    if "hf_model_name" in config["text_cfg"]:
        raise ValueError("its text configuration is on the hub; use arch `bert` and give the configuration in args")
    pair = open_clip.CustomTextCLIP(
        text.dim,
        vision_cfg={"layers": 1, "width": 64, "patch_size": 224},  # required by the class, not used
        text_cfg={**config["text_cfg"], "output_tokens": False, **text.args},
        quick_gelu=config.get("quick_gelu", False),
    )
    return pair.text  # type: ignore[no-any-return]


BUILDERS: dict[tuple[str, str], Callable[[Text], nn.Module]] = {
    ("transformers", "bert"): _bert,
    ("transformers", "siglip"): _siglip,
    ("open_clip", "bert"): _open_clip_bert,
}
"""Library and architecture -> function that builds the tower; open_clip's own towers are not listed."""
