"""Text towers of vision-language pairs: token ids to embeddings, for zero-shot classification of images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medbench.cards import ModelCard, find_model
from medbench.cards.model import Text
from medbench.errors import CardError, MedbenchError, WeightsError, unknown
from medbench.models.networks.builders import REFUSED, Undrawn
from medbench.models.weights.locate import WeightsFile, locate, require_unchanged
from medbench.models.weights.read import GET_ANOTHER, fill, map_names, read_file, select
from medbench.seeding import seed_of

SCALE = "logit_scale"  # in the file: logarithm of the factor on cosines


def load_text(
    name: str | Path | ModelCard, weights: str | Path | WeightsFile | None = None, *, device: str = "cpu"
) -> TextEncoder:
    """Build the text tower of a vision-language pair and load its weights strictly.

    Args:
        name: Name of a card, a card file, or a card.
        weights: None for the official file, a path, or `random`.
        device: Device for the tower.

    Raises:
        CardError: The card is unknown, has no text tower, or does not fit the library.
        WeightsError: The file is missing, damaged, unsafe or for another architecture.
    """
    card = name if isinstance(name, ModelCard) else find_model(str(name))
    if card.text is None:
        raise CardError(
            f"model card {card.name} has no text tower", "choose a vision-language model: its card has a section `text`"
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
        state.pop(SCALE, None)  # it is among these if the tower's prefix is empty
        fill(network, state, file.path, absent=rules.absent)
        scale = _scale(held.get(SCALE), file.path)
        require_unchanged(file)
    return TextEncoder(card, file, network, scale).to(device)


def _scale(found: object, path: Path) -> float | None:
    """Return exp of the file's `logit_scale`."""
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
        weights: The file of its weights.
        network: The library's tower, without its projection.
        projection: Linear map to the space shared with images, as a module or a matrix (width, d); None: none.
        dim: Length d of an embedding.
        logit_scale: Factor on cosines: exp of the file's `logit_scale`; None if the file has none.
    """

    def __init__(self, card: ModelCard, weights: WeightsFile, network: nn.Module, logit_scale: float | None) -> None:
        super().__init__()
        assert card.text is not None
        self.card, self.weights, self.logit_scale = card, weights, logit_scale
        self.dim, self.l2 = card.text.dim, card.text.l2
        # Separate from the network, for `hidden`. The names are open_clip's, then ours.
        place = next(name for name in ("text_projection", "proj", "projection") if hasattr(network, name))
        self.projection = getattr(network, place)
        setattr(network, place, nn.Identity() if place == "proj" else None)
        self.network = network
        self.requires_grad_(False)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the embeddings of the official code, (n, d); their length is one if the card sets `text.l2`.

        Args:
            input_ids: Token ids (n, t), int64, padded by the model's own tokenizer. FLAIR's mean includes the padding;
                open_clip's own transformers need t to be their context length.
            attention_mask: 1 for tokens, 0 for padding (n, t), for `library: transformers`; None: all are tokens.
                open_clip's towers recognise padding by its id and ignore the mask.

        Raises:
            MedbenchError: The tower has a fixed context length, and t is another.
        """
        found = self.hidden(input_ids, attention_mask)
        found = normalize(found, dim=-1) if self.l2 else found
        if self.projection is not None:
            found = found @ self.projection if isinstance(self.projection, Tensor) else self.projection(found)
        return normalize(found, dim=-1) if self.l2 else found

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Return the embeddings of texts (n, d), which go through the tower in one call."""
        from open_clip import tokenize

        return self(tokenize(list(texts)).to(next(self.parameters()).device))  # type: ignore[no-any-return]

    def hidden(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the vectors before the projection and before any L2 norm, (n, width); arguments as in `forward`."""
        if isinstance(self.network, AveragedBert):
            return self.network(input_ids, attention_mask)  # type: ignore[no-any-return]
        length = self.network.context_length
        if hasattr(self.network, "positional_embedding") and input_ids.shape[1] != length:
            raise MedbenchError(
                f"{input_ids.shape[1]} token ids per text; {self.card.name} takes {length}",
                "pad them with the model's own tokenizer",
            )
        return self.network(input_ids)  # type: ignore[no-any-return]


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


def _construct(card: ModelCard, text: Text) -> nn.Module:
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
        raise ValueError("its text configuration is on the hub; use arch `bert` and write the numbers in args")
    pair = open_clip.CustomTextCLIP(
        text.dim,
        vision_cfg={"layers": 1, "width": 64, "patch_size": 224},  # required by the class, not used
        text_cfg={**config["text_cfg"], "output_tokens": False, **text.args},
        quick_gelu=config.get("quick_gelu", False),
    )
    return pair.text  # type: ignore[no-any-return]


BUILDERS: dict[tuple[str, str], Callable[[Text], nn.Module]] = {
    ("transformers", "bert"): _bert,
    ("open_clip", "bert"): _open_clip_bert,
}
"""Library and architecture -> function that builds the tower; open_clip's own towers are not listed."""
