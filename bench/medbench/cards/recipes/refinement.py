"""The recipe of a refinement with images and reports."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from medbench.cards.dataset.splits import Split
from medbench.cards.recipes.base import Positive, Rate
from medbench.cards.recipes.kinds import Kind
from medbench.cards.recipes.pretraining import WithBert


class RetFiner(WithBert):
    """Refinement of an encoder with images and their reports (Fecso et al. 2025)."""

    kind: ClassVar[Kind] = Kind("retfiner", seeded=False, keeps=True, thaws=True, classifies=False, pairs=True)
    epochs: Positive = Field(20, description="Maximum number of epochs; `patience` can end the training earlier.")
    patience: Positive = Field(3, description="Epochs without a lower validation loss after which training ends.")
    batch_size: int = Field(128, ge=2, le=1_000_000, description="Pairs per step, over all processes.")
    mlm: float = Field(1.0, ge=0, description="Weight of the masked language modelling.")
    gm: float = Field(1.0, ge=0, description="Weight of the generative modelling.")
    itc: float = Field(1.0, ge=0, description="Weight of the contrast between images and texts.")
    itm: float = Field(1.0, ge=0, description="Weight of the matching of images and texts.")
    mlm_rate: float = Field(0.15, gt=0, le=1, description="Share of the positions masked for `mlm`.")
    gm_rate: float = Field(0.6, gt=0, le=1, description="Share of the positions masked for `gm`.")
    temperature: float = Field(0.07, gt=0, description="Temperature of `itc`, and of the draw of hard negatives.")
    temperature_learned: bool = Field(
        False, description="Whether the temperature is trained; in the authors' runs it was not."
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Label smoothing of `itc`.")
    equal_text: Literal["negative", "ignore"] = Field(
        "negative", description="Whether pairs of a batch that have the same report are negatives of each other."
    )
    joint_width: Positive = Field(512, description="Length of the vectors that `itc` compares.")
    token_norm: bool = Field(
        True,
        description="Whether tokens pass the encoder's last norm before the text model sees them; UrFound's do not.",
    )
    max_tokens: int = Field(30, ge=3, le=100_000, description="Tokens that are read of a report, with [CLS] and [SEP].")
    learning_rate: Rate = 1e-4
    weight_decay: float = Field(0.01, ge=0, description="On all parameters, as published.")
    encoder_share: float = Field(
        1.0, gt=0, le=1, description="Learning rate of the encoder, as a share of that of text model and heads."
    )
    keep_statistics: bool = Field(
        False, description="Keep mean and variance of the encoder's batch norms, if it has any, as they are."
    )
    clip: float | None = Field(None, gt=0, description="Global norm of the gradient; none: it is not clipped.")
    drop_path: float | None = Field(
        0.1, ge=0, lt=1, description="Stochastic depth of an encoder that is a transformer; none: the model card's."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the text model.")
    micro_batch: Positive | None = Field(
        None, description="Images encoded at once; the losses still see the whole batch. Only with one process."
    )
    checkpointing: bool | None = Field(
        None, description="Recompute blocks in the backward pass; none: from 512 pixels on, on a GPU."
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
