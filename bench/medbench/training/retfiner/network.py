"""RetFiner's network: an image encoder, a BERT that can attend to its tokens, and the heads of four losses.

Modules have the names of the published checkpoints (commit e0e089f), except the encoder's own tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from medbench.cards.recipes import RetFiner
from medbench.models.encoder import Encoder
from medbench.models.networks.units import batch_norms
from medbench.seeding import seed_of
from medbench.training.retfiner.losses import contrastive, guessing, hard_negatives, rivals
from medbench.training.retfiner.masking import NOT_MASKED

LOSSES = ("mlm", "gm", "itc", "itm")
"""Masked language modelling, generative modelling, contrast of images and texts, matching of images and texts."""

Gather = Callable[[Tensor], Tensor]
"""Rows (b, …) of this process -> the rows (n, …) of all processes in the batch's order, with gradients."""


class Batch(NamedTuple):
    """The reports of a step's n pairs, over all processes, and its draws.

    Attributes:
        ids: Token ids, (n, t).
        texts: Number of each report, (n,); equal reports have equal numbers.
        mlm_ids: The reports with masked positions, (n, t).
        mlm_labels: What the masked positions were, (n, t).
        gm_ids: As `mlm_ids`, for generative modelling.
        gm_labels: As `mlm_labels`, for generative modelling.
        draws: Numbers on [0, 1) that choose a negative image and a negative text of each pair, (2, n).
    """

    ids: Tensor
    texts: Tensor
    mlm_ids: Tensor
    mlm_labels: Tensor
    gm_ids: Tensor
    gm_labels: Tensor
    draws: Tensor


