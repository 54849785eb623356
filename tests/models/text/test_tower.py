"""Text towers against their libraries; what the official code of three models returned is in `test_parity`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, SiglipTextConfig, SiglipTextModel

import medbench
from medbench.cards import ModelCard
from medbench.errors import CardError, MedbenchError, WeightsError
from medbench.models.text import TextEncoder, load_text

State = dict[str, Tensor]
WIDTH, DIM = 32, 16
BERT = {"vocab_size": 40, "hidden_size": WIDTH, "num_hidden_layers": 4, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 20}  # fmt: skip
SMALL = {"width": WIDTH, "heads": 4, "layers": 2, "vocab_size": 40, "context_length": 9}
VISION = {"layers": 1, "width": 64, "patch_size": 16, "image_size": 32}
FLAIR: dict[str, Any] = {
    "library": "transformers", "arch": "bert", "args": BERT, "hidden": [1, 2, -1], "l2": True, "dim": DIM,
    "weights": {"prefix": "text_model.", "rename": {r"^projection_head_text\.": ""},
                "drop": [r"model\.embeddings\.position_ids"]},
}  # fmt: skip
CLIP: dict[str, Any] = {
    "library": "open_clip", "arch": "ViT-B-32-quickgelu", "args": SMALL, "dim": DIM,
    "weights": {"drop": [r"visual\..*"]},
}  # fmt: skip
BIOMED: dict[str, Any] = {
    "library": "open_clip", "arch": "bert", "dim": DIM,
    "args": {**BERT, "hf_pooler_type": "cls_last_hidden_state_pooler", "hf_proj_type": "mlp"},
    "weights": {"prefix": "text.", "drop": [r"transformer\.embeddings\.position_ids"]},
}  # fmt: skip


def card(text: dict[str, Any] | None, **over: Any) -> ModelCard:
    return ModelCard.model_validate({"name": "mine", "arch": "test_vit", "text": text and {**text, **over}})


def load(state: State, path: Path, text: dict[str, Any], **over: Any) -> TextEncoder:
    torch.save(state, path / "w.pth")
    return load_text(card(text, **over), path / "w.pth")


def drawn(net: nn.Module) -> nn.Module:
    """Give every parameter, norms and biases too, a value of its own."""
    for value in net.parameters():
        nn.init.normal_(value, std=0.3)
    return net.eval()


def ids_of(length: int) -> Tensor:
    """Three texts: ids, the end token 39 as the highest, then zeros."""
    ids = torch.randint(1, 39, (3, length))
    for row, end in zip(ids, (3, length - 1, length // 2), strict=True):
        row[end], row[end + 1 :] = 39, 0
    return ids


@pytest.fixture(scope="module")
def bert() -> BertModel:
    torch.manual_seed(0)
    return drawn(BertModel(BertConfig(**BERT)))


@pytest.fixture(scope="module")
def flair(bert: BertModel) -> State:
    text = {f"text_model.model.{name}": value for name, value in bert.state_dict().items()}
    projection = {"text_model.projection_head_text.projection.weight": torch.randn(DIM, WIDTH)}
    return {"logit_scale": torch.tensor(1.5), "vision_model.model.conv1.weight": torch.zeros(3), **text, **projection}


def test_flair_averages_all_positions_of_three_states(bert: BertModel, flair: State, tmp_path: Path) -> None:
    text = load(flair, tmp_path, FLAIR)
    ids = ids_of(11)
    mask = (ids != 0).long()
    with torch.no_grad():
        states = bert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        mean = sum(states[i].sum(dim=1) for i in (1, 2, 4)) / (3 * 11)
        expected = (mean / mean.norm(dim=1, keepdim=True)) @ flair[
            "text_model.projection_head_text.projection.weight"
        ].T
        torch.testing.assert_close(text.hidden(ids, mask), mean)
        torch.testing.assert_close(text(ids, mask), expected / expected.norm(dim=1, keepdim=True))
        torch.testing.assert_close(text(ids), text(ids, torch.ones_like(ids)))
        assert (text(ids) - text(ids, mask)).abs().max() > 1e-3, "the mask is heeded"
    assert (text.dim, text.logit_scale) == (DIM, pytest.approx(np.exp(1.5)))


def test_a_tower_is_frozen_whole_and_in_eval_mode(bert: BertModel, flair: State, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    text = load(flair, tmp_path, FLAIR)
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module.training for module in text.modules())
    assert not any(value.requires_grad for value in text.parameters())
    held = text.network.model.state_dict()
    assert all(torch.equal(held[name], value) for name, value in bert.state_dict().items())
    for (name, buffer), other in zip(text.network.model.named_buffers(), bert.buffers(), strict=True):
        assert torch.equal(buffer, other), name


def test_position_ids_of_older_files_are_left(flair: State, tmp_path: Path) -> None:
    ids = ids_of(7)
    old = {**flair, "text_model.model.embeddings.position_ids": torch.arange(20)[None]}
    assert torch.equal(load(old, tmp_path, FLAIR)(ids), load(flair, tmp_path, FLAIR)(ids))


def pair(kind: str) -> tuple[nn.Module, dict[str, Any]]:
    """Return open_clip's own tiny model of a kind, and the section of a card that means its text tower."""
    arch = {"clip": "ViT-B-32-quickgelu", "openclip": "ViT-B-16", "siglip2": "ViT-B-16-SigLIP2"}[kind]
    config = open_clip.get_model_config(arch)
    made = open_clip.CustomTextCLIP if kind == "siglip2" else open_clip.CLIP
    net = made(DIM, VISION, {**config["text_cfg"], **SMALL}, quick_gelu=config.get("quick_gelu", False))
    return drawn(net), {**CLIP, "arch": arch, "weights": {"prefix": "text."} if kind == "siglip2" else CLIP["weights"]}


