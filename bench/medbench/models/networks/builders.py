"""Builds a network with timm, or with another library, wrapped to have the names of timm that medbench uses.

These names are `forward_features(x)` (the last map, after the last norm), `forward(x)` (the pooled vector), `norm`,
`num_prefix_tokens`, `num_features`, `default_cfg["first_conv"]` and one of `blocks`, `stages` and `layers`.
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Callable
from typing import Any

import timm
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from medbench.cards import ModelCard
from medbench.cards.catalogues.features_file import LIBRARY
from medbench.errors import CardError
from medbench.models.networks.seem import seem_focal_tiny
from medbench.models.networks.units import outputs, units

RESERVED = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "in_chans"}
"""Arguments of timm that would load a file without the strict loader, or that medbench sets."""
REFUSED = (TypeError, AssertionError, ValueError, RuntimeError, LookupError, AttributeError, NotImplementedError)
"""Errors of libraries on arguments that they do not accept."""


class Undrawn(TorchFunctionMode):
    """Skip the random initialisation of parameters that a file will fill; this saves seconds in a ViT."""

    DRAWS = frozenset({getattr(Tensor, f"{name}_") for name in ("uniform", "normal", "erfinv", "mul", "add", "clamp")})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        target = args[0] if args else kwargs.get("tensor")
        drawn = func in self.DRAWS or getattr(func, "__module__", "") == "torch.nn.init"
        return target if drawn and isinstance(target, nn.Parameter) else func(*args, **kwargs)


def construct(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    """Return the card's network without its weights, for images (b, in_chans, image_size, image_size).

    Raises:
        CardError: The library has no such architecture, or does not accept these arguments.
    """
    if card.library == LIBRARY:
        raise CardError(f"{card.name} is a features file and has no network", "name a model with a network")
    if taken := sorted(RESERVED & set(card.args)):
        raise CardError(f"model card {card.name}: args.{taken[0]}: medbench sets it", "remove it from the card")
    try:
        network = BUILDERS[card.library](card, image_size, in_chans)
    except REFUSED as error:
        raise CardError(
            f"model card {card.name}: {card.library} cannot build {card.arch} with {card.args} at {image_size} pixels:"
            f" {error}",
            "fix args, or --image-size",
        ) from error
    for name in card.remove:
        network.set_submodule(name, nn.Identity())
    if card.remove and isinstance(width := getattr(network, "embed_dim", None), int):
        network.num_features = width  # type: ignore[assignment]  # without SAM's neck: the blocks' width
    if card.features.projection is not None:
        network.add_module("projection", nn.Linear(*card.features.projection))
    return network


def _unknown(card: ModelCard, known: list[str]) -> CardError:
    near = ", ".join(difflib.get_close_matches(card.arch, known, n=3))
    return CardError(
        f"model card {card.name}: arch: {card.library} has no '{card.arch}'", f"similar names: {near or 'none'}"
    )


def _timm(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    if not timm.is_model(card.arch):
        raise _unknown(card, timm.list_models())
    args: dict[str, Any] = {"num_classes": 0, "in_chans": in_chans}
    known = timm.get_pretrained_cfg(card.arch, allow_unregistered=True)
    if card.position is not None or getattr(known, "fixed_input_size", False):
        args["img_size"] = image_size
    args |= card.args
    if eps := args.pop("norm_eps", None):
        args["norm_layer"] = functools.partial(nn.LayerNorm, eps=eps)
    return timm.create_model(card.arch, pretrained=False, **args)


OWN: dict[str, Callable[..., nn.Module]] = {"seem_focal_tiny": seem_focal_tiny}
"""Networks that are not in any library."""


def _medbench(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    if card.arch not in OWN:
        raise _unknown(card, list(OWN))
    return OWN[card.arch](in_chans=in_chans, **card.args)


def _segment_anything(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    """Return segment_anything's own image encoder (`vit_b`, `vit_l` or `vit_h`), with tables for the image size."""
    from segment_anything.modeling import ImageEncoderViT

    sizes = {"vit_b": (768, 12, 12, 3), "vit_l": (1024, 24, 16, 6), "vit_h": (1280, 32, 16, 8)}
    if card.arch not in sizes:
        raise _unknown(card, list(sizes))
    width, depth, heads, every = sizes[card.arch]
    args: dict[str, Any] = {"embed_dim": width, "depth": depth, "num_heads": heads, "window_size": 14, "out_chans": 256}
    args["global_attn_indexes"] = tuple(range(every - 1, depth, every))
    args |= {"norm_layer": functools.partial(nn.LayerNorm, eps=1e-6), "use_rel_pos": True, "qkv_bias": True}
    args |= card.args
    network = ImageEncoderViT(img_size=image_size, patch_size=16, in_chans=in_chans, **args)
    network.forward_features = network.forward
    network.num_features, network.embed_dim = args["out_chans"], args["embed_dim"]
    network.num_prefix_tokens = 0
    network.patch_embed.output_fmt = "NHWC"  # maps between the blocks
    network.patch_embed.patch_size = 16
    network.default_cfg = {"first_conv": "patch_embed.proj"}
    return network  # type: ignore[no-any-return]


