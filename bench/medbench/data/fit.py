"""An image of any shape as a square of the store's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from medbench.data.decode import MAX_PIXELS, Unreadable

if TYPE_CHECKING:
    from medbench.data.store import StoreRule

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def fitted(image: Image.Image, rule: StoreRule) -> Image.Image:
    """Return a (size, size) image by the store's rule.

    `squash` resizes both sides to `size`. `shortest` resizes the shorter side to `size` and the longer to
    int(size * longer / shorter), then takes the centre square: torchvision's `Resize(size)` and `CenterCrop(size)`.
    Pillow's filters widen with the scale (they are antialiased).

    Raises:
        Unreadable: `shortest` would blow an extremely elongated image up beyond all measure.
    """
    method, size = FILTERS[rule.interpolation], rule.size
    if rule.fit == "squash":
        return image.resize((size, size), method)
    width, height = image.size
    short, long = sorted((width, height))
    longer = int(size * long / short)
    if longer * size > MAX_PIXELS:
        raise Unreadable(f"{width}x{height} pixels are too elongated to be resized to a shorter side of {size}")
    resized = image.resize((size, longer) if width == short else (longer, size), method)
    left, top = (round((side - size) / 2) for side in resized.size)
    return resized.crop((left, top, left + size, top + size))
