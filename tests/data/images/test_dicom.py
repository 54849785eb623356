from __future__ import annotations

import io
import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLosslessSV1, RLELossless, SecondaryCaptureImageStorage

from medbench.data.images import dicom
from medbench.data.images.decode import open_image
from medbench.data.images.depth import MissingDecoderError, Unreadable


def made(path, pixels, kind="MONOCHROME2", bits=None, meta=True, **more):
    """Write pixels (h, w), (h, w, 3) or (frames, h, w) as a DICOM file."""
    found = pydicom.Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    found.file_meta.MediaStorageSOPInstanceUID = "2.25.7"
    found.SOPClassUID, found.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.7"
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.ndim == 3 and not colour:
        found.NumberOfFrames = pixels.shape[0]
    found.Rows, found.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    found.SamplesPerPixel = 3 if colour else 1
    if colour:
        found.PlanarConfiguration = 0
    found.PhotometricInterpretation = kind
    found.BitsAllocated = 8 * pixels.dtype.itemsize
    found.BitsStored = bits or found.BitsAllocated
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in more.items():
        setattr(found, name, value)
    data = pixels.tobytes()
    found.PixelData = data + b"\0" * (len(data) % 2)
    if meta:
        found.save_as(path, enforce_file_format=True)
    else:
        del found.file_meta
        found.save_as(path, implicit_vr=True, little_endian=True)
    return path