class Adapted(nn.Module):
    """An image tower of another library, with timm's names.

    Its parameters keep the library's names, after `holder.`.

    Args:
        network: The library's tower, (b, c, h, w) -> (b, dim).
        holder: Prefix of the names of its parameters.
        core: Path of the module that has the units (`units.units`).
        stem: Path of the first convolution.
        norm: Path of the last norm; none: the last map of the units is the tower's.
        prefix: Number of tokens before the patches'; None: the tower has maps, not tokens.
        dim: Length of the pooled vector.
    """

    def __init__(
        self, network: nn.Module, holder: str, *, core: str, stem: str, norm: str | None, prefix: int | None, dim: int
    ) -> None:
        super().__init__()
        self.add_module(holder, network)
        self.default_cfg = {"first_conv": f"{holder}.{stem}"}
        self.holder, self.core_place = holder, f"{holder}.{core}".rstrip(".")
        self.norm_place = f"{holder}.{norm}" if norm else None
        self.num_classes = dim
        if prefix is not None:
            self.num_prefix_tokens = prefix
        if norm:
            self.num_features = network.get_submodule(norm).get_parameter("weight").shape[0]

    @property
    def core(self) -> nn.Module:
        """The module that has the units."""
        return self.get_submodule(self.core_place)

    @property
    def norm(self) -> nn.Module:
        """The last norm."""
        return self.get_submodule(self.norm_place) if self.norm_place else nn.Identity()

    def forward_features(self, x: Tensor) -> Tensor:
        """Return all tokens after the last norm, (b, n, d), or the last map (b, d, h, w)."""
        if callable(own := getattr(self.core, "forward_features", None)):  # a network of timm
            return own(x)  # type: ignore[no-any-return]
        found: Tensor = self.norm(outputs(self.forward, [units(self.core)[-1]], x)[0])
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return the library's pooled vector (b, dim)."""
        found = self.get_submodule(self.holder)(x)
        found = found[0] if isinstance(found, tuple) else found  # CoCa also returns its tokens
        return found if isinstance(found, Tensor) else found.pooler_output


def _grey(network: nn.Module, stem: str) -> None:
    """Give the first convolution one input channel."""
    convolution = network.get_submodule(stem)
    assert isinstance(convolution, nn.Conv2d)
    convolution.in_channels = 1
    convolution.weight = nn.Parameter(convolution.weight.detach()[:, :1].clone())