class Refiner(nn.Module):
    """The network and its losses.

    Args:
        encoder: The image encoder.
        bert: A BERT of transformers with language head and cross-attention (`BertLMHeadModel`).
        settings: The recipe.
        seed: Names the first weights of the heads, which are torch's own.
    """

    def __init__(self, encoder: Encoder, bert: Any, settings: RetFiner, seed: int) -> None:
        super().__init__()
        width = bert.config.hidden_size
        self.encoder, self.multimodal_encoder, self.settings = encoder, bert, settings
        self.pad, self.normed = bert.config.pad_token_id, settings.token_norm
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed_of("retfiner", "heads", seed))
            wide = encoder.sequence(_blank(encoder), self.normed).shape[-1]
            self.proj = nn.Linear(wide, width) if wide != width else nn.Identity()
            self.contra_head_t = nn.ModuleDict({"linear": nn.Linear(width, settings.joint_width, bias=False)})
            self.contra_head_v = nn.ModuleDict({"linear": nn.Linear(width, settings.joint_width, bias=False)})
            head = {"linear1": nn.Linear(width, width), "gelu": nn.GELU()}
            head |= {"layernorm": nn.LayerNorm(width, eps=1e-12), "linear2": nn.Linear(width, 2)}
            self.itm_head = nn.Sequential(OrderedDict(head))
        self.contra_temp = nn.Parameter(torch.tensor(settings.temperature), settings.temperature_learned)

    def train(self, mode: bool = True) -> Refiner:
        """Set the mode; with `keep_statistics` the encoder's batch norms stay in eval mode."""
        super().train(mode)
        for norm in batch_norms(self.encoder) if self.settings.keep_statistics else ():
            norm.eval()
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors, each once: the words' embeddings are also the weights of the last layer."""
        first: dict[int, str] = {}
        found = self.state_dict()
        return {name: value for name, value in found.items() if first.setdefault(value.data_ptr(), name) == name}

    def forward(self, images: Tensor, batch: Batch, rows: Tensor, gather: Gather) -> Tensor:
        """Return this process's part of the four losses, unweighted, and of matching's balanced accuracy, (5,).

        Args:
            images: Prepared images of b pairs, (b, c, h, w).
            batch: All pairs of the step.
            rows: Positions of the b pairs in the batch.
            gather: Collects rows over the processes.
        """
        return self.losses(self.look(images), batch, rows, gather)

    def look(self, images: Tensor) -> Tensor:
        """Return what the text model sees of images, (b, k, width): class token, then patch tokens.

        For an encoder without a class token, the mean of its tokens takes this place.
        """
        tokens = self.encoder.sequence(images, self.normed)
        if not self.encoder.prefix:
            tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        return self.proj(tokens)  # type: ignore[no-any-return]

    def losses(self, seen: Tensor, batch: Batch, rows: Tensor, gather: Gather) -> Tensor:
        """Return `forward` of images whose tokens are `seen`, (b, k, width)."""
        zero = seen.new_zeros((), dtype=torch.float32)
        weights = self.settings.loss_weights
        mlm = self._guess(seen, batch.mlm_ids, batch.mlm_labels, rows, causal=False) if weights["mlm"] else zero
        gm = self._guess(seen, batch.gm_ids, batch.gm_labels, rows, causal=True) if weights["gm"] else zero
        image, text = self.embed_images(seen), self.embed_texts(batch.ids[rows])
        temperature = self.contra_temp.float()
        of_image, of_text = (one @ gather(other).T / temperature for one, other in ((image, text), (text, image)))
        negatives = rivals(batch.texts, rows, ignore_equal=self.settings.equal_text == "ignore")
        smoothing = self.settings.label_smoothing
        itc = sum(contrastive(one, rows, negatives, smoothing) for one in (of_image, of_text)) / (2 * len(batch.ids))
        found = torch.stack([mlm, gm, itc, zero, zero])  # type: ignore[list-item]
        if not weights["itm"]:
            return found
        image_of, text_of = (
            hard_negatives(one, negatives, draws[rows])
            for one, draws in zip((of_text, of_image), batch.draws, strict=True)
        )
        itm, right = self._match(seen, gather(seen), batch, rows, negatives.any(1), (image_of, text_of))
        return torch.cat([found[:3], torch.stack([itm, right])])

    def embed_images(self, seen: Tensor) -> Tensor:
        """Return unit vectors (b, d) float32 of images whose tokens are `seen`."""
        return normalize(self.contra_head_v["linear"](seen[:, 0]).float(), dim=1)

    def embed_texts(self, ids: Tensor) -> Tensor:
        """Return unit vectors (b, d) float32 of reports, read without an image."""
        return normalize(self.contra_head_t["linear"](self.read(ids, ids)[:, 0]).float(), dim=1)

    def read(self, ids: Tensor, plain: Tensor, seen: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """Return the last hidden states, (b, t, width).

        Args:
            ids: Token ids, (b, t).
            plain: The same before masking, which tell the padding.
            seen: Tokens of the images, (b, k, width); None: the text is read without an image.
            causal: Whether a position sees only itself and those before.
        """
        # The mask is given in full, (b, 1, t, t): a plain one would make transformers' decoder causal.
        sees = (plain != self.pad)[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        sees = sees.tril() if causal else sees
        bert = self.multimodal_encoder.bert
        found: Tensor = bert(ids, sees, encoder_hidden_states=seen, use_cache=False).last_hidden_state
        return found

    def match(self, ids: Tensor, seen: Tensor) -> Tensor:
        """Return logits (b, 2) float32 of reports and images: they do not belong together, they do."""
        found: Tensor = self.itm_head(self.read(ids, ids, seen)[:, 0])
        return found.float()

    def _guess(self, seen: Tensor, ids: Tensor, labels: Tensor, rows: Tensor, *, causal: bool) -> Tensor:
        """Return the part of the mean cross-entropy over all masked positions of the batch."""
        hidden, wanted = self.read(ids[rows], ids[rows], seen, causal=causal), labels[rows]
        at = wanted != NOT_MASKED
        logits = self.multimodal_encoder.cls(hidden[at])
        return guessing(logits, wanted[at]) / (labels != NOT_MASKED).sum()

    def _match(
        self, seen: Tensor, every: Tensor, batch: Batch, rows: Tensor, has: Tensor, negatives: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the part of the mean cross-entropy over all 3n pairs, and of the balanced accuracy.

        This is the mean of two shares: of the true pairs and of the false pairs that are classified correctly.

        Args:
            seen: Tokens of the own images, (b, k, width).
            every: Tokens of all images, (n, k, width).
            batch: All pairs.
            rows: Positions of the own ones.
            has: Which own pairs have a negative, (b,); the others count with their true pair alone.
            negatives: Positions of the negative image and of the negative text of each own pair.
        """
        image, text = negatives
        own = batch.ids[rows]
        ids = torch.cat([own, own[has], batch.ids[text[has]]])
        logits = self.match(ids, torch.cat([seen, every[image[has]], seen[has]]))
        truth = (torch.arange(len(ids), device=ids.device) < len(own)).long()
        n = len(batch.ids)
        some = has.any()  # if not all reports of a batch are equal, each pair has a negative
        right = (logits.argmax(1) == truth).float() / torch.where(truth == 1, n * (1 + some), 4 * n)
        return cross_entropy(logits, truth, reduction="sum") / (n * (1 + 2 * some)), right.sum()


def _blank(encoder: Encoder) -> Tensor:
    """Return one empty image, (1, c, h, w)."""
    place = next(encoder.parameters())
    shape = (1, encoder.in_chans, encoder.image_size, encoder.image_size)
    return torch.zeros(shape, dtype=place.dtype, device=place.device)
