"""Refinement of an encoder with images and their reports (RetFiner; Fecso et al. 2025).

A run keeps the encoder, the text model and the heads, and a model card that reads them. `MODEL@retfiner` is the refined
encoder in any protocol; zero-shot uses the image and text vectors that the contrastive loss has aligned.
"""

from __future__ import annotations

import torch

from medbench.cards.recipes import RetFiner
from medbench.errors import DataError
from medbench.models.encoder import Encoder
from medbench.models.text.bert import build_reader
from medbench.models.weights.bert_files import VOCABULARY
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import checkpointed, machine_of, sample, several
from medbench.training.finetune.networks import leave_out_unreached, thaw
from medbench.training.retfiner.exported import exported, model_card
from medbench.training.retfiner.network import Refiner
from medbench.training.retfiner.refining import Refining, ReportData, alone
from medbench.training.retfiner.reports import Reader, Reports, reader_of
from medbench.training.retfiner.retrieval import chance


def run(context: Context[RetFiner]) -> dict[int, Outcome]:
    """Refine on the training pairs, keep the epoch with the lowest loss on the validation pairs.

    Raises:
        DataError: A pair has no report, all reports are equal, or there are too few pairs.
    """
    settings, inputs, seed = context.settings, context.inputs, context.seeds[0]
    texts = {split: inputs.pairs(split).texts for split in ("train", "val")}
    for split, found in texts.items():
        _check_number(split, found)
    reader = reader_of(settings, texts["train"], context.partial)
    train, val = (_checked(split, reader.read(texts[split]), settings.max_tokens) for split in ("train", "val"))
    plain = inputs.encoder()
    refiner = _refiner(context, plain, reader, train)
    data = ReportData(inputs.still(), inputs.images("val"), inputs.normalise, train, val, reader.words)
    work = Refining(refiner, data, settings, machine_of(context), seed, context.name)
    if failed := work.run(context.partial / f"seed{seed}.safetensors"):
        return {seed: Outcome(failed=failed)}
    best = {name: values[work.best_epoch] for name, values in work.curve.items()}
    outcome = Outcome(
        metrics={
            "itc_recall": best["val_recall"],
            "itc_recall_chance": chance(torch.from_numpy(val.texts)),
            "itm_accuracy": best["val_matched"],
            "val_loss": best["val_loss"],
        },
        chosen={"epoch": work.best_epoch, "epochs": len(work.curve["loss"])},
        history={"epoch": list(range(len(work.curve["loss"]))), **work.curve},
        warnings=_warnings(context, reader, [*texts["train"], *texts["val"]], train),
        counts=work.facts(),
        weights=exported(work.refiner),
        model=model_card(plain, work.refiner, reader, context.input_of(plain.card)),
        files={VOCABULARY: reader.source.vocabulary},
    )
    return {seed: outcome}


def _refiner(context: Context[RetFiner], plain: Encoder, reader: Reader, reports: Reports) -> Refiner:
    """Return the network with its first weights; parameters on which no loss depends are frozen."""
    settings, inputs, seed = context.settings, context.inputs, context.seeds[0]
    transformer = plain.card.library == "timm" and plain.sequential and settings.drop_path is not None
    encoder = inputs.encoder(drop_path=settings.drop_path) if transformer else inputs.encoder()
    encoder.set_grad_checkpointing(checkpointed(context, inputs.image_size))
    thaw(encoder)
    bert = build_reader(reader.source.shape, reader.source.files, settings.dropout, "retfiner", "bert", seed)
    refiner = Refiner(encoder, bert, settings, seed).to(context.device).eval()
    two = [0, int((reports.texts != reports.texts[0]).argmax())]
    batch = reports.batch(two, settings, reader.words, context.device, "retfiner", "shape")
    images = sample(context).expand(2, -1, -1, -1)
    leave_out_unreached(refiner, refiner(images, batch, torch.arange(2, device=context.device), alone)[:4].sum())
    return refiner


def _check_number(split: str, texts: tuple[str, ...]) -> None:
    """Refuse pairs without a report, and splits with fewer than two pairs.

    Raises:
        DataError: A pair has no report, or there are fewer than two pairs.
    """
    if silent := sum(not text.strip() for text in texts):
        raise DataError(
            f"{silent} of {len(texts)} images in {split} have no report",
            "fill in the column of texts, or remove the rows",
        )
    if len(texts) < 2:
        raise DataError(
            f"{split} has {len(texts)} pair, but an image is compared with the reports of other images",
            "add pairs, or choose a split with more of them: --set split=NAME",
        )


def _checked(split: str, reports: Reports, read: int) -> Reports:
    """Return reports that are not all equal.

    Raises:
        DataError: They are equal, in the tokens that are read.
    """
    if len(set(reports.texts.tolist())) == 1:
        raise DataError(
            f"all {len(reports.texts)} reports in {split} are equal in the"
            f" {read} tokens that are read, so there is nothing to learn",
            "add images with other reports, or read more: --set max_tokens=N",
        )
    return reports


def _warnings(context: Context[RetFiner], reader: Reader, texts: list[str], train: Reports) -> tuple[str, ...]:
    settings, found = context.settings, []
    if reader.source.files is None:
        found.append("the text model started from random weights; for a pre-trained BERT: --set bert=FOLDER")
    if cut := len(reader.cut(texts)):
        found.append(f"{cut} of {len(texts)} reports were cut to {settings.max_tokens} tokens (max_tokens)")
    equal = len(train.texts) - len(set(train.texts.tolist()))
    if equal and settings.equal_text == "negative":
        found.append(
            f"{equal} of {len(train.texts)} training reports are equal to others and count as negatives of them; to "
            f"ignore such pairs: --set equal_text=ignore"
        )
    return (*found, *several(machine_of(context)))
