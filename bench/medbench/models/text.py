"""Text towers of vision-language pairs: token ids to the vectors that zero-shot classification compares images with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medbench.cards import ModelCard, find_model
from medbench.cards.model import Text
from medbench.errors import CardError, MedbenchError, WeightsError, unknown
from medbench.models.networks.builders import REFUSED, Undrawn
from medbench.models.weights.locate import WeightsFile, locate
from medbench.models.weights.read import GET_ANOTHER, fill, map_names, read_file, select
from medbench.seeding import seed_of

SCALE = "logit_scale"  # the file's logarithm of the factor on cosines


def load_text(
    name: str | Path | ModelCard, weights: str | Path | WeightsFile | None = None, *, device: str = "cpu"
) -> TextEncoder:
    """Build the text tower of a vision-language pair and load its weights strictly.

    Args:
        name: Name of a card, a card file, or a card.
        weights: None for the official file, a path, or `random`.
        device: Where the tower goes.

    Raises:
        CardError: The card is unknown, has no text tower, or does not fit the library.
        WeightsError: The file is missing, damaged, unsafe or another architecture's.
    """
    card = name if isinstance(name, ModelCard) else find_model(str(name))
    if card.text is None:
        raise CardError(
            f"model card {card.name} has no text tower", "take a vision-language pair, whose card has a section `text`"
        )
    file = weights if isinstance(weights, WeightsFile) else locate(card, str(weights) if weights is not None else None)
    drawing: Any = Undrawn() if file.path is not None else contextlib.nullcontext()
    with torch.random.fork_rng(devices=[]), drawing:
        torch.manual_seed(seed_of("text", "random" if file.path is None else "unused"))
        network = _construct(card, card.text)
    scale = None
    if file.path is not None:
        rules = card.text.weights
        held = select(read_file(file.path), rules.key, file.path)
        state = map_names(held, rules, file.path)
        state.pop(SCALE, None)  # where the tower has no prefix; elsewhere it is outside
        fill(network, state, file.path, absent=rules.absent)
        scale = _scale(held.get(SCALE), file.path)
    return TextEncoder(card, file, network, scale).to(device)


def _scale(found: object, path: Path) -> float | None:
    """Return exp of the file's own scale."""
    if found is None:
        return None
    scale = float(found.double().exp()) if isinstance(found, Tensor) and found.numel() == 1 else float("inf")
    if not scale < float("inf"):
        raise WeightsError(f"{path}: {SCALE} is not the logarithm of a number", GET_ANOTHER)
    return scale


class TextEncoder(nn.Module):
    """A frozen text tower in eval mode.

    Attributes:
        card: Its card.
        weights: The file its weights are from.
        network: The library's tower, without its projection.
        projection: Linear map to the space shared with images, as a module or as a matrix (width, d); None: there is
            none.
        dim: Length d of an embedding.
        logit_scale: Factor on cosines, exp of the file's `logit_scale`; None if the file has none.
    """

    def __init__(self, card: ModelCard, weights: WeightsFile, network: nn.Module, logit_scale: float | None) -> None:
        super().__init__()
        assert card.text is not None
        self.card, self.weights, self.logit_scale = card, weights, logit_scale
        self.dim, self.l2 = card.text.dim, card.text.l2
        # Set aside, so that what is projected can be had as well: open_clip's own names, then ours.
        place = next(name for name in ("text_projection", "proj", "projection") if hasattr(network, name))
        self.projection = getattr(network, place)
        setattr(network, place, nn.Identity() if place == "proj" else None)
        self.network = network
        self.requires_grad_(False)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the official code's embeddings (n, d); of unit length only where the card's `text.l2` says so.

        Args:
            input_ids: Token ids (n, t), int64, padded by the model's own tokenizer. FLAIR's padding is part of its
                mean; open_clip's own transformers take their whole context length.
            attention_mask: 1 for tokens, 0 for padding (n, t), for `library: transformers`; None: all are tokens.
                open_clip's towers see the padding by its id and do not read the mask.

        Raises:
            MedbenchError: The ids are not of the context length of a tower that has a fixed one.
        """
        found = self.hidden(input_ids, attention_mask)
        found = normalize(found, dim=-1) if self.l2 else found
        if self.projection is not None:
            found = found @ self.projection if isinstance(self.projection, Tensor) else self.projection(found)
        return normalize(found, dim=-1) if self.l2 else found

    def hidden(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return what is projected, (n, width), before it is and before any L2 norm; arguments as in `forward`."""
        if isinstance(self.network, AveragedBert):
            return self.network(input_ids, attention_mask)  # type: ignore[no-any-return]
        length = self.network.context_length
        if hasattr(self.network, "positional_embedding") and input_ids.shape[1] != length:
            raise MedbenchError(
                f"{input_ids.shape[1]} token ids a text; {self.card.name} takes {length}",
                "pad them with the model's own tokenizer",
            )
        return self.network(input_ids)  # type: ignore[no-any-return]


