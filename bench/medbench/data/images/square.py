"""The rule by which an image becomes the square that is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medbench.cards import Settings

EXACT = 1e-6  # pixels that 1 / crop, which has been rounded, can take from a whole number


@dataclass(frozen=True)
class SquareRule:
    """How an image becomes a square.

    Attributes:
        size: Side of the stored square in pixels.
        fit: `squash` to the square; resize the `shortest` side and crop the centre; resize the longest and pad, by
            FLAIR's (`canvas`) or SAM's (`longest`) arithmetic; or `centre`: stored as it is.
        interpolation: Pillow's filter.
        draft: Whether the JPEG decoder may scale down first, to no less than twice `size`.
        channels: 1 (grey) or 3 (RGB).
        foreground: Whether the image is first cropped to its largest bright region.
        fill: Colour of the padding, 0..255, one number per channel; empty: black.
        window: Whether the display windows of DICOM files are applied.
    """

    size: int
    fit: Literal["squash", "shortest", "canvas", "longest", "centre"]
    interpolation: Literal["bilinear", "bicubic", "lanczos"]
    draft: bool
    channels: int
    foreground: bool = False
    fill: tuple[int, ...] = ()
    window: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image."""
        return self.size, self.size, self.channels

    @property
    def draft_size(self) -> int | None:
        """Side the JPEG decoder may scale down towards; none before a crop, which may keep a small part."""
        return self.size if self.draft and not self.foreground else None


def rule_of(settings: Settings, input_size: int, channels: int, *, window: bool = False) -> SquareRule:
    """Return the rule of a protocol's settings for a network that takes `input_size` pixels a side.

    `channels` and `window` (`dicom_window`) are those of the data set's card.

    The stored side is rounded; under `transform: native` it is cut off, as timm, MAE and RETFound do. A fill of another
    number of channels than the data's is replaced by its mean, as a model's mean and deviation are.
    """
    side = settings.resize_ratio * input_size
    size = int(side + EXACT) if settings.transform == "native" else round(side)
    fill = tuple(settings.fill or ())
    if fill and len(fill) != channels:
        fill = (round(sum(fill) / len(fill)),) * channels
    shape = size, settings.fit, settings.interpolation
    return SquareRule(*shape, settings.draft, channels, settings.foreground, fill, window)
