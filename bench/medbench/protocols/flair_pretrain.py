"""Alignment of images with texts by category (FLAIR, Silva-Rodríguez et al. 2025), with any encoder and a BERT.

Both towers are kept, in the layout of FLAIR's own file, with a card next to them: every protocol, also zero-shot, can
use the model `NAME@flair-pretrain`. The record's metrics are zero-shot and k-NN recalls on held-out images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from medbench.cards import ModelCard
from medbench.cards.find import find_prompts
from medbench.cards.model import Text, Tokenizer, Weights
from medbench.cards.recipes import FlairPretrain
from medbench.data.pairs import Pairs
from medbench.errors import DataError
from medbench.features.extract import exact
from medbench.models.prototypes import prototypes
from medbench.models.text.bert import BertSource, build_bert
from medbench.models.text.tokenizers import Tokenizer as TextReader
from medbench.models.weights.bert_files import VOCABULARY
from medbench.protocols.context import Context, Outcome
from medbench.protocols.knn import vote
from medbench.protocols.tuning import checkpointed, machine_of, sample, several
from medbench.training.alignment.captions import Captions, filled
from medbench.training.alignment.network import IMAGE, Towers
from medbench.training.alignment.training import Alignment, CaptionData
from medbench.training.finetune.networks import leave_out_unused, thaw

ZERO_SHOT, NEIGHBOURS = "zero_shot_recall", "knn_recall"
"""Recall on held-out images, averaged over the categories: an image counts if the nearest category is its own."""


def run(context: Context[FlairPretrain]) -> dict[int, Outcome]:
    """Train both towers on the training pairs; probe them on validation."""
    settings, inputs, seed = context.settings, context.inputs, context.seeds[0]
    pairs = inputs.pairs("train")
    _check(context, pairs)
    captions = captions_of(settings, pairs)
    source = BertSource.of(settings, [*captions.every(), captions.filled("")])
    reader = source.tokenizer(context.partial, settings.max_tokens, "longest")
    card = made_card(context, source.shape, reader.rule)
    assert card.text is not None
    text = build_bert(card, _with_dropout(card.text, settings.dropout), source.files, "flair-pretrain", "text", seed)
    encoder = inputs.encoder()
    encoder.set_grad_checkpointing(checkpointed(context, inputs.image_size))
    thaw(encoder)
    leave_out_unused(encoder, sample(context))
    data = CaptionData(inputs.still(), captions, reader, inputs.mean, inputs.std)
    work = Alignment(
        Towers(encoder, text, settings.dim, seed),
        data,
        settings,
        machine_of(context),
        seed,
        context.name,
        _Probe(context, captions, reader).measure,
    )
    if failed := work.run(context.partial / f"seed{seed}.safetensors"):
        return {seed: Outcome(failed=failed)}
    last = {name: values[-1] for name, values in work.probes.items()}
    curve = {**work.curve, **work.probes}
    outcome = Outcome(
        metrics={ZERO_SHOT: last[ZERO_SHOT], NEIGHBOURS: last[NEIGHBOURS]},
        chosen={"epochs": settings.epochs, **{name: values[-1] for name, values in work.curve.items()}},
        history={"epoch": list(range(settings.epochs)), **curve},
        warnings=_warnings(work, pairs),
        counts=work.facts(),
        weights=work.towers.exported(),
        model=card,
        files={VOCABULARY: source.vocabulary},
    )
    return {seed: outcome}


def captions_of(settings: FlairPretrain, pairs: Pairs) -> Captions:
    """Return the captions of a recipe, with the texts of its dictionary."""
    listed = {} if settings.dictionary is None else find_prompts(settings.dictionary).prompts
    return Captions(pairs, settings.caption, listed, frozenset(settings.plain_sources))


def _check(context: Context[FlairPretrain], pairs: Pairs) -> None:
    """Refuse data from which nothing can be learned.

    Raises:
        DataError: There is one training image, or one category, or the images have one channel under a colour recipe.
    """
    if len(pairs) < 2:
        raise DataError("there is only one training pair, so there is nothing to learn", "add pairs")
    keys = {(one, text if not one else "") for one, text in zip(pairs.categories, pairs.texts, strict=True)}
    if len(keys) < 2:
        raise DataError(
            "all training pairs have the same category, so the loss is always 0",
            "add images of other categories, or with texts of their own",
        )
    if context.settings.colour and len(context.inputs.mean) == 1:
        raise DataError(
            "the images have one channel, but the recipe is for colour images",
            "give --set colour=false to train a network for grey images",
        )


def made_card(context: Context[FlairPretrain], args: dict[str, Any], rule: Tokenizer) -> ModelCard:
    """Return the card of the model that is made: FLAIR's layout of the weights file, and the input of the training.

    Args:
        context: The job.
        args: Arguments of the BERT.
        rule: Its tokenizer.
    """
    settings, inputs = context.settings, context.inputs
    base = inputs.encoder()
    plain = base.card
    features = plain.features.model_dump(exclude_defaults=True)
    projected = {
        "weights": {
            "prefix": "vision_model.",
            "rename": {r"^model\.": "", r"^projection_head_vision\.": ""},
            "absent": {"projection.bias": 0.0},
        },
        "features": {**features, "projection": [base.dim, settings.dim], "l2": True, "dim": settings.dim},
    }
    sources = [name for name in dict.fromkeys(inputs.pairs("train").sources) if name]
    return plain.model_copy(
        update={
            "weights": Weights(prefix=IMAGE, licence=plain.weights.licence if plain.weights else ""),
            "input": context.input_of(plain),
            "text": _text(settings, args, rule),
            "alternatives": {"projected": projected},
            "pretraining": plain.pretraining.model_copy(update={"data": sources}),
        }
    )


def _text(settings: FlairPretrain, args: dict[str, Any], rule: Tokenizer) -> Text:
    """Return the section of the text tower."""
    return Text(
        library="transformers",
        arch="bert",
        args=args,
        weights=Weights(prefix="text_model.", rename={r"^projection_head_text\.": ""}),
        hidden=[1, 2, -1],
        l2=True,
        prototype="flair",
        dim=settings.dim,
        image="projected",
        template=filled(settings.caption, "{}"),
        tokenizer=rule,
    )


def _with_dropout(text: Text, dropout: float) -> Text:
    return text.model_copy(
        update={"args": {**text.args, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}}
    )


@dataclass(frozen=True)
class _Probe:
    """Measures the towers on validation: zero-shot by the categories' texts, and k-NN on the pooled feature."""

    context: Context[FlairPretrain]
    captions: Captions
    reader: TextReader

    @torch.inference_mode()
    def measure(self, towers: Towers) -> dict[str, float]:
        """Return both recalls; nan with less than two categories, or if no held-out image has one that was trained."""
        pairs, held = self.captions.pairs, self.context.inputs.pairs("val")
        names = sorted({name for one in pairs.categories for name in one})
        truth = _hot(held, names)
        if len(names) < 2 or not truth.any():  # among one category every image is right
            return {ZERO_SHOT: float("nan"), NEIGHBOURS: float("nan")}
        mapped, pooled = self._vectors(towers, "val", len(held))
        classes = torch.from_numpy(prototypes([self._embed(towers, name) for name in names], "flair"))
        bank = self._vectors(towers, "train", len(pairs))[1]
        labels = torch.from_numpy(_hot(pairs, names)).float().to(bank.device)
        k = min(self.context.settings.k, len(pairs))
        near = vote(normalize(pooled, dim=1), bank, labels, [k], self.context.settings.temperature)[0]
        return {
            ZERO_SHOT: recall((mapped @ classes.to(mapped.device).T).cpu().numpy(), truth),
            NEIGHBOURS: recall(near, truth),
        }

    def _vectors(self, towers: Towers, split: str, n: int) -> tuple[Tensor, Tensor]:
        """Return the mapped and the pooled vectors of a split's images, at length one."""
        machine, inputs, width = machine_of(self.context), self.context.inputs, towers.projection.out_features

        def forward(raw: Tensor) -> Tensor:
            pooled = normalize(towers.encoder.pooled(inputs.normalise(raw)).float(), dim=1)
            return torch.cat([normalize(towers.projection(pooled).float(), dim=1), pooled], dim=1)

        with exact(machine.precision), machine.accelerator.autocast():
            found = machine.predict(forward, inputs.images(split), n, width + towers.encoder.dim)
        return found[:, :width], found[:, width:]

    def _embed(self, towers: Towers, name: str) -> NDArray[np.float32]:
        tokens = self.reader(self.captions.described(name))
        device = towers.logit_scale.device
        return towers.text_vectors(tokens.ids.to(device), tokens.mask.to(device)).float().cpu().numpy()


