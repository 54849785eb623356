"""Loading a model by name, by card and by file; what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medbench.errors import CardError, MedbenchError
from medbench.models.load import load_model

OWN = Path(__file__).parents[1] / "cards" / "mobilenet-v2-tf.yaml"


def test_a_model_of_ones_own(shared: Path) -> None:
    enc = load_model(OWN)
    assert (enc.dim, len(enc.blocks), enc.weights.origin) == (1280, 7, "file")
    x = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(enc.pooled(x), enc.network.forward_features(x).mean((2, 3)))
    random = load_model(OWN, "random")
    assert random.weights.path is None
    assert random.state_digest() != enc.state_digest()


def test_a_card_file_may_be_given_as_a_path(repo: Path) -> None:
    assert load_model(repo / "model_zoo" / "toy-vit.yaml").state_digest() == load_model("toy-vit").state_digest()


def test_a_preset_is_the_protocol_cards() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
    paper, retfiner = (load_model("toy-vit", preset=preset).transform(photo) for preset in ("paper", "retfiner"))
    assert not torch.equal(paper, retfiner), "RetFiner crops nothing away"
    load_model("toy-vit", preset="flair", protocol="linear-unfrozen")
    with pytest.raises(CardError, match="unknown preset 'flair'") as caught:
        load_model("toy-vit", preset="flair")
    assert "medbench show linear-frozen" in caught.value.hint


def test_wrong_arguments_are_told(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="unknown preset 'papr'") as caught:
        load_model("toy-vit", preset="papr")
    assert "paper" in caught.value.hint
    with pytest.raises(CardError, match="unknown channel rule"):
        load_model("toy-vit", channel_rule="mean")
    with pytest.raises(MedbenchError, match="in_chans 4"):
        load_model("toy-vit", in_chans=4)
    with pytest.raises(MedbenchError, match="image size 0"):
        load_model("toy-vit", image_size=0)
    with pytest.raises(CardError, match="unknown model 'toy-vti'"):
        load_model("toy-vti")
