"""The recipes of pre-training on a data set: self-supervision, and the alignment of images with texts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from medbench.cards.dataset.splits import Split
from medbench.cards.recipes.base import Positive, Rate, Settings
from medbench.cards.recipes.kinds import Kind


class DinoPretrain(Settings):
    """DINO: self-supervised pre-training on the training images of a data set (Caron et al. 2021)."""

    kind: ClassVar[Kind] = Kind("dino-pretrain", version=2, seeded=False, keeps=True, thaws=True, classifies=False)
    epochs: Positive = Field(100, description="Number of epochs.")
    batch_size: Positive = Field(64, description="Images per step, over all processes and micro-batches.")
    global_size: Positive | None = Field(
        None, description="Side of the two global crops in pixels; default: the image size."
    )
    local_size: Positive = Field(96, description="Side of the local crops in pixels.")
    local_crops: int = Field(6, ge=0, le=1_000, description="Number of local crops of each image.")
    global_scale: tuple[float, float] = Field(
        (0.4, 1.0), description="Range of the area of a global crop, as a share of the image."
    )
    local_scale: tuple[float, float] = Field(
        (0.05, 0.4), description="Range of the area of a local crop, as a share of the image."
    )
    crop_interpolation: Literal["bilinear", "bicubic"] = Field(
        "bicubic", description="Resize filter of the crops; DINO uses bicubic."
    )
    horizontal_flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    jitter: float = Field(0.8, ge=0, le=1, description="Probability of the colour jitter.")
    brightness: float = Field(0.4, ge=0, description="Strength of the brightness change.")
    contrast: float = Field(0.4, ge=0, description="Strength of the contrast change.")
    saturation: float = Field(0.2, ge=0, description="Strength of the saturation change.")
    hue: float = Field(0.1, ge=0, le=0.5, description="Strength of the hue change, as a share of the colour circle.")
    grey: float = Field(0.2, ge=0, le=1, description="Probability that a crop is converted to grey.")
    blur: tuple[float, float, float] = Field(
        (1.0, 0.1, 0.5), description="Probability of blur for global crop 1, global crop 2 and local crops."
    )
    solarize: float = Field(0.2, ge=0, le=1, description="Probability of solarisation of the second global crop.")
    hidden: Positive = Field(2048, description="Width of the projection head.")
    bottleneck: Positive = Field(256, description="Width of the head before its last layer.")
    outputs: Positive = Field(4096, description="Number of outputs of the head's last layer.")
    layers: Positive = Field(3, description="Number of layers of the head before its last layer.")
    student_temperature: float = Field(0.1, gt=0, description="Temperature of the student's softmax.")
    teacher_temperature: tuple[float, float] = Field(
        (0.04, 0.07), description="Temperature of the teacher's softmax at the start and the end of its warm-up."
    )
    teacher_warmup: int = Field(30, ge=0, description="Number of epochs of that warm-up.")
    centre_momentum: float = Field(
        0.9, ge=0, le=1, description="Momentum of the centre of the teacher's outputs; 1: no centring."
    )
    momentum: float = Field(
        0.99, ge=0, le=1, description="Momentum of the teacher; it rises to 1 with a cosine schedule."
    )
    learning_rate: Rate = Field(1e-4, description="Highest learning rate.")
    min_rate: float = Field(1e-6, ge=0, description="Learning rate at the end of the cosine.")
    warmup_epochs: int = Field(10, ge=0, description="Epochs of linear warm-up of the learning rate.")
    warmup_steps: int | None = Field(None, ge=0, description="Steps of the warm-up; overrides `warmup_epochs`.")
    weight_decay: tuple[float, float] = Field(
        (0.04, 0.4), description="Weight decay at the start and the end of its cosine."
    )
    freeze_last: int = Field(1, ge=0, description="Number of epochs in which the head's last layer is frozen.")
    clip: float = Field(1.0, gt=0, description="Gradients are clipped to this global norm.")
    drop_path: float | None = Field(
        0.1,
        ge=0,
        lt=1,
        description="Rate of stochastic depth of the student, if it is a transformer; `null`: the model card's.",
    )
    micro_batch: Positive | None = Field(
        None,
        description="Images computed at once; gradients of a step are accumulated. Default: the complete "
        "batch, or fewer if memory runs out.",
    )
    checkpointing: bool | None = Field(
        None,
        description="True: recompute blocks in the backward pass, to save memory; default: on a GPU from 512 pixels.",
    )
    k: Positive = Field(20, description="Number of neighbours of the k-NN that gives the metrics of the record.")
    temperature: float = Field(0.07, gt=0, description="Temperature of the votes of this k-NN.")


class WithBert(Settings):
    """Settings of pre-training with texts: a BERT from a folder, or a small BERT with random weights."""

    bert: str | None = Field(
        None,
        description="Folder of a BERT as published by its authors, with config.json, vocab.txt, and "
        "model.safetensors or pytorch_model.bin. Default: a small BERT with random weights and a vocabulary from the "
        "training texts.",
    )
    bert_sha256: str | None = Field(None, description="Digest of the files in that folder; medbench fills it in.")
    bert_width: Positive = Field(256, description="Width of a BERT with random weights.")
    bert_layers: Positive = Field(2, description="Layers of a BERT with random weights.")
    bert_heads: Positive = Field(4, description="Attention heads of a BERT with random weights.")
    max_tokens: int = Field(ge=3, le=100_000, description="Maximum number of tokens of a text, with [CLS] and [SEP].")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> WithBert:
        if self.bert is None and self.bert_width % self.bert_heads:
            raise ValueError(f"bert_width: {self.bert_width} is not a multiple of bert_heads, {self.bert_heads}")
        return self


class FlairPretrain(WithBert):
    """FLAIR: contrastive pre-training with images, categories and texts (Silva-Rodríguez et al. 2025)."""

    kind: ClassVar[Kind] = Kind("flair-pretrain", seeded=False, keeps=True, thaws=True, classifies=False, pairs=True)
    epochs: Positive = Field(15, description="Number of epochs.")
    batch_size: int = Field(
        128, ge=2, le=1_000_000, description="Pairs per step, in all processes together; the loss depends on it."
    )
    learning_rate: Rate = Field(1e-4, description="Highest learning rate.")
    weight_decay: float = Field(
        1e-5, ge=0, description="Weight decay of all parameters, also norms and biases, as published."
    )
    warmup_epochs: int = Field(1, ge=0, description="Epochs of linear warm-up of the learning rate.")
    horizon_epochs: Positive | None = Field(
        None,
        description="Number of epochs after which the cosine schedule reaches 0 (published: 100); default: `epochs`.",
    )
    clip: float = Field(1.0, gt=0, description="Gradients are clipped to this global norm.")
    balance_sources: bool = Field(
        True, description="True: each data set is drawn equally often; false: each image is drawn once per epoch."
    )
    caption: str = Field(
        "A [ATR] fundus photograph of [CLS]",
        description="Template of a text: [ATR] is replaced by an attribute and [CLS] by a category of the image.",
    )
    dictionary: str | None = Field(
        "flair-code",
        description="Prompts card with texts that may replace the categories; `null`: categories are not replaced.",
    )
    dictionary_sha256: str | None = Field(None, description="Digest of the texts of that card; medbench fills it in.")
    plain_sources: list[str] = Field(
        default=["06_EYENET", "11_STARE", "08_ODIR-5K", "31_JICHI"],
        description="Data sets of the pairs whose categories are never replaced by texts of the prompts card.",
    )
    dim: Positive = Field(512, description="Length of the embeddings that are compared.")
    bert_layers: int = Field(
        2,
        ge=2,
        description="Number of layers of a BERT with random weights; FLAIR averages the outputs of three layers.",
    )
    colour: bool = Field(True, description="True: the data must be colour images.")
    horizontal_flip: float = Field(0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    affine: float = Field(0.25, ge=0, le=1, description="Probability of a rotation with scaling.")
    degrees: float = Field(5.0, ge=0, le=180, description="Largest rotation in either direction, in degrees.")
    scale: tuple[float, float] = Field((0.9, 1.0), description="Smallest and largest scale factor.")
    jitter: float = Field(0.25, ge=0, le=1, description="Probability of a change of brightness and contrast.")
    brightness: float = Field(0.2, ge=0, lt=1, description="Strength of the brightness change.")
    contrast: float = Field(0.2, ge=0, lt=1, description="Strength of the contrast change.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout rate of the BERT.")
    max_tokens: int = Field(77, ge=3, le=512, description="Maximum number of tokens of a text, with [CLS] and [SEP].")
    micro_batch: Positive | None = Field(
        None,
        description="Pairs computed at once, to save memory; the loss still uses all pairs, so that each pair "
        "is computed twice.",
    )
    checkpointing: bool | None = Field(
        None,
        description="True: recompute blocks in the backward pass, to save memory; default: on a GPU from 512 pixels.",
    )
    probe_epochs: Positive = Field(
        5, description="Number of epochs between two evaluations (zero-shot, k-NN) on validation."
    )
    k: Positive = Field(20, description="Number of neighbours of the k-NN.")
    temperature: float = Field(0.07, gt=0, description="Temperature of the votes of this k-NN.")

    @field_validator("caption")
    @classmethod
    def _names_the_category(cls, caption: str) -> str:
        if caption.count("[CLS]") != 1:
            raise ValueError(f"'{caption}' must contain [CLS] once, in place of the category")
        return caption

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts of a split that must have images; the model is tested on other data sets."""
        return ("train", "val")
