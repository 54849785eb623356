"""The two towers that are aligned: an encoder of images and a BERT, each with a linear map into one space."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from medbench.models.encoder import Encoder
from medbench.models.text.builders import AveragedBert
from medbench.seeding import seed_of
from medbench.training.alignment.losses import MOST_SCALE

FIRST_SCALE = 1 / 0.07
"""Factor on cosines at the start, as in CLIP."""
IMAGE, IMAGE_MAP = "vision_model.model.", "vision_model.projection_head_vision.projection."
TEXT, TEXT_MAP, SCALE = "text_model.model.", "text_model.projection_head_text.projection.", "logit_scale"
"""Names of the tensors in FLAIR's file; medbench writes the same names."""


class Towers(nn.Module):
    """Both towers, trained together.

    Args:
        encoder: Of images; its pooled feature has length `encoder.dim`.
        text: The BERT with its linear map to vectors of length d.
        dim: d.
        seed: Names the first weights of the map of images.
    """

    def __init__(self, encoder: Encoder, text: AveragedBert, dim: int, seed: int) -> None:
        super().__init__()
        self.encoder, self.text = encoder, text
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("flair-pretrain", "projection", seed))
            self.projection = nn.Linear(encoder.dim, dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        if (pooler := getattr(text.model, "pooler", None)) is not None:
            pooler.requires_grad_(False)  # no output depends on it

    def forward(self, images: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit vectors of images and of texts, (b, d) each, and the logarithm of the factor on cosines.

        Args:
            images: (b, c, h, w).
            ids: Token ids (b, t); FLAIR's mean over positions includes the padding.
            mask: 1 for tokens, 0 for padding (b, t).
        """
        return self.image_vectors(images), self.text_vectors(ids, mask), self.logit_scale.clone()

    def image_vectors(self, images: Tensor) -> Tensor:
        """Return unit vectors of images, (b, d): unit(W unit(pooled))."""
        return normalize(self.projection(normalize(self.encoder.pooled(images), dim=1)).float(), dim=1)

    def text_vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return unit vectors of texts, (b, d): unit(W unit(mean of the hidden states))."""
        return normalize(self.text.projection(normalize(self.text(ids, mask), dim=1)).float(), dim=1)

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Keep the factor on cosines from 1 to 100."""
        self.logit_scale.clamp_(0.0, MOST_SCALE)

    def exported(self) -> dict[str, Tensor]:
        """Return all tensors under the names of FLAIR's own file."""
        parts: list[tuple[str, nn.Module]] = [
            (IMAGE, self.encoder.network),
            (IMAGE_MAP, self.projection),
            (TEXT, self.text.model),
            (TEXT_MAP, self.text.projection),
        ]
        found = {start + name: value for start, part in parts for name, value in part.state_dict().items()}
        return {**found, SCALE: self.logit_scale.detach()}
