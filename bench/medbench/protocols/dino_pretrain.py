"""In-domain self-supervision by DINO (Caron et al. 2021; WACV 2024, Tables B.1 and B.2). Labels only measure it.

The encoder starts from the model card's weights. The teacher's encoder is kept; its tensors have the names of the
card's network, and the model `NAME@dino-pretrain` reads them. The record's metrics are those of its k-NN scores.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from medbench.cards.recipes import DinoPretrain
from medbench.errors import CardError, first_line
from medbench.models.encoder import Encoder
from medbench.models.networks.builders import REFUSED
from medbench.protocols.context import Context, Outcome
from medbench.protocols.knn import vote, votes_of
from medbench.protocols.tuning import checkpointed, machine_of, sample, several
from medbench.training.dino.parts import Head, Student, Teacher
from medbench.training.dino.pretraining import CropData, Pretraining
from medbench.training.finetune.networks import leave_out_unused, thaw

COLLAPSED = 0.01
"""Information of the teacher's outputs about the image, as a share of its maximum, ln(images in a batch)."""


def run(context: Context[DinoPretrain]) -> dict[int, Outcome]:
    """Pre-train on the training images, score validation and test by k-NN."""
    settings, inputs, seed = context.settings, context.inputs, context.seeds[0]
    student, teacher = encoders(context)
    work = Pretraining(
        Student(student, Head(student.dim, settings, seed)),
        Teacher(teacher, Head(teacher.dim, settings, seed)),
        CropData(inputs.crops(seed, settings), len(context.train_targets), inputs.normalise),
        settings,
        machine_of(context),
        seed,
        context.name,
    )
    if failed := work.run(_state(context, seed)):
        return {seed: Outcome(failed=failed)}
    k = min(settings.k, len(context.train_targets))
    val, test = _neighbours(context, work, k)
    outcome = Outcome(
        log_odds_val=val,
        log_odds_test=test,
        chosen={"epochs": settings.epochs, "k": k, "loss": work.curve["loss"][-1]},
        history={"epoch": list(range(settings.epochs)), **work.curve},
        warnings=_warnings(context, work, k),
        counts=work.facts(),
        weights=work.teacher.encoder.network.state_dict(),
    )
    return {seed: outcome}


def encoders(context: Context[DinoPretrain]) -> tuple[Encoder, Encoder]:
    """Return the encoders of student and teacher: copies of the job's encoder that take crops of all sizes.

    Raises:
        CardError: The network does not take crops of a size in the settings.
    """
    settings, inputs = context.settings, context.inputs
    plain = inputs.encoder()
    any_size = _check_sizes(context, settings, plain)
    transformer = plain.card.library == "timm" and plain.sequential
    student = inputs.encoder(drop_path=settings.drop_path if transformer else None, any_size=any_size)
    student.set_grad_checkpointing(checkpointed(context, inputs.image_size))
    thaw(student)
    leave_out_unused(student, sample(context))
    return student, inputs.encoder(any_size=any_size)


def _check_sizes(context: Context[DinoPretrain], settings: DinoPretrain, plain: Encoder) -> bool:
    """Tell whether the network must be built for images of any size.

    Raises:
        CardError: Even then it does not take the crops.
    """
    asked = {"global_size": settings.global_size, "local_size": settings.local_size if settings.local_crops else None}
    refused = {field: size for field, size in asked.items() if size is not None and refusal(plain, size)}
    if not refused:
        return False
    loose = plain
    with contextlib.suppress(CardError):  # its library has no such argument
        loose = context.inputs.encoder(any_size=True)
    for field, size in refused.items():
        if why := refusal(loose, size):
            without = "--set local_crops=0" if field == "local_size" else "do not change global_size"
            fits = whole_patches(plain, size)
            hint = f"--set {field}={fits}, a whole number of its patches; or {without}" if fits else without
            raise CardError(f"{plain.card.name} does not take crops of {size} pixels ({field}): {why}", hint)
    return True


def _state(context: Context[DinoPretrain], seed: int) -> Path:
    return context.partial / f"seed{seed}.safetensors"


def _neighbours(
    context: Context[DinoPretrain], work: Pretraining, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the k-NN log-odds of validation and test on the teacher's features of clean images."""
    labels = torch.from_numpy(votes_of(context)).to(context.device)
    bank = _features(context, work, "train")
    with torch.inference_mode():
        val, test = (
            vote(_features(context, work, split), bank, labels, [k], context.settings.temperature)[0]
            for split in ("val", "test")
        )
    return val, test


def _features(context: Context[DinoPretrain], work: Pretraining, split: str) -> Tensor:
    images = context.inputs.images(split)
    return normalize(work.embed(images, len(images)), dim=1)  # type: ignore[arg-type]


def _warnings(context: Context[DinoPretrain], work: Pretraining, k: int) -> tuple[str, ...]:
    settings, found = context.settings, []
    left = work.curve["information"][-1]
    if left < COLLAPSED * np.log(2 * work.batch):
        found.append(f"collapsed: the teacher's outputs are nearly equal for all images (information {left:.4f} nats)")
    if k < settings.k:
        found.append(f"k = {settings.k} is more than the {k} training images: {k} is used")
    return (*found, *several(work.machine))


def refusal(encoder: Encoder, size: int) -> str:
    """Try one image of `size` x `size` pixels; return why the encoder refuses it, or an empty text."""
    place = next(encoder.parameters())
    image = torch.zeros((1, encoder.in_chans, size, size), dtype=place.dtype, device=place.device)
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    try:
        with torch.no_grad():
            encoder.pooled(image)
    except REFUSED as error:
        return first_line(error)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return ""


def whole_patches(encoder: Encoder, size: int) -> int | None:
    """Return the next multiple of the patch size above `size`; None if `size` is one, or if there are no patches."""
    patch = getattr(getattr(encoder.network, "patch_embed", None), "patch_size", None)
    side = max(patch) if isinstance(patch, tuple) else 0
    return -(-size // side) * side if side and size % side else None
