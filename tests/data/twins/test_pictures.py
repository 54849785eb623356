from __future__ import annotations

import numpy as np
from PIL import Image

from medbench.data.images.decode import open_image
from medbench.data.layouts.reader import read_samples
from medbench.data.twins.twin import synthesise


def test_dicom_twin(tmp_path, make_card):
    for channels in (1, 3):
        card = make_card(layout={"tables": [{"file": "l.csv"}], "image": "{id}.dcm"}, channels=channels)
        root = synthesise(card, tmp_path / str(channels), 30)
        image = open_image(root / read_samples(card, root)["path"][0], channels)
        assert image.mode == ("L" if channels == 1 else "RGB")
        assert np.asarray(image).std() > 10


def test_pictures_of_a_twin_are_no_near_duplicates(tmp_path, make_card):
    card = make_card(layout={"tables": [{"file": "l.csv"}], "image": "{n}.png"})
    root = synthesise(card, tmp_path / "t", 60)
    small = [np.asarray(Image.open(p).convert("L").resize((16, 16)), float).ravel() for p in root.glob("*.png")]
    alike = np.corrcoef([s - np.mean(small, axis=0) for s in small]) - np.eye(60)
    assert alike.max() < 0.9