class AveragedBert(nn.Module):
    """FLAIR's text tower: hidden states of a BERT averaged over all positions, padding included, and over `states`."""

    def __init__(self, bert: nn.Module, states: list[int], width: int, dim: int) -> None:
        super().__init__()
        self.model, self.states = bert, states
        self.projection = nn.Linear(width, dim, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the mean (n, width) of ids (n, t)."""
        found = self.model(input_ids, attention_mask, output_hidden_states=True).hidden_states
        return torch.stack([found[i].mean(dim=1) for i in self.states]).mean(dim=0)


def _construct(card: ModelCard, text: Text) -> nn.Module:
    """Return the card's text tower, projection included, without its weights."""
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


def _bert(text: Text) -> nn.Module:
    from transformers import BertModel

    config = _bert_config(text.args)
    if not text.hidden:
        raise ValueError("text.hidden names no hidden state to average")
    if odd := [i for i in text.hidden if not -config.num_hidden_layers - 1 <= i <= config.num_hidden_layers]:
        raise ValueError(f"text.hidden: there is no hidden state {odd[0]} behind {config.num_hidden_layers} layers")
    return AveragedBert(BertModel(config), text.hidden, config.hidden_size, text.dim)


def _bert_config(args: dict[str, Any]) -> Any:
    from transformers import BertConfig

    if odd := set(args) - set(BertConfig().to_dict()):  # transformers keeps fields that it does not know, unread
        raise ValueError(f"a BERT has no {', '.join(sorted(odd))}")
    return BertConfig(**args)


def _open_clip_bert(text: Text) -> nn.Module:
    """Return open_clip's wrapper of a BERT; `hf_pooler_type` and `hf_proj_type` are as in its own configurations."""
    from open_clip.hf_model import HFTextEncoder

    args = dict(text.args)
    pooler, proj = args.pop("hf_pooler_type", "mean_pooler"), args.pop("hf_proj_type", "mlp")
    tower = HFTextEncoder("", text.dim, config=_bert_config(args), pooler_type=pooler, proj_type=proj)
    if not hasattr(tower, "proj"):
        raise ValueError(f"there is no hf_proj_type {proj}")
    if pooler != "cls_pooler":
        tower.transformer.pooler = None  # no file of open_clip's has one that it does not use
    return tower  # type: ignore[no-any-return]


def _open_clip(text: Text) -> nn.Module:
    """Return open_clip's own text transformer; `args` go over the text part of its configuration."""
    import open_clip

    config = open_clip.get_model_config(text.arch)
    if "hf_model_name" in config["text_cfg"]:
        raise ValueError("its text tower's configuration is on the hub; write its numbers, with arch `bert`")
    pair = open_clip.CustomTextCLIP(
        text.dim,
        vision_cfg={"layers": 1, "width": 64, "patch_size": 224},  # built beside it and left aside
        text_cfg={**config["text_cfg"], "output_tokens": False, **text.args},
        quick_gelu=config.get("quick_gelu", False),
    )
    return pair.text  # type: ignore[no-any-return]


BUILDERS: dict[tuple[str, str], Callable[[Text], nn.Module]] = {
    ("transformers", "bert"): _bert,
    ("open_clip", "bert"): _open_clip_bert,
}
"""Library and architecture -> what builds the tower, beside open_clip's own."""
