"""Shipped cards on tiny networks against the libraries' own classes, from one file that is laid out as the official."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import timm
import torch
from open_clip.model import resize_pos_embed
from open_clip.timm_model import TimmModel
from open_clip.transformer import QuickGELU, VisionTransformer
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import BlipVisionConfig, BlipVisionModel, SiglipVisionConfig, SiglipVisionModel

from medbench.cards import ModelCard, find_model
from medbench.errors import CardError, MedbenchError
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.networks.builders import construct
from medbench.models.weights.locate import RANDOM

from ..families import drawn

State = dict[str, Tensor]
DEPTH = 3
VIT = {"embed_dim": 32, "depth": DEPTH, "num_heads": 2}
SAM = {**VIT, "window_size": 3, "global_attn_indexes": [1]}
HF: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": DEPTH, "num_attention_heads": 2, "patch_size": 16,
    "layer_norm_eps": 1e-6,
}  # fmt: skip
PAIRS = {
    "tiny-vit": {"layers": DEPTH, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64},
    "tiny-resnet": {"layers": [1, 2, 1, 1], "width": 4, "head_width": 64, "image_size": 64},
    "tiny-coca": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64,
                  "attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2, "output_tokens": True},
    "tiny-timm": {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear", "image_size": 160},
    "tiny-swin": {"timm_model_name": "swin_tiny_patch4_window7_224", "timm_pool": "avg", "image_size": 224},
}  # fmt: skip
"""Architectures that open_clip does not list but builds."""


@pytest.fixture(scope="module", autouse=True)
def pairs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, vision in PAIRS.items():
            config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": {}}
            patch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
        yield


def shrunk(name: str, overlay: dict[str, Any] | None = None, /, arch: str | None = None, **args: Any) -> ModelCard:
    """Return a shipped card with other `args`, and other fields of its first library's overlay."""
    fields = find_model(name).model_dump(exclude_unset=True)
    fields |= {"arch": arch or fields["arch"], "args": {**fields.get("args", {}), **args}}
    for library in fields.get("libraries", {}).values():
        library |= overlay or {}
    for part in (fields, *fields.get("alternatives", {}).values()):
        part["features"].pop("dim")
    return ModelCard.model_validate(fields)


def written(path: Path, content: Any) -> Path:
    torch.save(content, path / "w.pth")
    return path / "w.pth"


def images(size: int, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(size))


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)


def far(found: Tensor, wanted: Tensor) -> None:
    assert (found - wanted).abs().max() > 1e-3


def same_of(one: Encoder, other: Encoder, x: Tensor) -> None:
    """Hold all that two encoders see to be equal."""
    assert type(one.network) is not type(other.network)
    assert (one.dim, len(one.blocks), one.prefix) == (other.dim, len(other.blocks), other.prefix)
    close(one.pooled(x), other.pooled(x))
    for norm in (None, True, False):
        close(one.tokens(x, norm), other.tokens(x, norm))
    for i in range(len(one.blocks)):
        close(one.block(x, i), other.block(x, i))


def same_in_both(card: ModelCard, file: Path, size: int) -> None:
    """Hold a card's own library and its other one to be equal, of three channels and of one."""
    (library,) = card.libraries
    for channels in (3, 1):
        pair = [load_model(card, file, size, channels, library=name) for name in (None, library)]
        same_of(pair[0], pair[1], images(size, channels))
    cut = [load_model(card, file, size, library=name, units=2) for name in (None, library)]
    close(cut[0].pooled(images(size)), cut[1].pooled(images(size)))


# SAM


@pytest.fixture(scope="module")
def sam() -> ImageEncoderViT:
    """Return segment_anything's own encoder for 128 pixels: one window of its 3 x 3 does not fit into its 8 x 8."""
    norm = lambda width: nn.LayerNorm(width, eps=1e-6)  # noqa: E731
    net = ImageEncoderViT(128, 16, 3, norm_layer=norm, use_rel_pos=True, out_chans=12, **SAM)
    return drawn(net)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def sam_file(sam: ImageEncoderViT, tmp_path_factory: pytest.TempPathFactory) -> Path:
    official = {f"image_encoder.{name}": value for name, value in sam.state_dict().items()}
    others = {"prompt_encoder.point.weight": torch.ones(2), "mask_decoder.mlp.lin1.weight": torch.ones(3)}
    return written(tmp_path_factory.mktemp("sam"), official | others)


