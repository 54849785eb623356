"""Cards of the models that libraries list themselves."""

from __future__ import annotations

import open_clip
import pytest
import timm

from medbench.cards import find_model
from medbench.cards.catalogues.libraries import is_library_name, library_card
from medbench.errors import CardError


@pytest.mark.parametrize("name", ["timm/resnet18", "timm--resnet18", "open_clip/ViT-B-32/openai", "open_clip--RN50--x"])
def test_names_of_a_library(name: str) -> None:
    assert is_library_name(name)


@pytest.mark.parametrize(
    "name", ["timm", "open_clip", "clip", "timmy/x", "my--timm", "x/timm/y", "timm_x", "", "resnet50"]
)
def test_other_names(name: str) -> None:
    assert not is_library_name(name)


def test_a_model_of_timm() -> None:
    found = find_model("timm/test_vit.r160_in1k")
    assert (found.name, found.library, found.arch) == ("timm--test_vit.r160_in1k", "timm", "test_vit")
    assert find_model("timm--test_vit.r160_in1k") == found
    assert found.weights is not None
    assert found.weights.hub is not None
    assert (found.weights.hub.repo, found.weights.hub.file) == ("timm/test_vit.r160_in1k", "model.safetensors")
    assert found.weights.convert == "library"
    config = timm.get_pretrained_cfg("test_vit.r160_in1k")
    assert (found.input.size, found.input.native) == (160, 160)
    assert (found.input.mean, found.input.std) == (list(config.mean), list(config.std))
    assert (found.input.interpolation, found.input.crop) == (config.interpolation, config.crop_pct)
    assert (found.features.pooled, found.position, found.text) == ("head", None, None)
    assert "own list of models, unchecked" in found.notes


def test_a_name_without_a_tag_means_timms_default() -> None:
    tagless, tagged = (
        library_card("timm/resnet50"),
        library_card(f"timm/resnet50.{timm.get_pretrained_cfg('resnet50').tag}"),
    )
    assert (tagless.weights, tagless.input, tagless.arch) == (tagged.weights, tagged.input, "resnet50")
    assert tagless.title == tagged.title
    assert library_card("timm/resnet50.tv_in1k").weights != tagged.weights


def test_a_pair_of_open_clip() -> None:
    found = find_model("open_clip/ViT-B-16/laion2b_s34b_b88k")
    assert found.name == "open_clip--ViT-B-16--laion2b_s34b_b88k"
    assert find_model(found.name) == found
    assert (found.library, found.arch, found.args) == ("open_clip", "ViT-B-16", {})
    assert found.weights is not None
    assert found.weights.hub is not None
    assert found.weights.hub.repo == "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    assert (found.features.pooled, found.features.dim) == ("head", 512)
    assert found.text is not None
    assert (found.text.arch, found.text.dim) == ("ViT-B-16", 512)


def test_weights_of_quick_gelu_take_the_network_that_has_it() -> None:
    for name, arch in (
        ("ViT-B-32/openai", "ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu/openai", "ViT-B-32-quickgelu"),
        ("RN50/openai", "RN50-quickgelu"),
        ("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32"),
    ):
        found = library_card(f"open_clip/{name}")
        quick = "quickgelu" in arch
        assert (found.arch, found.args) == (arch, {"quick_gelu": True} if quick else {}), name
        assert found.text is not None
        assert found.text.arch == arch


def test_unknown_names_of_a_library_are_told_with_near_ones() -> None:
    for name, what, near in (
        ("timm/test_vti", "unknown model of timm 'test_vti'", "test_vit.r160_in1k"),
        ("timm/test_vit.nothing", "unknown model of timm 'test_vit.nothing'", "test_vit.r160_in1k"),
        ("timm/", "unknown model of timm ''", "timm.list_pretrained()"),
        ("open_clip/ViT-B-32/opnai", "unknown pair of open_clip 'ViT-B-32/opnai'", "ViT-B-32/openai"),
        ("open_clip/ViT-B-33/openai", "unknown pair of open_clip 'ViT-B-33/openai'", "ViT-B-32/openai"),
        ("open_clip/ViT-B-32", "unknown pair of open_clip 'ViT-B-32'", "ViT-B-32"),
    ):
        with pytest.raises(CardError) as caught:
            find_model(name)
        assert caught.value.message == what
        assert near in caught.value.hint, name


def test_a_card_of_everything_that_is_listed() -> None:
    listed = timm.list_pretrained()
    volo = [name for name in listed if name.startswith("volo_d4")]  # a crop larger than the image
    for name in [*listed[::60], *volo]:
        found = library_card(f"timm/{name}")
        assert timm.is_model(found.arch), name
        assert len(found.input.mean) == 3, name
        assert found.input.crop <= 1, name
    for arch, tag in open_clip.list_pretrained():
        found = library_card(f"open_clip/{arch}/{tag}")
        assert found.arch in open_clip.list_models(), (arch, tag)
        assert found.weights is not None
        assert found.weights.filename, (arch, tag)
