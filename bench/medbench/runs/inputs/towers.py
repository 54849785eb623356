"""The text towers of a plan's jobs, and the vectors of texts that they gave."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from medbench.cards import ModelCard
from medbench.models.text import TextEncoder, load_text
from medbench.models.weights.locate import WeightsFile
from medbench.protocols.context import Language
from medbench.runs.language import JobLanguage
from medbench.storage import files

FIRST_SCALE = 1 / 0.07
"""Factor on cosines for weights that have none, such as random ones: where CLIP's training starts."""


@dataclass
class Towers:
    """Holds the last text tower and its vectors: the jobs of a plan that share a tower follow each other."""

    device: torch.device
    _key: str = ""
    _tower: TextEncoder | None = None
    _known: dict[tuple[str, ...], NDArray[np.float32]] = field(default_factory=dict)

    def get(self, model: ModelCard, weights: WeightsFile, vocabulary: WeightsFile | None) -> TextEncoder:
        """Return the model's text tower, on the device."""
        text = model.text.material() if model.text else None
        key = files.digest([model.material(), text, weights.sha256, vocabulary and vocabulary.sha256])
        if self._tower is None or key != self._key:
            self._tower, self._known = None, {}
            self._tower = load_text(model, weights, vocabulary=vocabulary, device=str(self.device))
            self._key = key
        return self._tower

    def language(self, model: ModelCard, weights: WeightsFile, asked: JobLanguage | None) -> Language | None:
        """Return the language side of a job's context; None where the text tower is not used."""
        if asked is None or model.text is None:
            return None
        tower = self.get(model, weights, asked.vocabulary)
        known = asked.scale or model.text.scale or tower.logit_scale
        warnings = _cut(tower, asked)
        if known is None and weights.path is not None:
            warnings += (
                f"the weights have no logit_scale: cosine similarities are multiplied by {FIRST_SCALE:.1f}, as at "
                f"the start of CLIP's training, so probabilities are not calibrated by the model (to change it: "
                f"--set scale=…)",
            )
        embed = functools.partial(self._embed, tower)
        return Language(
            asked.prompts, asked.others, embed, known or FIRST_SCALE, tower.logit_bias, warnings, asked.prototype
        )

    def _embed(self, tower: TextEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts (n, d), which go through the tower in one call: padding can be part of them."""
        asked = tuple(texts)
        if asked not in self._known:
            with torch.inference_mode():
                self._known[asked] = tower.embed(asked).float().cpu().numpy()
        return self._known[asked]


def _cut(tower: TextEncoder, asked: JobLanguage) -> tuple[str, ...]:
    """Return a warning that texts are longer than the tower's context, if some are."""
    sets = [asked.prompts, *asked.others]
    texts = dict.fromkeys(text for one in sets for side in (one.texts, one.negatives or ()) for text in chain(*side))
    if not (cut := tower.tokenize(list(texts)).cut):
        return ()
    assert tower.card.text is not None
    most = tower.card.text.tokenizer.context
    return (f"{len(cut)} of {len(texts)} texts were cut to the {most} tokens that {tower.card.name} reads",)
