"""Cards of models that libraries list themselves: any pre-trained model of timm, any pair of open_clip.

`timm/NAME` and `open_clip/ARCH/TAG` are what people type. As names, in folders and records, they are `timm--NAME` and
`open_clip--ARCH--TAG`. The libraries are imported only when such a name is met.
"""

from __future__ import annotations

import re
from typing import Any

from medbench.cards.model import ModelCard
from medbench.errors import CardError, unknown

LIBRARIES = ("timm", "open_clip")
SIGLIP_TOKENS = 32_000  # of the first SigLIP, which pads with its end token, 1; SigLIP 2 pads with 0
GELU = "-quickgelu"


def is_library_name(name: str) -> bool:
    """Tell whether `name` means a model of a library's own list."""
    return re.split("--|/", name, maxsplit=1)[0] in LIBRARIES and ("/" in name or "--" in name)


def library_card(name: str) -> ModelCard:
    """Return the card of a model that a library lists.

    Args:
        name: `timm/NAME` or `open_clip/ARCH/TAG`.

    Raises:
        CardError: The library lists no such model.
    """
    library, _, rest = name.replace("--", "/").partition("/")
    fields = _timm(rest) if library == "timm" else _open_clip(rest)
    notes = f"Generated from {library}'s own list of models, unchecked; medbench does not know the training data."
    return ModelCard.model_validate(
        {
            "name": name.replace("/", "--"),
            "title": f"{rest}, as {library} lists it",
            "notes": f"{notes} No commit of the file is pinned.",
            **fields,
        }
    )


def _timm(name: str) -> dict[str, Any]:
    import timm

    listed = timm.list_pretrained()
    arch, _, tag = name.partition(".")
    tags = [other for other in listed if other.partition(".")[0] == arch]
    if name not in listed and (tag or not tags):
        raise unknown("model of timm", name, tags or listed, "All: timm.list_pretrained()")
    found: Any = timm.get_pretrained_cfg(name)
    source: dict[str, Any] = {"url": found.url}
    if found.hf_hub_id:
        file = found.hf_hub_filename or "model.safetensors"
        source = {"hub": {"repo": found.hf_hub_id, "file": file, "revision": "main"}}
    title = f"{arch}.{found.tag}" if found.tag else arch
    return {"title": f"{title}, as timm lists it", **timm_fields(arch, found, source)}


def timm_fields(arch: str, found: Any, source: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the card of a network of timm.

    Args:
        arch: timm's name of the architecture.
        found: timm's configuration of the pre-trained weights.
        source: Where the weights file is.
    """
    heads = (found.classifier,) if isinstance(found.classifier, str) else found.classifier or ()
    weights = {
        **source,
        "convert": "library",
        "drop": [rf"{re.escape(head)}\..*" for head in heads],
        "licence": found.license or "not stated by timm",
    }
    size = max(found.input_size[1:])
    shown = {
        "size": size,
        "native": size,
        "mean": list(found.mean),
        "std": list(found.std),
        "interpolation": found.interpolation,
        "crop": min(found.crop_pct or 1.0, 1.0),  # VOLO's is larger at 448 pixels: a rim of black
        "fit": "squash" if found.crop_mode == "squash" else "shortest",
    }
    return {"arch": arch, "weights": weights, "input": shown, "pretraining": {"method": found.tag or "not stated"}}


def _open_clip(rest: str) -> dict[str, Any]:
    import open_clip

    arch, _, tag = rest.partition("/")
    listed = [f"{a}/{t}" for a, t in open_clip.list_pretrained()]
    if f"{arch}/{tag}" not in listed:
        near = [pair for pair in listed if pair.startswith(f"{arch}/")]
        raise unknown("pair of open_clip", rest, near or listed, "All: open_clip.list_pretrained()")
    found = open_clip.get_pretrained_cfg(arch, tag)
    if found.get("quick_gelu") and f"{arch}{GELU}" in open_clip.list_models():
        arch += GELU
    config = open_clip.get_model_config(arch)
    vision = config["vision_cfg"]
    convolutional = isinstance(vision.get("layers"), list)  # CLIP's ResNets, which pool by attention
    table = "attnpool.positional_embedding" if convolutional else "positional_embedding"
    table = "trunk.pos_embed" if "timm_model_name" in vision else table
    quick = config.get("quick_gelu", False) or bool(found.get("quick_gelu"))
    return {
        "library": "open_clip",
        "arch": arch,
        "args": {"quick_gelu": True} if quick else {},
        "weights": {
            **_open_clip_file(rest, found),
            "prefix": "visual.",
            "rename": {"^": "visual."},
            "licence": "see the page of the weights",
        },
        "input": {
            "size": vision["image_size"],
            "native": vision["image_size"],
            "mean": list(found["mean"]),
            "std": list(found["std"]),
            "interpolation": found["interpolation"],
            "crop": 1.0,
            "fit": found["resize_mode"],
        },
        "position": {"table": f"visual.{table}"},
        "features": {"pooled": "head", "token_norm": False, "dim": config["embed_dim"]},
        "text": _open_clip_text(arch, config),
        "pretraining": {"method": f"CLIP, {tag}"},
    }


def _open_clip_file(rest: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return where open_clip gets the weights of a pair from."""
    repo, _, file = (found.get("hf_hub") or "").rpartition("/")
    if repo and file:
        return {"hub": {"repo": repo, "revision": "main", "file": file}}
    if repo:
        names = {"file": "open_clip_model.safetensors", "alike": ["open_clip_pytorch_model.bin"]}
        return {"hub": {"repo": repo, "revision": "main", **names}}
    if not found.get("url"):
        raise CardError(f"open_clip names no file for {rest}", "choose another of its tags")
    return {"url": found["url"]}


def _open_clip_text(arch: str, config: dict[str, Any]) -> dict[str, Any] | None:
    """Return the text tower of an architecture, where medbench can read it."""
    text = config["text_cfg"]
    custom = config.get("custom_text") or "hf_model_name" in text
    mapping = {"prefix": "text."} if custom else {"drop": [r"visual\..*"]}
    if "hf_model_name" in text:
        return None
    found = {"library": "open_clip", "arch": arch, "weights": mapping, "dim": config["embed_dim"]}
    return {**found, "template": "a photo of a {}.", "tokenizer": _open_clip_tokenizer(text)}


def _open_clip_tokenizer(text: dict[str, Any]) -> dict[str, Any]:
    """Return the tokenizer of a text configuration: CLIP's, or one of the hub (SigLIP's)."""
    context = text.get("context_length", 77)
    if "hf_tokenizer_name" not in text:
        return {"kind": "clip", "context": context}
    return {
        "kind": "sentencepiece",
        "source": {"hub": {"repo": text["hf_tokenizer_name"], "file": "tokenizer.json", "revision": "main"}},
        "tokens": text["vocab_size"],
        "context": context,
        "pad_id": 1 if text["vocab_size"] == SIGLIP_TOKENS else 0,
        "clean": text.get("tokenizer_kwargs", {}).get("clean", "whitespace"),
    }