def _open_clip(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    """Return open_clip's image tower; `timm/ARCH` is open_clip's wrapper of a timm network with a projection."""
    from open_clip.timm_model import TimmModel

    if card.arch.startswith("timm/"):
        visual: nn.Module = TimmModel(card.arch.removeprefix("timm/"), pool="", **card.args)
        dim = int(card.args["embed_dim"])
    else:
        visual, dim = _open_clip_tower(card, image_size)
    if trunk := getattr(visual, "trunk", None):
        if callable(resize := getattr(trunk, "set_input_size", None)):
            resize(img_size=(image_size, image_size))
        normed = isinstance(getattr(trunk, "norm", None), nn.LayerNorm)
        places: dict[str, Any] = {"core": "trunk", "stem": f"trunk.{trunk.default_cfg['first_conv']}"}
        places |= {"norm": "trunk.norm" if normed else None, "prefix": getattr(trunk, "num_prefix_tokens", None)}
    elif hasattr(visual, "transformer"):
        pool = getattr(visual, "attn_pool", None)  # CoCa's; the last norm comes after it and is of pooled vectors
        places = {"core": "transformer", "stem": "conv1", "norm": "ln_post" if pool is None else None, "prefix": 1}
    else:  # CLIP's ResNets
        places = {"core": "", "stem": "conv1", "norm": None, "prefix": None}
    if in_chans == 1:
        _grey(visual, places["stem"])
    return Adapted(visual, "visual", **places, dim=dim)


def _open_clip_tower(card: ModelCard, image_size: int) -> tuple[nn.Module, int]:
    """Return the image tower of one of open_clip's own pairs, and the length of its vectors."""
    import open_clip

    config = open_clip.get_model_config(card.arch)
    if config is None:
        raise _unknown(card, open_clip.list_models())
    gelu = card.args.get("quick_gelu", config.get("quick_gelu", False))
    if odd := sorted(set(card.args) - {"quick_gelu"}):
        raise ValueError(f"the only argument for architectures in its list is quick_gelu, not {odd[0]}")
    pair = open_clip.CustomTextCLIP(
        config["embed_dim"],
        vision_cfg={**config["vision_cfg"], "image_size": image_size, "timm_model_pretrained": False},
        text_cfg={"context_length": 1, "vocab_size": 8, "width": 64, "heads": 1, "layers": 1},  # not used
        quick_gelu=gelu,
    )
    return pair.visual, int(config["embed_dim"])


def _transformers(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    """Return the image tower of BLIP or SigLIP from transformers."""
    import transformers

    kinds: dict[str, tuple[Any, Any, int]] = {
        "blip_vision": (transformers.BlipVisionConfig, transformers.BlipVisionModel, 1),
        "siglip_vision": (transformers.SiglipVisionConfig, transformers.SiglipVisionModel, 0),
    }
    if card.arch not in kinds:
        raise _unknown(card, list(kinds))
    config, model, prefix = kinds[card.arch]
    network = model(config(image_size=image_size, **card.args))
    stem = "embeddings.patch_embedding"
    if in_chans == 1:
        _grey(network, stem)
    dim = network.config.hidden_size
    return Adapted(network, "inner", core="encoder", stem=stem, norm="post_layernorm", prefix=prefix, dim=dim)


def _torchvision(card: ModelCard, image_size: int, in_chans: int) -> nn.Module:
    """Return a convolutional network of torchvision without its classifier."""
    from medbench.models.networks.torchvision import listed, tower

    if card.arch not in (known := listed()):
        raise _unknown(card, known)
    network = tower(card.arch, card.args)
    if in_chans == 1:
        _grey(network, network.default_cfg["first_conv"])
    return network


BUILDERS: dict[str, Callable[[ModelCard, int, int], nn.Module]] = {
    "timm": _timm,
    "medbench": _medbench,
    "segment_anything": _segment_anything,
    "open_clip": _open_clip,
    "transformers": _transformers,
    "torchvision": _torchvision,
}
"""Library of a card -> function that builds its network from (card, image_size, in_chans)."""


def convert(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return a file's tensors as timm adapts their names and position tables to one of its networks."""
    own = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return dict(own(state, network)) if own is not None else state