def _hot(pairs: Pairs, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which of the categories each image has, (n, c)."""
    return np.array([[name in one for name in names] for one in pairs.categories], bool).reshape(len(pairs), len(names))


def recall(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Return the recall, averaged over the categories that occur: chance is 1 / c where each image has one category.

    Args:
        scores: (n, c); an image is right if its greatest score is at one of its categories.
        truth: (n, c).
    """
    right = truth[np.arange(len(truth)), scores.argmax(axis=1)]
    counts = truth.sum(axis=0)
    return float((truth[right].sum(axis=0)[counts > 0] / counts[counts > 0]).mean())


def _warnings(work: Alignment, pairs: Pairs) -> tuple[str, ...]:
    found = []
    without = sum(not one and not text for one, text in zip(pairs.categories, pairs.texts, strict=True))
    if without:
        found.append(f"{without} of {len(pairs)} training pairs have neither category nor text: they count as equal")
    if len({name for one in pairs.categories for name in one}) < 2:
        found.append("the training pairs have fewer than two categories: zero-shot and k-NN recall are undefined")
    if work.curve["categories"][-1] < 2:
        found.append(
            f"the effective number of categories in a batch is {work.curve['categories'][-1]:.2f}: little to learn"
        )
    if work.n % work.batch:
        found.append(f"{work.n % work.batch} of {work.n} draws of an epoch do not fill a batch and are left out")
    return (*found, *several(work.machine))
