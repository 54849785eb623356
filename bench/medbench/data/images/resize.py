"""An image of any shape as a square of the store's size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from medbench.data.images.depth import MAX_PIXELS, Unreadable
from medbench.data.images.square import SquareRule

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def fitted(image: Image.Image, rule: SquareRule) -> Image.Image:
    """Return a (size, size) image by the store's rule.

    `squash` resizes both sides to `size`. `shortest` resizes the shorter side to `size` and the longer to
    int(size * longer / shorter), then takes the centre square: torchvision's `Resize(size)` and `CenterCrop(size)`.
    `canvas` and `longest` fit the whole image into the square, at the top left, and colour the rest on the right and
    below with `fill`: the ways of FLAIR and of SAM, which round the sides differently. With `foreground` the image is
    first cropped. Pillow's filters widen with the scale (they are antialiased).

    `centre` does not resize: the input is padded after it has been normalised (`prepared.transforms.normalise`).

    The padding is in 8 bits. Where it is the mean colour it is therefore not quite the 0 that SAM pads with after it
    has normalised, but within half a grey level of it: 0.5 / 255 / std <= 0.009 for a std of .22 or more.

    Raises:
        Unreadable: An extremely elongated image would be blown up beyond all measure, or vanish; an image for `centre`
            has another size.
    """
    if rule.foreground:
        image = foreground(image)
    if rule.fit == "squash":
        return image.resize((rule.size, rule.size), FILTERS[rule.interpolation])
    if rule.fit == "centre":
        if image.size != (rule.size, rule.size):
            raise Unreadable(f"{image.width}x{image.height} pixels; fit=centre needs {rule.size}x{rule.size}")
        return image
    return _centre(image, rule) if rule.fit == "shortest" else _padded(image, rule)


def foreground(image: Image.Image) -> Image.Image:
    """Return the part of an image in which its largest bright region lies: FLAIR's crop of the black border.

    Bright is what is above Li's threshold in the first channel (red, or grey); pixels that touch at a corner belong
    together; of regions of one size it is the topmost. An image of one level stays as it is.
    """
    from skimage.filters import threshold_li
    from skimage.measure import label

    red = np.asarray(image.getchannel(0), np.float64) / 255  # as FLAIR: on integers the search may end elsewhere
    regions = label(red > threshold_li(red))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0  # the dark; where there is nothing else, it is the whole image that is kept
    return image.crop(Image.fromarray(regions == sizes.argmax()).getbbox())


def _centre(image: Image.Image, rule: SquareRule) -> Image.Image:
    """Resize the shorter side and cut the centre out."""
    size, (width, height) = rule.size, image.size
    short, long = sorted((width, height))
    longer = int(size * long / short)
    if longer * size > MAX_PIXELS:
        raise Unreadable(f"{width}x{height} pixels are too elongated to be resized to a shorter side of {size}")
    sides = (size, longer) if width == short else (longer, size)
    resized = image.resize(sides, FILTERS[rule.interpolation])
    left, top = (round((side - size) / 2) for side in resized.size)
    return resized.crop((left, top, left + size, top + size))


def _padded(image: Image.Image, rule: SquareRule) -> Image.Image:
    """Resize the longer side and pad."""
    size, (width, height) = rule.size, image.size
    longer = max(width, height)
    if rule.fit == "longest":
        sides = int(width * (size / longer) + 0.5), int(height * (size / longer) + 0.5)
    elif width == height:
        sides = size, size
    else:  # both are cut off, even where only floating point keeps the longer one below `size`
        sides = int(width / (longer / size)), int(height / (longer / size))
    if 0 in sides:
        raise Unreadable(f"{width}x{height} pixels are too elongated to be resized to a longer side of {size}")
    square = Image.new(image.mode, (size, size), rule.fill or 0)
    square.paste(image.resize(sides, FILTERS[rule.interpolation]))
    return square
