"""The recipes of pre-training on a data set: self-supervision, and the alignment of images with texts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from medbench.cards.dataset.splits import Split
from medbench.cards.recipes.base import Positive, Rate, Settings
from medbench.cards.recipes.kinds import Kind


class DinoPretrain(Settings):
    """DINO self-supervision on a data set's training images (Caron et al. 2021)."""

    kind: ClassVar[Kind] = Kind("dino-pretrain", version=2, seeded=False, keeps=True, thaws=True, classifies=False)
    epochs: Positive = 100
    batch_size: Positive = Field(64, description="Images per step, over all processes and micro-batches.")
    global_size: Positive | None = Field(None, description="Side of the two global crops; none: the image size.")
    local_size: Positive = Field(96, description="Side of the local crops.")
    local_crops: int = Field(6, ge=0, le=1_000)
    global_scale: tuple[float, float] = Field((0.4, 1.0), description="Area of a global crop as a share of the image.")
    local_scale: tuple[float, float] = Field((0.05, 0.4), description="Area of a local crop as a share of the image.")
    crop_interpolation: Literal["bilinear", "bicubic"] = Field("bicubic", description="Of the crops; DINO's: bicubic.")
    horizontal_flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.8, ge=0, le=1, description="Probability of the colour jitter.")
    brightness: float = Field(0.4, ge=0)
    contrast: float = Field(0.4, ge=0)
    saturation: float = Field(0.2, ge=0)
    hue: float = Field(0.1, ge=0, le=0.5)
    grey: float = Field(0.2, ge=0, le=1, description="Probability of a grey crop.")
    blur: tuple[float, float, float] = Field(
        (1.0, 0.1, 0.5), description="Probability of blur of global crop 1, global crop 2 and local crops."
    )
    solarize: float = Field(0.2, ge=0, le=1, description="Probability of solarisation of the second global crop.")
    hidden: Positive = Field(2048, description="Width of the head.")
    bottleneck: Positive = Field(256, description="Width before its last layer.")
    outputs: Positive = Field(4096, description="Outputs of its last layer.")
    layers: Positive = Field(3, description="Layers of the head before its last.")
    student_temperature: float = Field(0.1, gt=0)
    teacher_temperature: tuple[float, float] = Field((0.04, 0.07), description="Start and end of its warm-up.")
    teacher_warmup: int = Field(30, ge=0, description="Epochs of that warm-up.")
    centre_momentum: float = Field(0.9, ge=0, le=1, description="1: no centring.")
    momentum: float = Field(0.99, ge=0, le=1, description="Momentum of the teacher; rises to 1 along a cosine.")
    learning_rate: Rate = 1e-4
    min_rate: float = Field(1e-6, ge=0, description="Where the cosine of the rate ends.")
    warmup_epochs: int = Field(10, ge=0)
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the warm-up; overrides `warmup_epochs`.")
    weight_decay: tuple[float, float] = Field((0.04, 0.4), description="Start and end of its cosine.")
    freeze_last: int = Field(1, ge=0, description="Epochs with the head's last layer frozen.")
    clip: float = Field(1.0, gt=0, description="Global norm of the gradient.")
    drop_path: float | None = Field(
        0.1, ge=0, lt=1, description="Stochastic depth of a student that is a transformer; none: the model card's."
    )
    micro_batch: Positive | None = Field(None, description="Images at once; the rest of a step is accumulated.")
    checkpointing: bool | None = Field(
        None, description="Recompute blocks in the backward pass; none: from 512 pixels on, on a GPU."
    )
    k: Positive = Field(20, description="Neighbours of the k-NN that gives the record's metrics.")
    temperature: float = Field(0.07, gt=0, description="Temperature of that k-NN's votes.")


