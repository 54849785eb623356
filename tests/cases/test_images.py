"""Images whose files say more about their depth than was read; a compression that needs a package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLosslessSV1

from medbench.data.images.decode import open_image


@pytest.mark.parametrize("pattern", ["dicom-depth/*.dcm", "float-overshoot/*.tif"])
def test_the_declared_range_is_the_range_that_is_used(shared: Path, pattern: str) -> None:
    found = sorted((shared / "cases").glob(pattern))
    assert found
    for path in found:
        pixels = np.asarray(open_image(path, 1))
        assert (pixels.min(), pixels.max()) == (0, 255), path.name


@pytest.mark.skipif(get_decoder(JPEGLosslessSV1).is_available, reason="a decoder for JPEG Lossless is installed")
@pytest.mark.parametrize("unreadable", ["stop", "leave-out"])
def test_a_missing_decoder_stops_the_run_and_is_named(shared: Path, medbench: Callable, unreadable: str) -> None:
    table = shared / "cases" / "decoder-missing" / "labels.csv"
    command = ["run", "--model", "toy-cnn", "--protocol", "knn", "--dataset", table, "--set", "k=3"]
    done = medbench(*command, "--unreadable", unreadable)
    assert done.status == 2
    assert "needs a decoder that is not installed" in done.err
    assert "pip install pylibjpeg pylibjpeg-libjpeg" in done.err
