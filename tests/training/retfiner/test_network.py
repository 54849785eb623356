"""RetFiner's losses against what its published code computed for the same weights, images, reports and draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertLMHeadModel

from medbench.cards.recipes import RetFiner
from medbench.models.load import load_model
from medbench.training.retfiner.losses import hard_negatives
from medbench.training.retfiner.network import Batch, Refiner

GOLDEN = "retfiner_losses"

pytestmark = pytest.mark.usefixtures("one_thread")


def alone(x: Tensor) -> Tensor:
    return x


def official(parity: Any, **settings: Any) -> Refiner:
    """The network of the golden, with its weights; the image encoder can be any, since the golden starts after it."""
    config = BertConfig(**parity.about(GOLDEN)["bert"], attn_implementation="sdpa")
    found = Refiner(load_model("toy-vit"), BertLMHeadModel(config), RetFiner(joint_width=16, **settings), 0)
    left = found.load_state_dict(parity.fakes(GOLDEN), strict=False)
    assert not left.unexpected_keys
    tied = {"multimodal_encoder.cls.predictions.decoder.weight", "multimodal_encoder.cls.predictions.decoder.bias"}
    assert {n for n in left.missing_keys if not n.startswith(("encoder.", "proj."))} - {"contra_temp"} <= tied
    return found.train()


@pytest.fixture
def golden(parity: Any) -> dict[str, Tensor]:
    return parity.read(GOLDEN)


def batch_of(golden: dict[str, Tensor], draws: Tensor | None = None) -> Batch:
    n = len(golden["input_ids"])
    masked = (golden[f"{name}_{part}"] for name in ("mlm", "gm") for part in ("input_ids", "labels"))
    draws = negative_draws(golden) if draws is None else draws
    return Batch(golden["input_ids"], torch.arange(n), *masked, draws)


def negative_draws(golden: dict[str, Tensor]) -> Tensor:
    """Numbers on [0, 1) by which our draw gives the golden's negatives: the middle of each one's share."""
    found = []
    for name in ("image", "text"):
        weights, index = golden[f"negative_{name}_weights"].double(), golden[f"negative_{name}_index"][:, None]
        upper = weights.cumsum(1)
        found.append(((upper - weights / 2).gather(1, index)[:, 0]) / upper[:, -1])
    return torch.stack(found)


def test_losses_and_gradients_are_the_official_ones(parity: Any, golden: dict[str, Tensor]) -> None:
    network = official(parity, temperature_learned=True)
    seen = golden["vision_tokens"].clone().requires_grad_()
    rows = torch.arange(len(seen))
    parts = network.losses(seen, batch_of(golden), rows, alone)
    for at, name in enumerate(("mlm", "gm", "itc", "itm")):
        parity.check(GOLDEN, f"loss {name}", parts[at].detach(), golden["losses"][at])
        (gradient,) = torch.autograd.grad(parts[at], seen, retain_graph=True)
        parity.check(GOLDEN, f"d {name} / d image tokens", gradient, golden[f"d_{name}_d_vision_tokens"])
    parts[:4].sum().backward()
    parity.check(GOLDEN, "total", parts[:4].sum().detach(), golden["total"])
    layer = network.multimodal_encoder.bert.encoder.layer[0]
    for name, value in {
        "contra_head_v": network.contra_head_v["linear"].weight.grad,
        "cross_key_layer0": layer.crossattention.self.key.weight.grad,
        "contra_temp": network.contra_temp.grad,
    }.items():
        parity.check(GOLDEN, f"gradient {name}", value, golden[f"grad_{name}"])
    norms = parity.about(GOLDEN)["result"]["gradient_norms_of_total"]
    own = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    total = torch.stack([value.double().square().sum() for value in own.values()]).sum().sqrt()
    parity.check(GOLDEN, "norm of all gradients", [float(total)], [norms["all_parameters"]])


def test_embeddings_and_matching_are_the_official_ones(parity: Any, golden: dict[str, Tensor]) -> None:
    network, seen, ids = official(parity), golden["vision_tokens"], golden["input_ids"]
    with torch.no_grad():
        parity.check(GOLDEN, "text, class position", network.read(ids, ids)[:, 0], golden["text_cls"])
        text, image = network.embed_texts(ids), network.embed_images(seen)
        parity.check(GOLDEN, "text embeddings", text, golden["text_embeddings"])
        parity.check(GOLDEN, "image embeddings", image, golden["image_embeddings"])
        similarity = image @ text.T / 0.07
        parity.check(GOLDEN, "similarities", similarity, golden["similarities_i2t"])
        others = ~torch.eye(5, dtype=torch.bool)
        draws = negative_draws(golden)
        negative = [
            hard_negatives(one, others, draw) for one, draw in zip((similarity.T, similarity), draws, strict=True)
        ]
        assert torch.equal(negative[0], golden["negative_image_index"])
        assert torch.equal(negative[1], golden["negative_text_index"])
        rows = torch.cat([ids, ids, ids[negative[1]]])
        logits = network.match(rows, torch.cat([seen, seen[negative[0]], seen]))
        parity.check(GOLDEN, "matching logits", logits, golden["itm_logits"])


@pytest.mark.parametrize("texts", [[0, 0, 1, 2, 3], [0] * 5, [0, 1, 2, 3, 4]])
def test_matching_that_is_always_right_has_an_accuracy_of_one(
    parity: Any, golden: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, texts: list[int]
) -> None:
    network, seen = official(parity, equal_text="ignore"), golden["vision_tokens"]
    batch = batch_of(golden)._replace(texts=torch.tensor(texts))

    def right(ids: Tensor, _: Tensor) -> Tensor:
        truth = torch.arange(len(ids)) < 5
        return torch.stack([~truth, truth], dim=1).float()

    monkeypatch.setattr(network, "match", right)
    assert float(network.losses(seen, batch, torch.arange(5), alone)[4].detach()) == pytest.approx(1.0)