class WithBert(Settings):
    """Pre-training in which a BERT reads texts: one of a folder, or a small one that is drawn."""

    bert: str | None = Field(
        None,
        description="Folder of a BERT as its authors publish it: config.json, vocab.txt, and model.safetensors or"
        " pytorch_model.bin. None: a small BERT with random weights and the words of the training texts.",
    )
    bert_sha256: str | None = Field(None, description="Digest of that folder's files; medbench fills it in.")
    bert_width: Positive = Field(256, description="Width of a BERT with random weights.")
    bert_layers: Positive = Field(2, description="Layers of a BERT with random weights.")
    bert_heads: Positive = Field(4, description="Attention heads of a BERT with random weights.")
    max_tokens: int = Field(
        ge=3, le=100_000, description="Number of tokens that are read of a text, with [CLS] and [SEP]."
    )

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> WithBert:
        if self.bert is None and self.bert_width % self.bert_heads:
            raise ValueError(f"bert_width: {self.bert_width} is not a multiple of bert_heads, {self.bert_heads}")
        return self


class FlairPretrain(WithBert):
    """Alignment of images with texts by category (FLAIR, Silva-Rodríguez et al. 2025)."""

    kind: ClassVar[Kind] = Kind("flair-pretrain", seeded=False, keeps=True, thaws=True, classifies=False, pairs=True)
    epochs: Positive = 15
    batch_size: int = Field(
        128, ge=2, le=1_000_000, description="Pairs per step, over all processes; part of the loss."
    )
    learning_rate: Rate = 1e-4
    weight_decay: float = Field(1e-5, ge=0, description="On all parameters, norms and biases too, as published.")
    warmup_epochs: int = Field(1, ge=0)
    horizon_epochs: Positive | None = Field(
        None, description="Epochs after which the cosine schedule would end at 0 (published: 100); none: `epochs`."
    )
    clip: float = Field(1.0, gt=0, description="Global norm of the gradient.")
    balance_sources: bool = Field(True, description="Draw each data set equally often; false: each image once.")
    caption: str = Field(
        "A [ATR] fundus photograph of [CLS]",
        description="Template: [ATR] is an attribute, [CLS] a category of the image.",
    )
    dictionary: str | None = Field(
        "flair-code", description="Prompts card with texts that may replace the categories; none: nothing is replaced."
    )
    dictionary_sha256: str | None = Field(None, description="Digest of that card's texts; medbench fills it in.")
    plain_sources: list[str] = Field(
        default=["06_EYENET", "11_STARE", "08_ODIR-5K", "31_JICHI"],
        description="Data sets of the pairs whose categories are never replaced by texts of the dictionary.",
    )
    dim: Positive = Field(512, description="Length of the vectors that are compared.")
    bert_layers: int = Field(
        2, ge=2, description="Layers of a BERT with random weights; FLAIR averages the outputs of three levels."
    )
    colour: bool = Field(
        True, description="Whether the recipe is for colour images; if so, images of one channel are refused."
    )
    horizontal_flip: float = Field(0.5, ge=0, le=1)
    affine: float = Field(0.25, ge=0, le=1, description="Probability of a rotation with a change of size.")
    degrees: float = Field(5.0, ge=0, le=180, description="Largest rotation to either side.")
    scale: tuple[float, float] = Field((0.9, 1.0), description="Smallest and largest factor of the size.")
    jitter: float = Field(0.25, ge=0, le=1, description="Probability of a change of brightness and contrast.")
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.2, ge=0, lt=1)
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the BERT.")
    max_tokens: int = Field(
        77, ge=3, le=512, description="Number of tokens that are read of a text, with [CLS] and [SEP]."
    )
    micro_batch: Positive | None = Field(
        None, description="Pairs that are computed at once; each is then computed twice, so that the loss sees all."
    )
    checkpointing: bool | None = Field(
        None, description="Recompute blocks in the backward pass; none: from 512 pixels on, on a GPU."
    )
    probe_epochs: Positive = Field(5, description="Epochs between two probes (zero-shot, k-NN) on validation.")
    k: Positive = Field(20, description="Neighbours of the k-NN probe.")
    temperature: float = Field(0.07, gt=0, description="Temperature of that k-NN's votes.")

    @field_validator("caption")
    @classmethod
    def _names_the_category(cls, caption: str) -> str:
        if caption.count("[CLS]") != 1:
            raise ValueError(f"'{caption}' must have one [CLS], the place of the category")
        return caption

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts of a split that must have images; the model is tested on other data sets."""
        return ("train", "val")
