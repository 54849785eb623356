"""Cards of models of timm that people keep on the Hugging Face hub: `hf-hub:OWNER/NAME`, as timm spells it.

As names, in folders and records, they are `hf-hub--OWNER--NAME`. The card pins the commit that was found.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from medbench.cards.catalogues.libraries import timm_fields
from medbench.cards.model import ModelCard
from medbench.errors import CardError
from medbench.storage.fetch import ask_hub

STARTS = ("hf-hub:", "hf-hub--")
CONFIG = "config.json"
"""The file in which timm says what network a repository holds."""
SET_BY_MEDBENCH = ("num_classes", "img_size", "in_chans", "global_pool")
"""Arguments that depend on the run, not on the file."""


def is_hub_name(name: str) -> bool:
    """Tell whether a model's name means a repository of the hub."""
    return name.startswith(STARTS)


def hub_card(name: str) -> ModelCard:
    """Return the card of a model of timm in a repository of the hub; its small configuration file is downloaded.

    Args:
        name: `hf-hub:OWNER/NAME`, or `hf-hub:OWNER/NAME@REVISION`.

    Raises:
        CardError: There is no such repository, it cannot be reached, or it holds no model of timm.
    """
    place, _, revision = name[len(STARTS[0]) :].lstrip("-").replace("--", "/").partition("@")
    path = _config(place, revision)
    arch, found, args = _read(path, place)
    file = found.hf_hub_filename or "model.safetensors"
    source = {"hub": {"repo": place, "file": file, "alike": ["pytorch_model.bin"], "revision": path.parent.name}}
    return ModelCard.model_validate(
        {
            "name": f"hf-hub--{place.replace('/', '--')}",
            "title": f"{arch}, from {place} on the Hugging Face hub",
            "notes": "Generated from the repository's own description, unchecked; medbench does not know the "
            f"training data. Commit {path.parent.name[:12]}.",
            "args": args,
            **timm_fields(arch, found, source),
        }
    )


def _config(place: str, revision: str) -> Path:
    """Return the configuration file in the hub's cache, in a folder that is named after the commit."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    hint = "check the name: hf-hub:OWNER/NAME; for a private or gated one: hf auth login"
    wanted = revision or None

    def held() -> Path | None:
        found = try_to_load_from_cache(place, CONFIG, revision=wanted)
        return Path(found) if isinstance(found, str) else None

    return ask_hub(lambda: Path(hf_hub_download(place, CONFIG, revision=wanted)), place, hint, CardError, held)


def _read(path: Path, place: str) -> tuple[str, Any, dict[str, Any]]:
    """Return architecture, configuration of the weights, and further arguments of timm's constructor."""
    import timm
    from timm.models import PretrainedCfg

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        arch, told = str(content["architecture"]), content.get("pretrained_cfg", content)
        known = {field.name for field in dataclasses.fields(PretrainedCfg)}
        found = PretrainedCfg(**{name: value for name, value in told.items() if name in known})
        args = {name: value for name, value in (content.get("model_args") or {}).items() if name not in SET_BY_MEDBENCH}
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CardError(
            f"{place} does not contain a timm model: {CONFIG}: {error}", "medbench supports only timm models there"
        ) from error
    if not timm.is_model(arch):
        raise CardError(
            f"{place} does not contain a timm model: timm has no '{arch}'", "medbench supports only timm models there"
        )
    return arch, found, args
