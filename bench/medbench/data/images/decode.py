"""Image files of any usual kind as 8-bit grey or RGB.

What is decided here, once for all rooms:

- Orientation tags (EXIF, TIFF) are applied. Of a file with several frames the first is read.
- Transparency is composited over black: the background of medical images. Colour keys and palettes likewise.
- Grey from colour by ITU-R 601 (0.299 R + 0.587 G + 0.114 B), as Pillow's `convert("L")`.
- Grey of more than 8 bits: the full scale of the file's depth becomes 0..255 by round(255 v / (2^bits - 1)). A depth
  that a file declares below 16 bits is used (TIFF, DICOM; the greatest value of a PGM). A declared 16 says little, for
  12-bit X-rays come in 16-bit PNG: there the depth is the smallest of 8, 12, 16, 24 and 31 bits that holds the greatest
  value of the file. The rule sees one file at a time: a 16-bit image darker than 1/16 of its scale is taken for a
  12-bit one. Values below 0 become 0, and so do nan and infinity; floats below 1.5 are fractions (resampling takes some
  above 1), of which those above 1 are white; a TIFF that declares white as 0 is inverted.
- RGB of 16 bits keeps the high byte (Pillow decodes no more): within one level of the rule for grey at 16 bits.
- CMYK and YCCK by Pillow's arithmetic, without colour profiles.
- DICOM: see `dicom`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features

from medbench.data.images.depth import LARGE, MAX_BYTES, MAX_PIXELS, MissingDecoderError, Unreadable, eight_bits
from medbench.errors import DataError
from medbench.storage.files import open_regular

FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "WEBP", "JPEG2000", "PPM", "TGA", "AVIF")
"""Only raster formats are tried. Pillow's other formats include EPS, which starts an interpreter."""

OPTIONAL = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
"""Formats that a build of Pillow can lack, and its names for them."""

PILLOW = "install a newer Pillow, whose packages have all decoders: pip install --upgrade pillow"

DECODER_MODULES = r"(PIL|pydicom|pylibjpeg|libjpeg|openjpeg)(\.|$)"

PHOTOMETRIC, BITS_PER_SAMPLE = 262, 258  # TIFF tags


