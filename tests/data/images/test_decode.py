from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from medbench.data.images import decode
from medbench.data.images.decode import convert, open_image
from medbench.data.images.depth import MissingDecoderError, Unreadable
from medbench.errors import DataError

Saved = Callable[..., Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Write an image to a file and return its path."""

    def save(image: Image.Image, name: str, **options: Any) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


def values(path: Path, channels: int = 1) -> NDArray[np.uint8]:
    image = open_image(path, channels)
    assert image.mode == ("L" if channels == 1 else "RGB")
    return np.asarray(image)


def noise(height: int = 12, width: int = 20, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_plain_rgb_and_grey_are_pillows(saved: Saved) -> None:
    pixels = noise()
    path = saved(Image.fromarray(pixels), "a.png")
    assert (values(path, 3) == pixels).all()
    assert (values(path, 1) == np.asarray(Image.fromarray(pixels).convert("L"))).all()
    grey = saved(Image.fromarray(pixels[..., 0]), "g.png")
    assert (values(grey, 3) == pixels[..., :1]).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_use_their_whole_scale(saved: Saved, name: str) -> None:
    deep = np.linspace(0, 65535, 240).astype(np.uint16).reshape(12, 20)
    deep[-1, -1] = 65535
    found = values(saved(Image.fromarray(deep), name))
    assert (found == np.floor(deep * (255 / 65535) + 0.5)).all()
    assert found.min() == 0
    assert found.max() == 255
    assert (values(saved(Image.fromarray(deep), "3" + name), 3)[..., 2] == found).all()


@pytest.mark.parametrize(
    ("top", "expected"),
    [(200, 200), (255, 255), (256, 16), (1023, 64), (4095, 255), (4096, 16), (30000, 117), (65535, 255)],
)
def test_the_depth_is_the_smallest_of_8_12_16_bits_that_holds_the_file(saved: Saved, top: int, expected: int) -> None:
    deep = np.zeros((4, 4), np.uint16)
    deep[0, 0] = top
    assert values(saved(Image.fromarray(deep), "a.png")).max() == expected


def test_big_endian_and_wide_and_float_grey(saved: Saved) -> None:
    deep = np.arange(16).reshape(4, 4) * 4369
    expected = np.arange(16).reshape(4, 4) * 17
    assert (values(saved(Image.fromarray(deep.astype(">u2")), "b.tif")) == expected).all()
    assert (
        values(saved(Image.fromarray((deep * 65537).clip(0, 2**31 - 1).astype(np.int32)), "i.tif"))[0]
        == [0, 34, 68, 102]
    ).all()
    assert (values(saved(Image.fromarray(np.array([[-5, 4095]], np.int32)), "n.tif")) == [[0, 255]]).all()
    assert (values(saved(Image.fromarray((expected / 255).astype(np.float32)), "f.tif")) == expected).all()
    spoilt = np.array([[np.nan, 65535.0, 0.0]], np.float32)
    assert (values(saved(Image.fromarray(spoilt), "n2.tif")) == [[0, 255, 0]]).all()


def test_a_declared_depth_of_12_bits_is_believed() -> None:
    row = bytes.fromhex("0ff0ff")  # two 12-bit values of 255: dark, not white
    tags = [(256, 2), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 3)]
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<I", 12) + row + b"\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    assert (np.asarray(decode.decode(data, 1)) == 16).all()


def test_white_is_zero_is_inverted_at_any_depth(saved: Saved) -> None:
    deep = np.array([[0, 65535]], np.uint16)
    assert (values(saved(Image.fromarray(deep), "deep.tif", tiffinfo={262: 0})) == [[255, 0]]).all()


def test_sixteen_bit_rgb_png_is_within_one_level() -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    found = np.asarray(decode.decode(data, 3)).astype(int)
    assert abs(found - deep / 257).max() <= 1


def test_palette_with_and_without_transparency(saved: Saved) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 200, 100, 50, 255, 255, 255])
    image.putdata([0, 1, 2])
    assert values(saved(image, "p.png"), 3).tolist() == [[[10, 20, 30], [200, 100, 50], [255, 255, 255]]]
    part = saved(image, "t.png", transparency=bytes([255, 128, 0]))
    assert values(part, 3).tolist() == [[[10, 20, 30], [100, 50, 25], [0, 0, 0]]]
    gif = saved(image, "t.gif", transparency=2)
    assert values(gif, 3).tolist() == [[[10, 20, 30], [200, 100, 50], [0, 0, 0]]]


def test_alpha_is_composited_over_black(saved: Saved) -> None:
    pixels = np.array([[[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 51]]], np.uint8)
    assert values(saved(Image.fromarray(pixels), "a.png"), 3).tolist() == [[[200, 100, 50], [0, 0, 0], [40, 20, 10]]]
    grey = Image.merge("LA", (Image.new("L", (2, 1), 100), Image.fromarray(np.array([[255, 0]], np.uint8))))
    assert values(saved(grey, "la.png"), 1).tolist() == [[100, 0]]


def test_cmyk_jpeg_and_one_bit(saved: Saved) -> None:
    red = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "c.jpg", quality=100)
    assert abs(values(red, 3).astype(int) - [255, 0, 0]).max() <= 3
    bits = np.array([[0, 1, 1, 0]], bool)
    assert (values(saved(Image.fromarray(bits), "b.png")) == bits * 255).all()


def test_lab_tiff_is_read(saved: Saved) -> None:
    assert abs(values(saved(Image.new("LAB", (2, 2), (255, 128, 128)), "lab.tif"), 3).astype(int) - 255).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_orientation_is_applied_once(saved: Saved, orientation: int, suffix: str) -> None:
    upright = np.zeros((24, 40), np.uint8)
    upright[:8, :8], upright[:8, 32:], upright[16:, :8] = 250, 170, 90
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(np.ascontiguousarray(stored)), f"o.{suffix}", exif=exif)
    image = open_image(path, 3)
    found = np.asarray(image)[..., 0].astype(int)
    assert found.shape == upright.shape
    assert abs(found[4::16, 4::32] - upright[4::16, 4::32]).max() <= 3
    assert (np.asarray(convert(image, 3)) == np.asarray(image)).all()
    with Image.open(path) as opened:
        assert (np.asarray(convert(opened, 3)) == np.asarray(image)).all()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_is_turned_also_where_its_other_tags_are_damaged(saved: Saved, suffix: str) -> None:
    # ImageWidth as the text "words": Pillow reads it, and fails when it writes the tags of the turned image
    width, orientation = b"\1\0\0\2\0\0\0\6\0\0\0&", b"\1\x12\0\3\0\0\0\1\0\6\0\0"
    tags = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + width + orientation + b"\0\0\0\0words\0"
    path = saved(Image.new("RGB", (6, 4)), f"o.{suffix}", exif=tags)
    with Image.open(path) as opened, pytest.raises(struct.error):
        ImageOps.exif_transpose(opened)
    image = open_image(path, 3)
    assert image.size == convert(image, 3).size == (4, 6)


def test_draft_stays_at_twice_the_target(saved: Saved) -> None:
    path = saved(Image.fromarray(noise(900, 1200)), "d.jpg")
    assert open_image(path, 3).size == (1200, 900)
    assert open_image(path, 3, draft_size=224).size == (600, 450)
    assert open_image(path, 3, draft_size=226).size == (1200, 900)
    png = saved(Image.fromarray(noise(900, 1200)), "d.png")
    assert open_image(png, 3, draft_size=32).size == (1200, 900)


def whole(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(200, 200)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.filterwarnings("ignore:.*Truncated File Read:UserWarning")
def test_truncated_files_are_unreadable(tmp_path: Path, kind: str, share: float) -> None:
    data = whole(kind)
    path = tmp_path / "t"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(Unreadable) as caught:
        open_image(path, 3)
    assert str(path) in caught.value.message
    assert "0x" not in caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("data", [b"id,label\n1,2\n", b"\x89PNG\r\n\x1a\nrubbish", b"\xff\xd8\xff\xe0" + b"x" * 500])
def test_what_is_no_image_is_unreadable(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(Unreadable):
        open_image(path, 3)


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "e.png").touch()
    with pytest.raises(Unreadable, match="empty file"):
        open_image(tmp_path / "e.png", 3)
    with pytest.raises(DataError, match=r"cannot read .*gone\.png") as caught:
        open_image(tmp_path / "gone.png", 3)
    assert not isinstance(caught.value, Unreadable)


def test_scripts_are_not_run_for_an_image(tmp_path: Path) -> None:
    path = tmp_path / "x.eps"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(Unreadable, match="known format"):
        open_image(path, 3)


def test_large_images_raise_no_warning_and_bombs_are_refused(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Image.new("L", (200, 100)), "big.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15_000)  # below the image, as 89 Mpixel is below a radiograph
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(path, 1).size == (200, 100)
    assert Image.MAX_IMAGE_PIXELS == 15_000
    monkeypatch.setattr(decode, "MAX_PIXELS", 19_999)
    with pytest.raises(Unreadable, match="200x100 pixels, more than the limit of 19,999"):
        open_image(path, 1)
    assert Image.MAX_IMAGE_PIXELS == 15_000


def test_pillows_limit_is_put_back_by_the_last_of_many_threads(saved: Saved) -> None:
    paths = [saved(Image.fromarray(noise(60 + k, 60)), f"{k}.png") for k in range(8)]
    before = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=open_image, args=(path, 3)) for path in paths * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS
    assert before is not None


@pytest.mark.parametrize(("most", "wanted"), [(4095, 100), (1000, 100), (255, 100), (65535, 100)])
def test_the_maximum_that_a_pgm_declares_is_white(tmp_path: Path, most: int, wanted: int) -> None:
    value = round(most * 100 / 255)
    kind = ">u2" if most > 255 else "u1"
    (tmp_path / "a.pgm").write_bytes(f"P5 2 1 {most}\n".encode() + np.array([0, value], kind).tobytes())
    found = np.asarray(open_image(tmp_path / "a.pgm", 1)).tolist()
    assert found[0][0] == 0
    assert abs(found[0][1] - wanted) <= 1


def test_a_format_that_pillow_was_built_without_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise UnidentifiedImageError

    monkeypatch.setattr(decode.Image, "open", unknown)
    with pytest.raises(Unreadable, match="not an image in a known format"):
        decode.decode(b"RIFF\0\0\0\0WEBPVP8 \0\0", 1)
    monkeypatch.setattr(decode.features, "check", lambda name: name != "webp")
    with pytest.raises(MissingDecoderError, match="in the format WEBP needs a decoder") as caught:
        decode.decode(b"RIFF\0\0\0\0WEBPVP8 \0\0", 1)
    assert "pip install --upgrade pillow" in caught.value.hint
