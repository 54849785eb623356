"""Models of timm in repositories of the hub, on a hub on this machine."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import save

from medbench import load_model
from medbench.cards import find_model
from medbench.cards.catalogues.hub_models import is_hub_name
from medbench.errors import CardError

ARCH = "test_vit2"


@pytest.fixture
def network(hub):
    """A network of timm, pushed to lab/eye as timm's own `push_to_hf_hub` does."""
    torch.manual_seed(0)
    made = timm.create_model(ARCH, num_classes=3).eval()
    config = {"architecture": ARCH, "num_classes": 3, "pretrained_cfg": {**made.pretrained_cfg, "license": "mit"}}
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "crop_pct": 0.9}
    hub.files["lab/eye"] = {"config.json": json.dumps(config).encode(), "model.safetensors": save(made.state_dict())}
    return made


def test_names():
    assert is_hub_name("hf-hub:timm/resnet18.a1_in1k")
    assert is_hub_name("hf-hub--lab--eye")
    assert not is_hub_name("timm/resnet18")


def test_the_card_pins_the_commit_and_the_network_gives_timms_numbers(hub, network):
    card = find_model("hf-hub:lab/eye")
    assert (card.name, card.library, card.arch) == ("hf-hub--lab--eye", "timm", ARCH)
    assert card.weights.hub.revision == hub.commit("lab/eye")
    assert (card.weights.licence, card.input.mean, card.input.crop) == ("mit", [0.1, 0.2, 0.3], 0.9)
    assert find_model(card.name).material() == card.material()
    encoder = load_model(card)
    x = torch.rand(2, 3, encoder.image_size, encoder.image_size)
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(x), pre_logits=True)
        torch.testing.assert_close(encoder.pooled(x), expected)


def test_what_is_there_is_read_without_a_network(hub, network, monkeypatch):
    card = find_model("hf-hub:lab/eye")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert find_model("hf-hub:lab/eye") == card
    with pytest.raises(CardError, match="lab/other: the Hugging Face hub cannot be reached: HF_HUB_OFFLINE is set"):
        find_model("hf-hub:lab/other")


def test_a_hub_that_does_not_answer_is_like_none(hub, network, monkeypatch):
    card = find_model("hf-hub:lab/eye")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert find_model("hf-hub:lab/eye") == card
    with pytest.raises(CardError, match="lab/other: the Hugging Face hub cannot be reached: Connection refused"):
        find_model("hf-hub:lab/other")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b'{"model_type": "bert"}', "does not contain a timm model: config.json: 'architecture'"),
        (b'{"architecture": "nonet"}', "does not contain a timm model: timm has no 'nonet'"),
        (b"{", "does not contain a timm model"),
        (b"[]", "does not contain a timm model"),
    ],
)
def test_repositories_of_something_else(hub, config, said):
    hub.files["lab/eye"] = {"config.json": config}
    with pytest.raises(CardError, match=said):
        find_model("hf-hub:lab/eye")


def test_repositories_that_are_not_there(hub):
    hub.files["lab/empty"] = {}
    for name, said in (
        ("lab/none", "the repository lab/none does not exist on the Hugging Face hub, or you have no access"),
        ("lab/empty", "lab/empty on the Hugging Face hub: "),
        ("a/b/c", "a/b/c on the Hugging Face hub: Repo id must be"),
    ):
        with pytest.raises(CardError, match=said):
            find_model(f"hf-hub:{name}")