@pytest.mark.parametrize("kind", ["clip", "openclip", "siglip2"])
def test_towers_of_open_clip(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, section = pair(kind)
    text = load(net.state_dict(), tmp_path, section)
    ids = ids_of(9)
    with torch.no_grad():
        expected = net.encode_text(ids)
        torch.testing.assert_close(text(ids), expected)
        projection = text.projection if isinstance(text.projection, Tensor) else text.projection.weight.T
        bias = 0 if isinstance(text.projection, Tensor) else text.projection.bias
        assert text.hidden(ids).shape == (3, WIDTH)
        torch.testing.assert_close(text.hidden(ids) @ projection + bias, expected)
    assert text.logit_scale == pytest.approx(net.logit_scale.exp().item())
    assert not any(value.requires_grad for value in text.parameters())
    if kind != "siglip2":  # there it has the tower's prefix
        state = {name: value for name, value in net.state_dict().items() if name != "logit_scale"}
        assert load(state, tmp_path, section).logit_scale is None
    with pytest.raises(MedbenchError, match="7 token ids per text; mine takes 9"):
        text(ids[:, :7])


def test_the_tower_of_biomedclip(tmp_path: Path) -> None:
    torch.manual_seed(2)
    BertConfig(**BERT).save_pretrained(tmp_path / "config")
    hub = {"hf_model_name": str(tmp_path / "config"), "hf_model_pretrained": False, "hf_proj_type": "mlp"}
    hub["hf_pooler_type"] = "cls_last_hidden_state_pooler"
    net = drawn(open_clip.CustomTextCLIP(DIM, VISION, hub))
    position_ids = {"text.transformer.embeddings.position_ids": torch.arange(20)[None]}  # as the official file has
    text = load({**net.state_dict(), **position_ids}, tmp_path, BIOMED)
    ids = ids_of(12)
    with torch.no_grad():
        torch.testing.assert_close(text(ids), net.encode_text(ids))
        last = net.text.transformer(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
        torch.testing.assert_close(text.hidden(ids), last[:, 0])


def test_tensors_that_do_not_fit_are_named(flair: State, tmp_path: Path) -> None:
    def refused(state: State, **over: Any) -> str:
        with pytest.raises(WeightsError) as caught:
            load(state, tmp_path, FLAIR, **over)
        return caught.value.message

    lost = "text_model.model.encoder.layer.1.output.dense.bias"
    less = {name: value for name, value in flair.items() if name != lost}
    assert "1 missing: model.encoder.layer.1.output.dense.bias" in refused(less)
    assert "1 unknown: model.cls.bias" in refused({**flair, "text_model.model.cls.bias": torch.zeros(2)})
    assert "1 of another shape: projection.weight (16, 32) for (8, 32)" in refused(flair, dim=8)
    for wrong in (torch.tensor(torch.nan), torch.tensor(900.0), torch.zeros(2)):
        assert "logit_scale is not" in refused({**flair, "logit_scale": wrong})


def test_the_scale_is_the_files_or_none(flair: State, tmp_path: Path) -> None:
    without = {name: value for name, value in flair.items() if name != "logit_scale"}
    assert load(without, tmp_path, FLAIR).logit_scale is None
    assert load({**flair, "logit_scale": torch.zeros(1)}, tmp_path, FLAIR).logit_scale == 1


def test_random_weights_are_the_same_on_every_call() -> None:
    ids = ids_of(9)
    one, two = (load_text(card(CLIP), "random") for _ in range(2))
    assert torch.equal(one(ids), two(ids))
    assert (one.weights.origin, one.logit_scale) == ("random", None)


def refused(text: dict[str, Any] | None, **over: Any) -> CardError:
    with pytest.raises(CardError) as caught:
        load_text(card(text, **over), "random")
    return caught.value


def test_cards_that_mean_no_tower_are_told() -> None:
    assert refused(None).message == "model card mine has no text tower"
    assert "unknown text tower of mine 'ViT-B-32-quickgel'" in refused(CLIP, arch="ViT-B-32-quickgel").message
    assert "ViT-B-32-quickgelu" in refused(CLIP, arch="ViT-B-32-quickgel").hint
    assert refused(FLAIR, arch="gpt2").hint == "known: bert, siglip"
    assert "is on the hub" in refused(CLIP, arch="roberta-ViT-B-32").message
    assert "nonsense" in refused(CLIP, args={"nonsense": 1}).message
    assert "a BERT has no nonsense" in refused(FLAIR, args={"nonsense": 1}).message
    assert "not a multiple" in refused(FLAIR, args={**BERT, "num_attention_heads": 5}).message
    assert "names no hidden state" in refused(FLAIR, hidden=[]).message
    assert "4 layers have no hidden state 5" in refused(FLAIR, hidden=[1, 5]).message
    assert "unknown hf_proj_type odd" in refused(BIOMED, args={**BIOMED["args"], "hf_proj_type": "odd"}).message


def test_from_the_package(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps({"name": "mine", "arch": "test_vit", "text": CLIP}), encoding="utf-8")
    assert medbench.load_text_model(path, "random").dim == DIM


SIGLIP: dict[str, Any] = {
    "library": "transformers", "arch": "siglip", "dim": DIM,
    "args": {"vocab_size": 40, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 64, "max_position_embeddings": 9, "projection_size": DIM},
    "weights": {"prefix": "text_model.", "rename": {r"^(?!head\.)": "model.", r"^head\.": "projection."}},
}  # fmt: skip


def test_siglip_takes_the_last_position_and_has_a_bias(tmp_path: Path) -> None:
    plain = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    official = drawn(SiglipTextModel(SiglipTextConfig(**SIGLIP["args"], **plain)))
    state = {f"text_model.{name}": value for name, value in official.state_dict().items()}
    extra = {"logit_scale": torch.tensor(2.0), "logit_bias": torch.tensor([-10.0]), "vision_model.x": torch.zeros(2)}
    tower = load({**state, **extra}, tmp_path, SIGLIP)
    ids = ids_of(9)
    with torch.inference_mode():
        torch.testing.assert_close(tower(ids), official(ids).pooler_output, rtol=1e-6, atol=1e-6)
    assert (tower.logit_scale, tower.logit_bias) == (pytest.approx(np.exp(2)), -10)
    with pytest.raises(MedbenchError, match="8 token ids per text; mine takes 9"):
        tower(ids[:, :8])


def test_texts_are_embedded_in_one_call(tmp_path: Path) -> None:
    """FLAIR averages over the padding, which is to the longest text of the call."""
    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "eye", "long", "text", *(f"x{i}" for i in range(33))]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    rule = {"kind": "bert", "source": {"file": "vocab.txt"}, "tokens": 40, "context": 20, "padding": "longest"}
    bert, projection = drawn(BertModel(BertConfig(**BERT))), torch.randn(DIM, WIDTH)
    state = {f"text_model.model.{name}": value for name, value in bert.state_dict().items()}
    state["text_model.projection_head_text.projection.weight"] = projection
    tower = load(state, tmp_path, FLAIR, tokenizer=rule)
    alone, beside = tower.embed(["eye"]), tower.embed(["eye", "long text text"])
    assert alone.shape == (1, DIM)
    torch.testing.assert_close(beside[1:], tower.embed(["long text text"]))
    assert (alone - beside[:1]).norm() > 0.01
    torch.testing.assert_close(beside, tower(*tower.tokenize(["eye", "long text text"])[:2]))