def open_image(path: Path, channels: int, draft_size: int | None = None) -> Image.Image:
    """Read an image file.

    Args:
        path: The file.
        channels: 1 for grey (mode L) or 3 for RGB.
        draft_size: Let the JPEG decoder scale down by 2, 4 or 8, to no less than twice this many pixels a side.

    Returns:
        An 8-bit image of mode L or RGB, upright.

    Raises:
        Unreadable: The file is empty, truncated, not an image or larger than `MAX_PIXELS` or `MAX_BYTES`.
        MissingDecoderError: The file's compression cannot be decoded by what is installed.
        DataError: The file cannot be read at all.
    """
    data = read_bytes(path)
    try:
        return decode(data, channels, draft_size, path.name)
    except Unreadable as error:
        raise Unreadable(error.reason, path) from error
    except MissingDecoderError as error:
        raise MissingDecoderError(error.what, error.hint, path) from error


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        Unreadable: The file is larger than `MAX_BYTES`.
        DataError: It is no regular file, or the system does not give its bytes (which says nothing about the image).
    """
    try:
        with open_regular(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise Unreadable(f"{size:,} bytes, more than the limit of {MAX_BYTES:,}", path)
            return file.read()
    except OSError as error:
        hint = "check that the file exists and is readable"
        raise DataError(f"cannot read {path}: {error.strerror}", hint) from error


def decode(
    data: bytes, channels: int, draft_size: int | None = None, name: str = "", *, window: bool = False
) -> Image.Image:
    """Decode the bytes of an image file called `name`, of a DICOM file by its `window` if asked; see `open_image`."""
    if not data:
        raise Unreadable("empty file (0 bytes)")
    try:
        if is_dicom(data, name):
            from medbench.data.images import dicom

            with decoding(), _room(len(data)):
                return convert(dicom.image(data, window=window), channels)
        with decoding(), Image.open(io.BytesIO(data), formats=_formats()) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Unreadable(f"{width}x{height} pixels, more than the limit of {MAX_PIXELS:,}")
            if draft_size is not None:
                image.draft(None, (2 * draft_size, 2 * draft_size))  # has an effect only on JPEG
            with _room(max(len(data), width * height)):
                return convert(image, channels)
    except MemoryError as error:
        raise DataError("not enough memory to decode an image", "use fewer --workers") from error
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file provokes
        if lacking := _lacking(data, error):
            raise MissingDecoderError(f"an image in the format {lacking}", PILLOW) from error
        raise Unreadable(_reason(error)) from error


def is_dicom(data: bytes, name: str) -> bool:
    """Tell whether the bytes of a file called `name` are to be read as DICOM: by its mark, or by the name."""
    return data[128:132] == b"DICM" or name.lower().endswith((".dcm", ".dicom"))


def convert(image: Image.Image, channels: int) -> Image.Image:
    """Return an opened image upright and in 8 bits: mode L for one channel, RGB for three.

    Args:
        image: Of any mode. It is loaded but not changed, and is itself returned where nothing is to do.
        channels: 1 or 3.
    """
    inverted, full = _white_is_zero(image), _declared_full(image)
    with decoding(), _unmapped(image):
        image.load()
    image, loaded = _upright(image), image  # after loading: Pillow turns TIFF files as they load
    turned = image is not loaded
    if image.mode[0] in "IF":
        flat = eight_bits(np.asarray(image), full)
        image = Image.fromarray(255 - flat if inverted else flat)
    elif _transparent(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode == "LAB":
        image = _from_lab(image)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if turned:
        image.info = {}  # a tag that is still there would turn the image again
    return image


@contextlib.contextmanager
def _unmapped(image: Image.Image) -> Iterator[None]:
    """Keep Pillow from mapping a TIFF file: turned ones come out garbled, with the turned size over unturned rows."""
    name = getattr(image, "filename", "")
    if image.format == "TIFF" and name:
        image.filename = ""  # type: ignore[attr-defined]
        try:
            yield
        finally:
            image.filename = name  # type: ignore[attr-defined]
    else:
        yield


def _tiff_tag(image: Image.Image, tag: int) -> Any:
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(tag)


def _declared_full(image: Image.Image) -> float | None:
    """Return the value that stands for white, where the file declares it; the image is not loaded yet."""
    bits = _tiff_tag(image, BITS_PER_SAMPLE)
    bits = bits[0] if isinstance(bits, tuple) else bits
    if isinstance(bits, int) and 0 < bits < 16:
        return 2.0**bits - 1
    tiles = getattr(image, "tile", [])
    if image.format == "PPM" and tiles and tiles[0][0] in ("ppm", "ppm_plain"):
        return 65535.0  # Pillow has scaled the declared maximum to this
    return None


def _white_is_zero(image: Image.Image) -> bool:
    """Tell whether a deep TIFF is a negative; Pillow inverts those of 8 bits and fewer itself."""
    return bool(_tiff_tag(image, PHOTOMETRIC) == 0)


def _transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profile = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, *profile, outputMode="RGB")
    assert turned is not None
    return turned


def _upright(image: Image.Image) -> Image.Image:
    """Return a copy turned as the EXIF tag says, or the image itself where no tag says so or the tags are damaged."""
    upright = image
    with contextlib.suppress(Exception):  # damaged tags raise errors of many kinds; the pixels are still good
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            upright = image.copy()
            ImageOps.exif_transpose(upright, in_place=True)  # turns first, then rewrites the tags, which can fail
    return upright


def _reason(error: Exception) -> str:
    """Return one line about a decoder's error, without addresses: it is kept and compared."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format, or its header is damaged"
    return re.sub(r"<[^>]*>", "the file", " ".join(str(error).split()))[:1000] or type(error).__name__


def _lacking(data: bytes, error: Exception) -> str:
    """Return the format that this build of Pillow lacks, if that is why it raised `error`."""
    if missing := re.fullmatch(r"decoder (\w+) not available", str(error)):
        return missing[1]
    kind = _kind_of(data) if isinstance(error, UnidentifiedImageError) else ""
    return kind if kind and not (kind in _formats() and features.check(OPTIONAL[kind])) else ""


def _kind_of(data: bytes) -> str:
    """Return which of the `OPTIONAL` formats the first bytes of a file are of, if any."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:12] == b"jP  \r\n\x87\n":
        return "JPEG2000"
    return "AVIF" if data[4:12] in (b"ftypavif", b"ftypavis") else ""


def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def header_mode(data: bytes) -> str:
    """Return Pillow's mode of an image, such as `L`; only the header is decoded, under the rules of `decode`."""
    with decoding(), Image.open(io.BytesIO(data), formats=_formats()) as image:
        return image.mode


class _Decoding:
    """What is one for the process, and differs while at least one image of ours is being decoded, in any thread.

    Pillow's limit on pixels is lifted: ours counts. What the decoders' packages warn of, such as odd tags in files that
    decode well, is not shown.
    """

    def __init__(self) -> None:
        self.lock, self.users, self.held = threading.Lock(), 0, contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            if self.users == 0:
                self.held.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=DECODER_MODULES)
                self.held.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
            self.users += 1
        try:
            yield
        finally:
            with self.lock:
                self.users -= 1
                if self.users == 0:
                    self.held.close()


decoding = _Decoding()
"""Holds while images are decoded; around many of them it spares each the change."""

_alone = threading.Lock()


def _room(size: int) -> contextlib.AbstractContextManager[object]:
    """Keep large images (of so many bytes or pixels) from being decoded at the same time: memory holds one."""
    return _alone if size > LARGE else contextlib.nullcontext()
