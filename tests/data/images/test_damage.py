"""Each corruption against another library's, or its definition written out."""

from __future__ import annotations

import itertools
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from skimage import exposure
from skimage.morphology import disk
from torchvision.transforms.v2 import functional

from medbench.data.images.corruption import COLOUR, STRENGTHS, Corruption
from medbench.data.images.damage import WAYS, damage
from medbench.seeding import generator

SIDE = 224
Pixels = NDArray[np.uint8]


def picture(channels: int = 3, side: int = SIDE) -> Pixels:
    """Return a smooth picture with edges and fine grain, in grey levels from 20 to 235."""
    source = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    waves = [
        np.sin(9 * x + 5 * y + k) + 0.8 * ((x - 0.5) ** 2 + (y - 0.4) ** 2 < 0.05 + 0.02 * k) for k in range(channels)
    ]
    found = 110 + 45 * np.stack(waves, axis=-1) + source.normal(scale=8, size=(side, side, channels))
    return found.clip(20, 235).astype(np.uint8)


def drawn(name: str, sample: str = "a") -> np.random.Generator:
    return generator("corruption", name, 0, sample)


def close(one: Pixels, two: NDArray[Any], levels: float) -> None:
    assert np.abs(one.astype(float) - two).max() <= levels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", STRENGTHS)
def test_form_and_growing_damage(name: str, channels: int) -> None:
    if name in COLOUR and channels == 1:
        return
    image = picture(channels)
    kept = image.copy()
    sizes = []
    for severity in range(1, 6):
        found = damage(image, Corruption(name, severity), "a")
        assert (found.shape, found.dtype) == (image.shape, np.uint8)
        sizes.append(np.abs(found.astype(int) - image).mean())
    assert (image == kept).all()
    assert sizes[0] > 0
    assert (np.diff(sizes) > 0).all(), sizes


@pytest.mark.parametrize("name", sorted(set(STRENGTHS) - set(COLOUR)))
def test_grey_stays_grey(name: str) -> None:
    image = np.repeat(picture(1), 3, axis=2)
    found = damage(image, Corruption(name, 4), "a")
    assert (found[..., :1] == found).all()


@pytest.mark.parametrize("name", STRENGTHS)
def test_small_images(name: str) -> None:
    for side in (1, 2, 28):
        image = picture(3, side)
        assert damage(image, Corruption(name, 5), "a").shape == image.shape