SAM_CARD = shrunk("sam", {"args": {**SAM, "out_chans": 12}}, **SAM, neck_chans=12)


def run_sam(sam: ImageEncoderViT, x: Tensor, tables: dict[str, Tensor] | None = None) -> list[Tensor]:
    """Return what each block (b, h, w, d) and the neck (b, c, h, w) give at another size.

    The absolute table is resized here; the relative ones segment_anything resizes itself, unless they are given.
    """
    grid = x.shape[-1] // 16
    cells = sam.pos_embed.permute(0, 3, 1, 2)
    table = interpolate(cells, size=(grid, grid), mode="bicubic", antialias=True).permute(0, 2, 3, 1)
    found: list[Tensor] = []
    handles = [block.register_forward_hook(lambda *given: found.append(given[2])) for block in sam.blocks]
    state = {"pos_embed": table, **(tables or {})}
    found.append(torch.func.functional_call(sam, state, (x,)))
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("library", ["timm", "segment_anything"])
@pytest.mark.parametrize("size", [128, 80, 160])
def test_sam_is_segment_anythings(sam: ImageEncoderViT, sam_file: Path, size: int, library: str) -> None:
    x = images(size)
    *blocks, neck = run_sam(sam, x)
    if size == 128:
        assert torch.equal(neck, sam(x)), "the reference is the module itself"
    enc = load_model(SAM_CARD, sam_file, image_size=size, library=library)
    for i, block in enumerate(blocks):
        close(enc.block(x, i), block.flatten(1, 2))
    close(enc.tokens(x), blocks[-1].flatten(1, 2))
    close(enc.pooled(x), blocks[-1].mean(dim=(1, 2)))
    assert enc.dim == 32
    necked = load_model(SAM_CARD, sam_file, image_size=size, library=library, pooled="neck")
    close(necked.tokens(x), neck.flatten(2).transpose(1, 2))
    close(necked.pooled(x), neck.mean(dim=(2, 3)))
    assert necked.dim == 12
    cut = load_model(SAM_CARD, sam_file, image_size=size, library=library, units=2)
    close(cut.pooled(x), blocks[1].mean(dim=(1, 2)))
    same_in_both(SAM_CARD, sam_file, size)


