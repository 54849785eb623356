"""Image files that never end, are no files, or would fill the memory; limits are lowered where they would be large."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian
from tests.data.images.test_dicom import RAMP, made
from tests.hostile.conftest import knn

from medbench.data.images import decode, dicom
from medbench.data.images.depth import Unreadable

NO_FILE = "not a regular file"


def pipe(image: Path) -> None:
    os.mkfifo(image)


def endless(image: Path) -> None:
    image.symlink_to("/dev/zero")


def kernel_log(image: Path) -> None:
    if not Path("/proc/kmsg").exists():
        pytest.skip("needs /proc")
    image.symlink_to("/proc/kmsg")


def sparse(image: Path) -> None:
    """Half a terabyte that takes no room."""
    with image.open("wb") as file:
        file.truncate(1 << 39)


def wide(image: Path) -> None:
    """Write a PNG of one bit a pixel that declares 19,999 x 19,999 of them."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 19_999, 19_999, 1, 0, 0, 0, 0)
    parts = [header, b"IDAT" + zlib.compress(b"\0" * 100), b"IEND"]
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (pipe, f"0.png: {NO_FILE}"),
        (endless, f"0.png: {NO_FILE}"),
        (kernel_log, f"0.png: {NO_FILE}"),
        (sparse, "0.png has 549,755,813,888 bytes, more than the limit of 17,179,869,184"),
        (wide, "images/0.png: 19999x19999 pixels, more than the limit of 200,000,000"),
    ],
)
def test_a_run_refuses_an_image(place: Path, refused: Callable, kind: Callable, words: str) -> None:
    (place / "images" / "0.png").unlink()
    kind(place / "images" / "0.png")
    assert words in refused(*knn("labels.csv"))


def test_a_device_outside_the_folder(place: Path, refused: Callable) -> None:
    table = place / "labels.csv"
    table.write_text(table.read_text().replace("images/0.png", "/dev/zero"))
    assert f"/dev/zero: {NO_FILE}" in refused(*knn("labels.csv"), "--allow-outside")


@pytest.mark.parametrize("kind", [pipe, endless, sparse])
def test_a_check_names_the_image_as_an_error(place: Path, medbench: Callable, kind: Callable) -> None:
    (place / "images" / "0.png").unlink()
    kind(place / "images" / "0.png")
    done = medbench("data", "check", "labels.csv")
    assert done.status == 1
    assert "error: unreadable: 1 images cannot be read: images/0.png (" in done.out


def test_an_image_beyond_the_limit_of_bytes_may_be_left_out(
    place: Path, refused: Callable, medbench: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (place / "images" / "0.png").open("ab") as file:
        file.truncate(5000)
    monkeypatch.setattr(decode, "MAX_BYTES", 4999)
    assert "images/0.png: 5,000 bytes, more than the limit of 4,999" in refused(*knn("labels.csv"))
    assert medbench(*knn("labels.csv"), "--unreadable", "leave-out").status == 0


def test_a_deflated_dicom_file_is_inflated_within_a_limit(
    place: Path, refused: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = made(place / "images" / "0.dcm", RAMP, bits=12)
    found = pydicom.dcmread(image)
    found.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    found.save_as(image)
    assert decode.open_image(image, 1).size == (64, 64)
    table = place / "labels.csv"
    table.write_text(table.read_text().replace("images/0.png", "images/0.dcm"))
    monkeypatch.setattr(dicom, "MAX_BYTES", RAMP.nbytes)
    assert f"a DICOM file that inflates to more than the limit of {RAMP.nbytes:,} bytes" in refused(*knn("labels.csv"))


def test_what_decoders_warn_of_is_not_shown(tmp_path: Path) -> None:
    """The warnings of pydicom name a file of its own, where it is installed."""
    image = made(tmp_path / "0.dcm", RAMP, bits=12)
    data = bytearray(image.read_bytes())
    at = data.index(b"\x08\x00\x16\x00UI")  # the first element after the header: implicit, though explicit is declared
    size = struct.unpack("<H", data[at + 6 : at + 8])[0]
    image.write_bytes(data[:at] + data[at : at + 4] + struct.pack("<I", size) + data[at + 8 :])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(Unreadable):
            decode.open_image(image, 1)
        assert told == []
        pydicom.dcmread(image)
        assert "Expected explicit VR" in str(told[0].message)


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    held = []
    plain = decode.convert
    monkeypatch.setattr(decode, "convert", lambda *of: held.append(decode._alone.locked()) or plain(*of))
    decode.open_image(tmp_path / "a.png", 1)
    monkeypatch.setattr(decode, "LARGE", 63)
    decode.open_image(tmp_path / "a.png", 1)
    assert held == [False, True]