def test_motion_is_scipys_convolution_with_a_line() -> None:
    image, severity = picture(), 4
    copies, angle = int(STRENGTHS["blur"][severity - 1]), drawn("blur").uniform(0, np.pi)
    line = np.zeros((21, 21))
    for t in range(-(copies // 2), copies // 2 + 1):
        line[10 + round(t * np.sin(angle)), 10 + round(t * np.cos(angle))] += 1 / copies
    expected = ndimage.correlate(image.astype(float), line[..., None], mode="nearest")
    close(damage(image, Corruption("blur", severity), "a"), expected, 0.5 + 1e-9)


@pytest.mark.parametrize("copies", [255, 256, 257, 600])
def test_motion_of_large_images_does_not_overflow(copies: int) -> None:
    """Images of more than 2,100 pixels are the mean of more than 256 copies."""
    source = np.random.default_rng(0)
    image = source.integers(200, 256, (24, 24, 3), dtype=np.uint8)
    image[:2] = 255
    found = WAYS["blur"](image, copies * SIDE / 24, generator("corruption", "blur", 0, "x"))
    angle = generator("corruption", "blur", 0, "x").uniform(0, np.pi)
    wide = np.pad(image.astype(np.float64), ((copies, copies), (copies, copies), (0, 0)), "edge")
    steps = np.arange(-(copies // 2), copies - copies // 2)
    ends = [(copies + round(t * np.sin(angle)), copies + round(t * np.cos(angle))) for t in steps.tolist()]
    mean = np.mean([wide[top : top + 24, left : left + 24] for top, left in ends], axis=0)
    np.testing.assert_allclose(found, mean, atol=0.51)


def test_defocus_is_scipys_convolution_with_skimages_disc() -> None:
    image, severity = picture(), 4
    disc = disk(int(STRENGTHS["defocus"][severity - 1])).astype(float)
    expected = ndimage.convolve(image.astype(float), (disc / disc.sum())[..., None], mode="nearest")
    close(damage(image, Corruption("defocus", severity), "a"), expected, 0.5 + 1e-9)


def test_noise_has_its_deviation_in_all_channels_alike() -> None:
    image = np.full((SIDE, SIDE, 3), 128, np.uint8)
    noise = damage(image, Corruption("noise", 2), "a").astype(float) - 128
    assert noise.std() == pytest.approx(255 * STRENGTHS["noise"][1], rel=0.02)
    assert abs(noise.mean()) < 0.2
    assert (noise[..., 0] == noise[..., 2]).all()
    assert abs(np.corrcoef(noise[:-1, :, 0].ravel(), noise[1:, :, 0].ravel())[0, 1]) < 0.02


def test_jpeg_is_the_standards_quantisation_of_cosines() -> None:
    """Annex K of ITU-T T.81, table K.1, scaled by the quality as the Independent JPEG Group's encoder does."""
    image, severity = picture(1), 3
    table = np.array(
        [[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
         [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
         [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]]
    )  # fmt: skip
    steps = ((table * (5000 // STRENGTHS["jpeg"][severity - 1]) + 50) // 100).clip(1, 255)
    blocks = image.reshape(SIDE // 8, 8, SIDE // 8, 8).swapaxes(1, 2) - 128.0
    cosines = np.rint(fft.dctn(blocks, axes=(2, 3), norm="ortho") / steps) * steps
    expected = (fft.idctn(cosines, axes=(2, 3), norm="ortho") + 128).swapaxes(1, 2).reshape(SIDE, SIDE, 1).clip(0, 255)
    apart = np.abs(damage(image, Corruption("jpeg", severity), "a") - expected)
    assert np.median(apart) < 0.5  # the encoder's cosines are integers: a few coefficients round the other way
    assert apart.mean() < 0.5


def test_brightness_is_pillows_factor_of_stops() -> None:
    image, stops = picture(), STRENGTHS["brightness"][2]
    up = drawn("brightness").random() < 0.5
    expected = (image * 2.0 ** (stops if up else -stops)).clip(0, 255)
    close(damage(image, Corruption("brightness", 3), "a"), expected, 0.5 + 1e-9)


def test_gamma_is_skimages() -> None:
    image, exponent = picture(), STRENGTHS["gamma"][2]
    up = drawn("gamma").random() < 0.5
    expected = exposure.adjust_gamma(image / 255, exponent if up else 1 / exponent) * 255
    close(damage(image, Corruption("gamma", 3), "a"), expected, 0.5 + 1e-9)


def test_contrast_is_torchvisions() -> None:
    image, left = picture(), STRENGTHS["contrast"][2]
    expected = functional.adjust_contrast(torch.from_numpy(image).permute(2, 0, 1), left).permute(1, 2, 0).numpy()
    close(damage(image, Corruption("contrast", 3), "a"), expected, 1)  # Pillow rounds the mean


def test_downscaling_is_block_means_then_torchs_bilinear() -> None:
    image = picture()
    small = image.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
    wide = torch.from_numpy(small).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(wide, SIDE, mode="bilinear", align_corners=False)[0]
    assert STRENGTHS["downscale"][1] == 2
    close(
        damage(image, Corruption("downscale", 2), "a"), expected.permute(1, 2, 0).numpy(), 4 * 0.5
    )  # four rounded passes


def test_occlusion_is_a_black_square_that_holds_the_smaller_ones() -> None:
    image = picture()
    assert image.min() > 0
    black = [(damage(image, Corruption("occlusion", severity), "a") == 0).all(axis=2) for severity in range(1, 6)]
    for share, one in zip(STRENGTHS["occlusion"], black, strict=True):
        rows, columns = np.flatnonzero(one.any(axis=1)), np.flatnonzero(one.any(axis=0))
        width = round(SIDE * share**0.5)
        assert (len(rows), len(columns), one.sum()) == (width, width, width * width)
    assert all(not (small & ~large).any() for small, large in itertools.pairwise(black))


def test_a_colour_cast_turns_red_against_blue() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    ratios = set()
    for sample in "abcdefgh":
        red, green, blue = damage(image, Corruption("colour-cast", 5), sample)[0, 0].astype(float)
        assert green == 100
        ratios.add(round(red / blue, 1))
    assert ratios == {1.8, round(1 / 1.8, 1)}


def test_what_is_drawn_depends_on_the_image_the_seed_and_the_corruption() -> None:
    image = picture()
    base = damage(image, Corruption("noise", 3), "a")
    assert (base == damage(image, Corruption("noise", 3), "a")).all()
    assert (base != damage(image, Corruption("noise", 3), "b")).mean() > 0.5
    assert (base != damage(image, Corruption("noise", 3, seed=1), "a")).mean() > 0.5


def test_another_process_makes_the_same_pixels() -> None:
    code = (
        "import sys, zlib, numpy as np\n"
        "from medbench.data.images.corruption import STRENGTHS, Corruption\n"
        "from medbench.data.images.damage import WAYS, damage\n"
        "image = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)\n"
        "print(*(zlib.crc32(damage(image, Corruption(name, 4), 'a').tobytes()) for name in STRENGTHS))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    image = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)
    here = [zlib.crc32(damage(image, Corruption(name, 4), "a").tobytes()) for name in STRENGTHS]
    assert list(map(int, done.stdout.split())) == here


def test_directions_are_drawn_evenly() -> None:
    image = np.full((2, 2, 1), 100, np.uint8)
    bright = [damage(image, Corruption("brightness", 1), str(i))[0, 0, 0] > 100 for i in range(400)]
    assert 0.4 < np.mean(bright) < 0.6