@pytest.mark.parametrize("library", ["timm", "segment_anything"])
def test_sam_of_the_wacv_code_takes_the_nearest_rows(sam: ImageEncoderViT, sam_file: Path, library: str) -> None:
    x, old = images(80), 15
    names = [f"blocks.1.attn.rel_pos_{axis}" for axis in "hw"]
    tables = {name: sam.get_parameter(name)[[i * old // 9 for i in range(9)]] for name in names}
    enc = load_model(SAM_CARD, sam_file, image_size=80, library=library, preset="wacv-code")
    for name, table in tables.items():
        assert torch.equal(enc.network.get_parameter(name), table)
        assert torch.equal(enc.network.get_parameter(name.replace("1", "0")), sam.get_parameter(name.replace("1", "0")))
    close(enc.pooled(x), run_sam(sam, x, tables)[-2].mean(dim=(1, 2)))
    far(enc.pooled(x), run_sam(sam, x)[-2].mean(dim=(1, 2)))


@pytest.mark.parametrize("library", ["timm", "segment_anything"])
def test_sam_of_one_channel(sam: ImageEncoderViT, sam_file: Path, library: str) -> None:
    grey = images(80, 1)
    for rule, three in (("slice", [grey, 0 * grey, 0 * grey]), ("sum", [grey] * 3)):
        enc = load_model(SAM_CARD, sam_file, image_size=80, library=library, in_chans=1, channel_rule=rule)
        close(enc.pooled(grey), run_sam(sam, torch.cat(three, dim=1))[-2].mean(dim=(1, 2)))


# CLIP


def clip_of(quick: bool, patch: int = 16) -> VisionTransformer:
    act = QuickGELU if quick else nn.GELU
    return drawn(VisionTransformer(4 * patch, patch, 32, DEPTH, 2, 4.0, output_dim=12, act_layer=act))  # type: ignore[return-value]


def clip_file(net: VisionTransformer, path: Path) -> Path:
    text = {"positional_embedding": torch.ones(3, 4), "transformer.resblocks.0.ln_1.weight": torch.ones(4)}
    official = {f"visual.{name}": value for name, value in net.state_dict().items()}
    return written(path, official | text | {"logit_scale": torch.tensor(1.0), "text_projection": torch.ones(2, 2)})


def at_size(net: VisionTransformer, size: int, quick: bool) -> VisionTransformer:
    """Return open_clip's tower at another size, its table resized by open_clip."""
    patch = net.patch_size[0]
    act = QuickGELU if quick else nn.GELU
    other = VisionTransformer(size, patch, 32, DEPTH, 2, 4.0, output_dim=12, act_layer=act).eval()
    state = {f"visual.{name}": value for name, value in net.state_dict().items()}
    resize_pos_embed(state, SimpleNamespace(visual=other))
    other.load_state_dict({name.removeprefix("visual."): value for name, value in state.items()})
    return other.requires_grad_(False)  # type: ignore[no-any-return]


@pytest.mark.parametrize("library", ["timm", "open_clip"])
@pytest.mark.parametrize("size", [64, 96, 32])
@pytest.mark.parametrize("name", ["openclip", "clip"])
def test_clip_is_open_clips(name: str, size: int, library: str, tmp_path: Path) -> None:
    quick = name == "clip"
    net = clip_of(quick)
    overlay = {"arch": "tiny-vit", "args": {"quick_gelu": quick}}
    card = shrunk(name, overlay, **VIT, num_classes=12, **({"patch_size": 16} if quick else {}))
    file = clip_file(net, tmp_path)
    reference, x = at_size(net, size, quick), images(size)
    raws: list[Tensor] = []
    for block in reference.transformer.resblocks:
        block.register_forward_hook(lambda *given: raws.append(given[2]))
    projected = reference(x)
    raws = [raw if raw.shape[0] == len(x) else raw.transpose(0, 1) for raw in raws]
    enc = load_model(card, file, image_size=size, library=library)
    close(enc.pooled(x), projected)
    assert (enc.dim, enc.prefix) == (12, 1)
    for i, raw in enumerate(raws):
        close(enc.block(x, i), raw)
    close(enc.tokens(x), raws[-1][:, 1:])  # a stacked classifier sees them before the last norm
    close(enc.tokens(x, norm=True), reference.ln_post(raws[-1])[:, 1:])
    classed = load_model(card, file, image_size=size, library=library, pooled="cls")
    close(classed.pooled(x), reference.ln_post(raws[-1][:, 0]))
    assert classed.dim == 32
    cut = load_model(card, file, image_size=size, library=library, units=2)
    close(cut.pooled(x), reference.ln_post(raws[1][:, 0]) @ reference.proj)
    same_in_both(card, file, size)


def test_quick_gelu_is_not_gelu(tmp_path: Path) -> None:
    net, x = clip_of(True), images(64)
    card = shrunk("openclip", {"arch": "tiny-vit"}, **VIT, num_classes=12)
    far(load_model(card, clip_file(net, tmp_path), image_size=64).pooled(x), net(x))


@pytest.mark.parametrize("library", ["timm", "open_clip"])
@pytest.mark.parametrize("size", [160, 96])
def test_biomedclip_is_open_clips_wrapper(size: int, library: str, tmp_path: Path) -> None:
    net: Any = drawn(TimmModel("test_vit", 12, pool="", proj="linear"))
    official = {f"visual.{name}": value for name, value in net.state_dict().items()}
    file = written(tmp_path, {**official, "text.proj.0.weight": torch.ones(2), "logit_scale": torch.tensor(1.0)})
    overlay = {"arch": "timm/test_vit", "args": {"embed_dim": 12, "proj": "linear"}}
    card = shrunk("biomedclip", overlay, arch="test_vit", num_classes=12)
    x = images(size)
    enc = load_model(card, file, image_size=size, library=library)
    net.set_input_size(size)  # timm resizes the table as open_clip does: bicubic, with antialias
    close(enc.pooled(x), net(x))
    rows = net.trunk.forward_features(x)
    close(enc.tokens(x, norm=True), rows[:, 1:])
    close(load_model(card, file, image_size=size, library=library, pooled="cls").pooled(x), rows[:, 0])
    assert (enc.dim, len(enc.blocks)) == (12, len(net.trunk.blocks))
    same_in_both(card, file, size)


# BLIP


@pytest.fixture(scope="module")
def blip() -> BlipVisionModel:
    return drawn(BlipVisionModel(BlipVisionConfig(image_size=64, hidden_act="gelu", **HF)))  # type: ignore[return-value]


def officially(state: State) -> State:
    """Return a state dict of transformers' BLIP under the names of the official one."""
    names = {
        "embeddings.class_embedding": "cls_token", "embeddings.position_embedding": "pos_embed",
        "embeddings.patch_embedding": "patch_embed.proj", "post_layernorm": "norm", "encoder.layers": "blocks",
        "layer_norm": "norm", "self_attn.projection": "attn.proj", "self_attn.qkv": "attn.qkv",
    }  # fmt: skip
    found = {}
    for name, value in state.items():
        for theirs, official in names.items():
            name = name.replace(theirs, official)
        found[name] = value
    return found


@pytest.mark.parametrize("library", ["timm", "transformers"])
@pytest.mark.parametrize("size", [64, 96, 32])
def test_blip_is_transformers(blip: BlipVisionModel, size: int, library: str, tmp_path: Path) -> None:
    state = officially(blip.state_dict())
    content = {f"visual_encoder.{name}": value for name, value in state.items()}
    momentum = {f"visual_encoder_m.{name}": value + 0.01 for name, value in state.items()}
    file = written(tmp_path, {"model": {**momentum, **content, "text_encoder.w": torch.ones(1)}})
    card = shrunk("blip", {"args": {**HF, "hidden_act": "gelu"}}, **VIT)
    enc, x = load_model(card, file, image_size=size, library=library), images(size)
    reference = blip(x, interpolate_pos_encoding=True)
    close(enc.pooled(x), reference.last_hidden_state[:, 0])
    far(enc.pooled(x), reference.pooler_output)  # the library norms it twice
    close(enc.tokens(x), reference.last_hidden_state[:, 1:])
    close(blip.post_layernorm(enc.block(x, DEPTH - 1)), reference.last_hidden_state)
    copied = load_model(card, file, image_size=size, library=library, preset="wacv-code")
    name = "patch_embed.proj.bias" if library == "timm" else "inner.embeddings.patch_embedding.bias"
    close(copied.network.get_parameter(name), blip.embeddings.patch_embedding.bias + 0.01)
    close(copied.pooled(x), copied.tokens(x)[:, 0])
    same_in_both(card, file, size)


# SigLIP


@pytest.fixture(scope="module")
def siglip() -> SiglipVisionModel:
    config = SiglipVisionConfig(image_size=64, hidden_act="gelu_pytorch_tanh", **HF)
    return drawn(SiglipVisionModel(config))  # type: ignore[return-value]


def timms(state: State) -> State:
    """Return a state dict of transformers' SigLIP under timm's names."""
    found, size = dict[str, Tensor](), HF["hidden_size"]
    for name, value in state.items():
        name = name.replace("embeddings.patch_embedding", "patch_embed.proj").replace("post_layernorm", "norm")
        name = name.replace("encoder.layers", "blocks").replace("layer_norm", "norm").replace("head.", "attn_pool.")
        name = name.replace("attention.out_proj", "proj").replace("layernorm", "norm").replace("out_proj", "proj")
        found[name.replace("self_attn", "attn")] = value
    found["pos_embed"] = found.pop("embeddings.position_embedding.weight")[None]
    found["attn_pool.latent"] = found.pop("attn_pool.probe")
    for kind in ("weight", "bias"):
        joint = found.pop(f"attn_pool.attention.in_proj_{kind}")
        found[f"attn_pool.q.{kind}"], found[f"attn_pool.kv.{kind}"] = joint[:size], joint[size:]
        for block in range(DEPTH):
            parts = [found.pop(f"blocks.{block}.attn.{part}_proj.{kind}") for part in "qkv"]
            found[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(parts)
    return found


@pytest.mark.parametrize("size", [64, 96, 32])
def test_siglip_is_transformers_and_timms(siglip: SiglipVisionModel, size: int, tmp_path: Path) -> None:
    state, x = siglip.state_dict(), images(size)
    text = {"text_model.final_layer_norm.weight": torch.ones(2), "logit_bias": torch.ones(1)}
    file = written(tmp_path, {f"vision_model.{name}": value for name, value in state.items()} | text)
    enc = load_model(shrunk("medsiglip", **HF), file, image_size=size)
    reference = siglip(x, interpolate_pos_encoding=True)
    close(enc.pooled(x), reference.pooler_output)
    close(enc.tokens(x), reference.last_hidden_state)
    assert (enc.dim, enc.prefix) == (32, 0)
    same = find_model("siglip2").model_dump(exclude_unset=True)
    same |= {"weights": None, "features": {"pooled": "head"}, "args": {**same["args"], **VIT}}
    same["position"] = {"antialias": False}  # as transformers resizes, not as timm does
    (tmp_path / "timm").mkdir()
    other = load_model(ModelCard.model_validate(same), written(tmp_path / "timm", timms(state)), image_size=size)
    close(other.pooled(x), reference.pooler_output)
    same_of(enc, other, x)


def test_the_activation_of_siglip_is_the_tanh_form(siglip: SiglipVisionModel) -> None:
    for name in ("siglip2", "medsiglip"):
        assert "tanh" in str(find_model(name).args), name
    exact = SiglipVisionModel(SiglipVisionConfig(image_size=64, hidden_act="gelu", **HF)).eval()
    exact.load_state_dict(siglip.state_dict())
    with torch.no_grad():
        difference = (exact(images(64)).pooler_output - siglip(images(64)).pooler_output).abs().max()
    assert difference > 1e-4, "what the test above would see"


# The towers of other libraries.


def test_a_convolutional_tower_of_open_clip(tmp_path: Path) -> None:
    net: Any = drawn(open_clip.CustomTextCLIP(12, PAIRS["tiny-resnet"], {"layers": 1, "width": 64}).visual)
    official = {f"visual.{name}": value for name, value in net.state_dict().items()}
    fields = find_model("open_clip/RN50/yfcc15m").model_dump(exclude_unset=True)
    fields |= {"arch": "tiny-resnet", "features": {"pooled": "head", "token_norm": False}}
    card = ModelCard.model_validate(fields)
    enc, x = load_model(card, written(tmp_path, official), image_size=64), images(64)
    last = net.layer4(net.layer3(net.layer2(net.layer1(net.stem(x)))))
    close(enc.network.forward_features(x), last)
    close(enc.pooled(x), net(x))
    close(enc.pooled(x), net.attnpool(last))
    close(enc.tokens(x), last.flatten(2).transpose(1, 2))
    assert (enc.prefix, enc.dim, len(enc.blocks), len(enc.layers)) == (0, 12, 4, 5)
    close(enc.block(x, 1), net.layer2(net.layer1(net.stem(x))))
    assert not enc.sequential
    close(load_model(card, tmp_path / "w.pth", image_size=64, pooled="mean").pooled(x), last.mean(dim=(2, 3)))
    larger = load_model(card, tmp_path / "w.pth", image_size=96)
    assert larger.pooled(images(96)).shape == (2, 12)
    table = larger.network.get_parameter("visual.attnpool.positional_embedding")
    cells = net.attnpool.positional_embedding[1:].T.reshape(1, -1, 2, 2)
    close(table[1:], interpolate(cells, size=(3, 3), mode="bicubic", antialias=True)[0].flatten(1).T)
    assert torch.equal(table[0], net.attnpool.positional_embedding[0])


def pair_card(arch: str, **more: Any) -> ModelCard:
    return ModelCard.model_validate({"name": "mine", "library": "open_clip", "arch": arch, **more})


def test_a_network_of_timm_in_open_clip() -> None:
    wrapped = load_model(pair_card("tiny-timm", position={"table": "visual.trunk.pos_embed"}), image_size=96)
    x = images(96)
    trunk = wrapped.network.visual.trunk
    assert torch.equal(wrapped.network.forward_features(x), trunk.forward_features(x))
    assert (wrapped.prefix, wrapped.dim, len(wrapped.blocks)) == (1, 12, len(trunk.blocks))
    assert list(wrapped.network.default_cfg.values()) == ["visual.trunk.patch_embed.proj"]
    archs = {"test_resnet": 4, "test_convnext": 4, "test_vit": 6, "vit_tiny_patch16_224": 12}  # the last of one size
    for name, units in archs.items():
        arch = f"timm/{name}"
        enc = load_model(pair_card(arch, args={"embed_dim": 12}), image_size=96)
        visual = enc.network.visual
        assert (enc.dim, len(enc.blocks)) == (12, units), arch
        close(enc.pooled(x), visual.head(visual.trunk(x)))
        last = visual.trunk.forward_features(x)
        rows = last[:, 1:] if last.ndim == 3 else last.flatten(2).transpose(1, 2)
        close(enc.tokens(x, norm=True), rows)
        grey = load_model(pair_card(arch, args={"embed_dim": 12}), image_size=96, in_chans=1)
        assert grey.pooled(x[:, :1]).shape == (2, 12), arch


def test_maps_with_their_channels_last_in_open_clip() -> None:
    card = pair_card("tiny-swin", features={"pooled": "head"})
    with pytest.MonkeyPatch.context() as patch:
        made = timm.create_model
        small = {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}
        patch.setattr(timm, "create_model", lambda *args, **more: made(*args, **{**more, **small}))
        enc = load_model(card)
    x = images(224)
    last = enc.network.visual.trunk.forward_features(x)
    assert last.shape == (2, 7, 7, 192)
    assert torch.equal(enc.tokens(x), last.flatten(1, 2))
    assert enc.block(x, 0).shape == (2, 56 * 56, 24)


def test_a_pool_of_several_vectors_in_open_clip(tmp_path: Path) -> None:
    """The last norm of CoCa is one of what it has pooled: tokens have none, and their width is the blocks'."""
    net: Any = drawn(open_clip.CustomTextCLIP(12, PAIRS["tiny-coca"], {"layers": 1, "width": 64}).visual)
    official = {f"visual.{name}": value for name, value in net.state_dict().items()}
    fields = find_model("open_clip/coca_ViT-B-32/laion2b_s13b_b90k").model_dump(exclude_unset=True)
    fields |= {"arch": "tiny-coca", "features": {"pooled": "head", "token_norm": False}}
    card, file, x = ModelCard.model_validate(fields), written(tmp_path, official), images(64)
    raws: list[Tensor] = []
    handle = net.transformer.resblocks[-1].register_forward_hook(lambda *given: raws.append(given[2]))
    vector, several = net(x)
    handle.remove()
    assert several.shape == (2, 3, 12)
    enc = load_model(card, file, image_size=64)
    close(enc.pooled(x), vector)
    assert (enc.dim, enc.prefix) == (12, 1)
    for norm in (True, False):
        close(enc.tokens(x, norm), raws[0][:, 1:])
    classed = load_model(card, file, image_size=64, pooled="cls")
    close(classed.pooled(x), raws[0][:, 0])
    assert classed.dim == 32


def on_meta(name: str, **how: Any) -> Encoder:
    card = find_model(name).resolved(**how)
    with torch.device("meta"):
        return Encoder(card, RANDOM, construct(card, card.input.size, 3), card.input.size, 3)


def test_networks_of_timm_that_hold_something_else() -> None:
    """They give their own vectors; other outputs are an error."""
    hrnet = on_meta("timm/hrnet_w18_small")  # one `layer1`, then stages of several maps
    size = hrnet.image_size
    x = torch.zeros(2, 3, size, size, device="meta")
    assert hrnet.pooled(x).shape == (2, hrnet.dim)
    assert not hrnet.blocks
    with pytest.raises(MedbenchError, match="has 0 units; there is no unit 0"):
        hrnet.block(x, 0)
    crossvit = on_meta("timm/crossvit_9_240")  # two maps in all units
    x = torch.zeros(2, 3, 240, 240, device="meta")
    assert crossvit.pooled(x).shape == (2, crossvit.dim)
    with pytest.raises(CardError, match="has several last maps"):
        crossvit.tokens(x)
    with pytest.raises(CardError, match=r"the units of .* do not give one map per image"):
        crossvit.block(x, 0)
    x = torch.zeros(2, 3, 224, 224, device="meta")
    with pytest.raises(CardError, match="do not give one map per image"):
        on_meta("timm/tnt_s_legacy_patch16_224").block(x, 0)  # patches within patches first


OWN_FILES = [
    "test_vit",
    "test_vit3",
    "test_resnet",
    "test_convnext",
    "test_efficientnet",
    "test_byobnet",
    "deit_tiny_distilled_patch16_224",
]


@pytest.mark.parametrize("arch", OWN_FILES)
def test_a_file_of_timm_is_read_as_timm_reads_it(arch: str, tmp_path: Path) -> None:
    """A complete state dict with its classifier, also for one channel, where timm sums kernels, and another size."""
    torch.manual_seed(3)
    net = timm.create_model(arch)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    for size, channels in ((net.default_cfg["input_size"][1], 3), (96, 1)):
        sized = {"img_size": size} if "vit" in arch or "deit" in arch else {}
        own = {"pretrained_cfg_overlay": {"file": str(tmp_path / "w.pth")}, "pretrained": True, "num_classes": 0}
        reference = timm.create_model(arch, in_chans=channels, **own, **sized).eval()
        tagged = f"timm/{arch}" if channels == 3 else f"timm--{arch}"
        enc = load_model(tagged, tmp_path / "w.pth", image_size=size, in_chans=channels, channel_rule="sum")
        x = torch.randn(2, channels, size, size)
        with torch.no_grad():
            torch.testing.assert_close(enc.pooled(x), reference(x), rtol=1e-5, atol=1e-6)
        for name, value in reference.state_dict().items():
            assert torch.equal(enc.network.state_dict()[name], value), name
        assert enc.weights.origin == "file"


# What libraries do not take.


@pytest.mark.parametrize(
    ("library", "arch", "near"),
    [
        ("timm", "vit_base_patch16_22", "vit_base_patch16_224"), ("medbench", "seem_focal_tny", "seem_focal_tiny"),
        ("open_clip", "ViT-B-31", "ViT-B-32"), ("transformers", "siglip_vison", "siglip_vision"),
        ("segment_anything", "vit_", "vit_b"), ("transformers", "bert", "none"),
    ],
)  # fmt: skip
def test_an_unknown_architecture_is_told_with_near_ones(library: str, arch: str, near: str) -> None:
    with pytest.raises(CardError, match=rf"model card mine: arch: {library} has no '{arch}'") as caught:
        load_model(ModelCard.model_validate({"name": "mine", "library": library, "arch": arch}))
    assert near in caught.value.hint


ARCHES = {
    "timm": "test_vit", "medbench": "seem_focal_tiny", "open_clip": "timm/test_vit", "transformers": "siglip_vision",
    "segment_anything": "vit_b", "torchvision": "squeezenet1_1",
}  # fmt: skip


@pytest.mark.parametrize("library", ARCHES)
@pytest.mark.parametrize("taken", ["pretrained", "checkpoint_path", "in_chans", "cache_dir"])
def test_arguments_that_medbench_decides_are_refused(library: str, taken: str) -> None:
    card = ModelCard.model_validate({"name": "mine", "library": library, "arch": ARCHES[library], "args": {taken: 1}})
    with pytest.raises(CardError, match=rf"model card mine: args\.{taken}: medbench sets it"):
        load_model(card)


@pytest.mark.parametrize(
    ("library", "arch", "args"),
    [
        ("timm", "test_vit", {"embed_dim": "x"}), ("timm", "vit_base_patch16_224", {"embed_dim": 30, "num_heads": 7}),
        ("medbench", "seem_focal_tiny", {"grey_stem": "none"}), ("medbench", "seem_focal_tiny", {"nonsense": 1}),
        ("open_clip", "timm/test_vit", {"embed_dim": 12, "proj": "odd"}), ("open_clip", "timm/test_vit", {}),
        ("open_clip", "timm/test_vti", {"embed_dim": 12}), ("open_clip", "ViT-B-32", {"quick_gleu": True}),
        ("transformers", "siglip_vision", {"num_attention_heads": 7}), ("segment_anything", "vit_b", {"nonsense": 1}),
        ("segment_anything", "vit_b", {"patch_size": 8}),
    ],
)  # fmt: skip
def test_arguments_that_a_library_does_not_take_are_the_cards_fault(
    library: str, arch: str, args: dict[str, Any]
) -> None:
    card = ModelCard.model_validate({"name": "mine", "library": library, "arch": arch, "args": args})
    with pytest.raises(CardError, match=f"model card mine: {library} cannot build {arch}") as caught:
        load_model(card, image_size=224)
    assert caught.value.hint