def grey(path):
    return np.asarray(open_image(path, 1))


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def test_twelve_bits_by_the_rule_for_deep_grey(tmp_path):
    wanted = np.floor(RAMP.astype(float) * 255 / 4095 + 0.5).astype(np.uint8)
    path = made(tmp_path / "no-ending", RAMP, bits=12, WindowCenter=40, WindowWidth=80)
    np.testing.assert_array_equal(grey(path), wanted)  # by the magic; windows are ignored
    assert open_image(path, 3).mode == "RGB"
    dark = made(tmp_path / "dark.dcm", RAMP // 16, bits=12)
    np.testing.assert_array_equal(grey(dark), np.floor((RAMP // 16).astype(float) * 255 / 4095 + 0.5))
    lying = made(tmp_path / "lying.dcm", RAMP, bits=16)  # 12 bits in a file that says 16
    np.testing.assert_array_equal(grey(lying), wanted)


def test_white_is_zero_is_inverted(tmp_path):
    inverted = grey(made(tmp_path / "a.dcm", RAMP, kind="MONOCHROME1", bits=12))
    np.testing.assert_array_equal(inverted, 255 - grey(made(tmp_path / "b.dcm", RAMP, bits=12)))


def test_eight_bits_stay_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (31, 17), np.uint8)
    np.testing.assert_array_equal(grey(made(tmp_path / "a.dcm", pixels)), pixels)


def test_slope_and_intercept(tmp_path):
    stored = np.array([[0, 1024, 2048, 4095]], np.int16)
    path = made(tmp_path / "a.dcm", stored, RescaleSlope="1", RescaleIntercept="-1024")
    wanted = np.floor(np.array([0, 0, 1024, 3071]) * 255 / 4095 + 0.5)  # below 0: black; 3071 needs 12 bits
    np.testing.assert_array_equal(grey(path)[0], wanted)
    path = made(tmp_path / "b.dcm", stored.astype(np.uint16), RescaleSlope="0.0001", RescaleIntercept="0")
    np.testing.assert_array_equal(grey(path)[0], np.floor(stored[0] * 0.0001 * 255 + 0.5))  # fractions of 1


def test_colours(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(open_image(made(tmp_path / "a.dcm", pixels, kind="RGB"), 3)), pixels)
    from PIL import Image

    ycc = np.asarray(Image.fromarray(pixels).convert("YCbCr"))
    turned = np.asarray(open_image(made(tmp_path / "y.dcm", ycc, kind="YBR_FULL"), 3))
    assert np.abs(turned.astype(int) - pixels).max() <= 2


def test_palettes(tmp_path):
    ramps = {
        f"{name}PaletteColorLookupTable{part}": value
        for place, name in enumerate(("Red", "Green", "Blue"))
        for part, value in (
            ("Descriptor", [4, 0, 16]),
            ("Data", (np.array([0, 1, 2, 3], np.uint16) * 0x1100 * (place + 1)).tobytes()),
        )
    }
    path = made(tmp_path / "p.dcm", np.array([[0, 1, 2, 3]], np.uint8), kind="PALETTE COLOR", **ramps)
    wanted = [[i * 0x11 * (place + 1) for place in range(3)] for i in range(4)]
    assert np.asarray(open_image(path, 3))[0].tolist() == wanted


def test_compressed_pixels(tmp_path):
    path = made(tmp_path / "a.dcm", RAMP, bits=12)
    plain = grey(path)
    found = pydicom.dcmread(path)
    found.compress(RLELossless)
    found.save_as(path)
    np.testing.assert_array_equal(grey(path), plain)


def test_files_without_a_preamble_go_by_their_name(tmp_path):
    path = made(tmp_path / "bare.DCM", RAMP, bits=12, meta=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert grey(path).shape == (64, 64)


def test_what_is_no_single_picture_is_unreadable(tmp_path, monkeypatch):
    with pytest.raises(Unreadable, match=r"f\.dcm: a DICOM file with 3 frames"):
        grey(made(tmp_path / "f.dcm", np.zeros((3, 4, 4), np.uint8)))
    report = pydicom.Dataset()
    report.PatientName = "X"
    report.save_as(tmp_path / "r.dcm", implicit_vr=True, little_endian=True)
    for name, data in (("r.dcm", None), ("text.dcm", b"id,label\n"), ("cut.dcm", None)):
        if name == "cut.dcm":
            whole = made(tmp_path / name, RAMP, bits=12).read_bytes()
            data = whole[: len(whole) // 2]
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(Unreadable) as caught:
            grey(tmp_path / name)
        assert name in caught.value.message
        assert "\n" not in caught.value.reason
    monkeypatch.setattr(dicom, "MAX_PIXELS", 4095)
    with pytest.raises(Unreadable, match="64x64 pixels, more than the limit of 4,095"):
        grey(made(tmp_path / "big.dcm", RAMP, bits=12))


def test_other_images_do_not_load_pydicom(tmp_path):
    import subprocess

    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    code = (
        "import sys; from pathlib import Path; from medbench.data.images.decode import open_image; "
        "open_image(Path('a.png'), 1); sys.exit('pydicom' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("bits", range(1, 16))
def test_the_full_scale_of_the_bits_stored_becomes_255(tmp_path, bits):
    full = 2**bits - 1
    ramp = np.linspace(0, full, 64).round().astype(np.uint16).reshape(8, 8)
    wanted = np.floor(ramp * (255 / full) + 0.5)
    np.testing.assert_array_equal(grey(made(tmp_path / "a.dcm", ramp, bits=bits)), wanted)
    np.testing.assert_array_equal(grey(made(tmp_path / "b.dcm", ramp, "MONOCHROME1", bits=bits)), 255 - wanted)
    if bits > 1:
        signed = (ramp.astype(np.int16) >> 1) - 2
        wanted = np.floor(signed.clip(0) * (255 / (full >> 1)) + 0.5)
        np.testing.assert_array_equal(grey(made(tmp_path / "c.dcm", signed, bits=bits)), wanted)


@pytest.mark.parametrize("high", [11, 13, 15])
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_the_bits_in_use_are_those_below_the_high_bit(tmp_path, high, kind):
    values = (RAMP - (2048 if kind is np.int16 else 0)).astype(kind)  # 12 bits
    shift = high - 11
    around = np.random.default_rng(0).integers(0, 2**16, RAMP.shape).astype(np.uint16)  # old overlays
    stored = (around & ~np.uint16(4095 << shift)) | ((values.astype(np.uint16) & 4095) << shift)
    wanted = grey(made(tmp_path / "plain.dcm", values, bits=12))
    found = grey(made(tmp_path / "high.dcm", stored.view(kind), bits=12, HighBit=high))
    np.testing.assert_array_equal(found, wanted)


def test_a_rescaled_image_has_the_scale_of_what_it_could_hold(tmp_path):
    stored = np.array([[0, 1024, 2048, 4095]], np.uint16)
    bright = made(tmp_path / "a.dcm", stored, bits=12, RescaleSlope="2", RescaleIntercept="-1024")
    wanted = np.floor(np.array([0, 1024, 3072, 7166]) * 255 / 7166 + 0.5)
    np.testing.assert_array_equal(grey(bright)[0], wanted)
    dark = made(tmp_path / "b.dcm", stored[:, :3], bits=12, RescaleSlope="2", RescaleIntercept="-1024")
    np.testing.assert_array_equal(grey(dark)[0], wanted[:3])  # the same scale in every file of a series


def test_a_window_is_applied_where_the_card_asks_for_it(tmp_path):
    about = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "WindowCenter": "40", "WindowWidth": "80"}
    path = made(tmp_path / "a.dcm", np.arange(4096, dtype=np.uint16).reshape(64, 64), bits=12, **about)
    found = np.asarray(dicom.image(path.read_bytes(), window=True)).ravel().astype(float)
    hounsfield = np.arange(4096) - 1024
    wanted = (((hounsfield - 39.5) / 79 + 0.5) * 255).clip(0, 255)  # DICOM PS3.3 C.11.2.1.2.1
    assert np.abs(found - wanted).max() <= 0.5 + 1e-9
    assert np.asarray(open_image(path, 1)).max() == 255
    plain = made(tmp_path / "b.dcm", RAMP, bits=12)
    np.testing.assert_array_equal(np.asarray(dicom.image(plain.read_bytes(), window=True)), grey(plain))


def test_a_compression_without_a_decoder_names_the_packages(tmp_path, monkeypatch):
    path = made(tmp_path / "a.dcm", RAMP, bits=12)
    found = pydicom.dcmread(path)
    found.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    found.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    found["PixelData"].is_undefined_length = True
    found.save_as(path, enforce_file_format=True)
    monkeypatch.setattr(type(pydicom.pixels.get_decoder(JPEGLosslessSV1)), "is_available", False)
    with pytest.raises(MissingDecoderError, match=r"JPEG Lossless.* needs a decoder that is not installed") as caught:
        grey(path)
    assert caught.value.hint == "pip install pylibjpeg pylibjpeg-libjpeg"
    assert not isinstance(caught.value, Unreadable)
