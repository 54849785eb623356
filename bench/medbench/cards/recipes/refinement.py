"""The recipe of a refinement with images and reports."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from medbench.cards.dataset.splits import Split
from medbench.cards.recipes.base import Positive, Rate
from medbench.cards.recipes.kinds import Kind
from medbench.cards.recipes.pretraining import WithBert


class RetFiner(WithBert):
    """RetFiner: refinement of an encoder with images and their reports (Fecso et al. 2025)."""

    kind: ClassVar[Kind] = Kind("retfiner", seeded=False, keeps=True, thaws=True, classifies=False, pairs=True)
    epochs: Positive = Field(20, description="Maximum number of epochs; `patience` can stop training earlier.")
    patience: Positive = Field(
        3, description="Number of epochs without a lower validation loss after which training stops."
    )
    batch_size: int = Field(128, ge=2, le=1_000_000, description="Pairs per step, in all processes together.")
    mlm: float = Field(1.0, ge=0, description="Weight of the loss of masked language modelling (MLM).")
    gm: float = Field(1.0, ge=0, description="Weight of the loss of generative modelling (GM).")
    itc: float = Field(1.0, ge=0, description="Weight of the image-text contrastive loss (ITC).")
    itm: float = Field(1.0, ge=0, description="Weight of the image-text matching loss (ITM).")
    mlm_rate: float = Field(0.15, gt=0, le=1, description="Share of the tokens that are masked for `mlm`.")
    gm_rate: float = Field(0.6, gt=0, le=1, description="Share of the tokens that are masked for `gm`.")
    temperature: float = Field(0.07, gt=0, description="Temperature of `itc` and of sampling hard negatives.")
    temperature_learned: bool = Field(
        False, description="Whether the temperature is trained (the authors did not train it)."
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of `itc`.")
    equal_text: Literal["negative", "ignore"] = Field(
        "negative", description="Whether pairs in a batch with the same report are negatives of each other."
    )
    joint_width: Positive = Field(512, description="Length of the embeddings that `itc` compares.")
    token_norm: bool = Field(
        True,
        description="Whether the encoder's last norm is applied to the tokens that the text model reads (not for "
        "UrFound).",
    )
    max_tokens: int = Field(
        30, ge=3, le=100_000, description="Maximum number of tokens of a report, with [CLS] and [SEP]."
    )
    learning_rate: Rate = Field(1e-4, description="Highest learning rate.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of all parameters, as published.")
    encoder_share: float = Field(
        1.0, gt=0, le=1, description="Learning rate of the encoder, as a share of `learning_rate`."
    )
    keep_statistics: bool = Field(
        False, description="True: mean and variance of the encoder's batch norms, if any, do not change."
    )
    clip: float | None = Field(
        None, gt=0, description="Gradients are clipped to this global norm; default: no clipping."
    )
    drop_path: float | None = Field(
        0.1,
        ge=0,
        lt=1,
        description="Rate of stochastic depth of the encoder, if it is a transformer; `null`: the model card's.",
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout rate of the text model.")
    micro_batch: Positive | None = Field(
        None,
        description="Images encoded at once, to save memory; the losses still use the complete batch. Only "
        "with one process.",
    )
    checkpointing: bool | None = Field(
        None,
        description="True: recompute blocks in the backward pass, to save memory; default: on a GPU from 512 pixels.",
    )

    @property
    def parts(self) -> tuple[Split, ...]:
        """The parts of a split that must have images; the model is tested on other data sets."""
        return ("train", "val")

    @property
    def channels(self) -> int | None:
        """Number of channels with which images are read: grey ones become three equal channels, as published."""
        return 3

    @model_validator(mode="after")
    def _some_loss(self) -> RetFiner:
        if not any(self.loss_weights.values()):
            raise ValueError("mlm, gm, itc, itm: all are 0, so there is nothing to train")
        return self

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight of each loss."""
        return {"mlm": self.mlm, "gm": self.gm, "itc": self.itc, "itm": self.itm}
