from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from pydantic import ValidationError

from medbench import cards
from medbench.cards import ModelCard
from medbench.cards.model import Weights
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.networks.builders import construct
from medbench.models.weights.locate import RANDOM, place

OWN = [Path(__file__).parents[1] / "cards" / f"{name}.yaml" for name in ("mobilenet-v2-tf", "squeezenet1-1")]


def on_meta(card: ModelCard) -> tuple[Encoder, float]:
    """Return the card's encoder at its native size, without memory for it, and its millions of parameters."""
    size = card.input.native or card.input.size
    with torch.device("meta"):
        enc = Encoder(card, RANDOM, construct(card, size, 3), size, 3)
    found = enc.pooled(torch.zeros(1, 3, size, size, device="meta"))
    assert found.shape == (1, enc.dim)
    return enc, sum(p.numel() for p in enc.network.parameters()) / 1e6


@pytest.mark.parametrize("name", [*cards.names("models"), *map(str, OWN)])
def test_every_card_builds_what_it_says(name: str) -> None:
    """Its own network, and the same one under every preset and by every other library that it names."""
    card = cards.find_model(name)
    same = [card.resolved(), *(card.resolved(preset) for preset in card.presets)]
    for chosen in [*same, *(card.resolved(library=library) for library in card.libraries)]:
        enc, millions = on_meta(chosen)
        assert millions == pytest.approx(card.parameters, abs=0.0015)  # cards give three decimals
        assert enc.dim == chosen.features.dim == card.features.dim
        assert enc.blocks


@pytest.mark.parametrize("name", [name for name in cards.names("models") if cards.find_model(name).alternatives])
def test_every_alternative_builds_what_it_says(name: str) -> None:
    card = cards.find_model(name)
    for pooled in card.alternatives:
        for library in (None, *card.libraries):
            chosen = card.resolved(library=library, pooled=pooled)
            assert chosen.features.dim is not None
            assert on_meta(chosen)[0].dim == chosen.features.dim


def test_the_models_that_must_be_there() -> None:
    must = """
        imagenet dino resnet152 resnet50 dinov2 dinov2-small dinov2-large dinov2-giant toy-vit toy-cnn
        openclip clip biomedclip blip sam seem flair urfound medsiglip rad-dino siglip2 aimv2
        retfound retfound-oct retfound-dinov2 retfound-green retfiner-r retfiner-u retfiner-v
        visionfm-fundus visionfm-oct visionfm-ffa visionfm-ultrasound visionfm-external visionfm-slitlamp visionfm-mri
        visionfm-ubm dinov2-reg dinov3 dinov3-small dinov3-large mae-base mae-large eva02 eva02-large
        pe-core pe-core-large sam2 sam2-base-plus
    """
    assert set(must.split()) <= set(cards.names("models"))


def _millions(arch: str, without: str | None = None, **args: Any) -> float:
    """Return the millions of parameters of one of timm's networks, without one of its modules."""
    with torch.device("meta"):
        network = timm.create_model(arch, **{"num_classes": 0, **args})
    if without is not None:
        network.set_submodule(without, torch.nn.Identity())
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_parameter_counts_are_the_papers() -> None:
    """WACV 2024 prints some counts rounded and some cut, so to a tenth: which part of each network was counted."""
    encoders = {
        "sam": (_millions("samvit_base_patch16", without="neck", img_size=1024), 88.8),  # native tables, no neck
        "dinov2": (_millions("vit_base_patch14_dinov2", img_size=518), 86.5),  # the native table
        "openclip": (_millions("vit_base_patch16_clip_224", num_classes=512), 86.2),  # with its projection
        "blip": (_millions("vit_base_patch16_224"), 85.7),
        "seem": (29.922288, 29.9),  # the official backbone; our module has a test of its own
    }
    for name, (count, printed) in encoders.items():
        assert cards.find_model(name).parameters == pytest.approx(count, abs=0.0006), name
        assert count == pytest.approx(printed, abs=0.1), name
    with_head = _millions("deit_base_patch16_224", num_classes=1000)
    assert with_head == pytest.approx(86.6, abs=0.05)  # printed for DINOv1 too, whose file has no head
    for name in ("imagenet", "dino"):
        assert cards.find_model(name).parameters == pytest.approx(with_head - 0.769, abs=0.0006)
    resnet = _millions("resnet152", num_classes=1000)
    assert resnet == pytest.approx(60.193, abs=0.0006)
    assert abs(resnet - 60.4) > 0.2  # printed, and not torchvision's
    assert cards.find_model("resnet152").parameters == pytest.approx(resnet - 2.049, abs=0.0006)


def test_no_two_files_share_a_place() -> None:
    sources: dict[Path, str] = {}
    for name in cards.names("models"):
        card = cards.find_model(name)
        if card.weights and card.weights.filename:
            source = card.weights.url or str(card.weights.hub)
            assert sources.setdefault(place(card), source) == source, name


def test_official_files_are_fetched_safely_and_their_licence_is_told() -> None:
    for name in cards.names("models"):
        weights = cards.find_model(name).weights
        if weights is not None:
            assert weights.licence, name
            assert weights.url is None or weights.url.startswith("https://"), name


def test_a_digest_in_a_files_name_is_the_cards() -> None:
    for name in ("imagenet", "resnet50", "resnet152"):
        weights = cards.find_model(name).weights
        assert weights is not None
        assert weights.url is not None
        assert weights.url.removesuffix(".pth").endswith(f"-{weights.sha256}")


@pytest.mark.parametrize(
    "rules", [{"drop": ["head.("]}, {"rename": {"(": "x"}}, {"sha256": "b5f2"}, {"sha256": "XY" * 32}]
)
def test_a_card_with_a_bad_pattern_is_refused(rules: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Weights.model_validate(rules)


def test_a_model_of_ones_own(shared: Path) -> None:
    enc = load_model(str(OWN[0]))
    assert (enc.dim, len(enc.blocks), enc.weights.origin) == (1280, 7, "file")
    x = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(enc.pooled(x), enc.network.forward_features(x).mean((2, 3)))
    random = load_model(str(OWN[0]), "random")
    assert random.weights.path is None
    assert random.state_digest() != enc.state_digest()
