"""Every encoder against what the official code returned, on files laid out as the official ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medbench.models import load_model
from medbench.models.encoder import Encoder

TOLERANCE = {"sam_b": 3e-6}
DEFAULT_TOLERANCE = 5e-6
Case = tuple[str, dict[str, Any]]
"""What is asked of the encoder (`pooled`, `tokens`, `normed`, `block` or `layer` 4), and how it is loaded."""

WACV: dict[str, Any] = {"preset": "wacv-code"}
VIT: dict[str, Case] = {"patch_norm": ("normed", {}), "block4": ("block", {})}
CLS: dict[str, Case] = {**VIT, "cls": ("pooled", {"pooled": "cls"}), "cls_1ch": ("pooled", {})}
GAP: dict[str, Case] = {**CLS, "gap": ("pooled", {"pooled": "gap"})}
DINOV2: dict[str, Case] = {
    **CLS,
    "patchmean": ("pooled", {"pooled": "mean"}),
    "stack": ("tokens", {}),
    "drop4_cls": ("pooled", {"units": 5}),
}
CLIP: dict[str, Case] = {
    **CLS,
    "proj": ("pooled", {}),
    "stack": ("tokens", {}),
    "drop4_proj": ("pooled", {"units": 5}),
    "proj_1ch": ("pooled", {}),
}
RESNET: dict[str, Case] = {
    "pooled": ("pooled", {}),
    "map": ("tokens", {}),
    "block4": ("layer", {}),
    "pooled_1ch": ("pooled", {}),
}
SAM: dict[str, Case] = {
    "mean": ("pooled", {}),
    "stack": ("tokens", {}),
    "block4": ("block", {}),
    "drop4_mean": ("pooled", {"units": 5}),
    "mean_nearest": ("pooled", WACV),
    "stack_nearest": ("tokens", WACV),
    "drop4_mean_nearest": ("pooled", {**WACV, "units": 5}),
    "mean_nearest_1ch": ("pooled", WACV),
    "neck_mean": ("pooled", {"pooled": "neck"}),
    "neck": ("tokens", {"pooled": "neck"}),
}
BLIP: dict[str, Case] = {
    "cls": ("pooled", {}),
    "token1": ("pooled", {"pooled": "token1"}),
    "stack": ("tokens", {}),
    "block4": ("block", {}),
    "cls_m": ("pooled", {**WACV, "pooled": "cls"}),
    "token1_m": ("pooled", WACV),
    "stack_m": ("tokens", WACV),
    "drop4_token1_m": ("pooled", {**WACV, "units": 5}),
    "token1_m_1ch": ("pooled", WACV),
}
SEEM: dict[str, Case] = {
    "res5_mean": ("pooled", {}),
    "res5": ("tokens", {}),
    "block4": ("layer", {}),
    "res5_mean_1ch": ("pooled", {}),
    "res5_mean_1ch_bug": ("pooled", WACV),
    **{f"res{i + 1}_mean": ("pooled", {"units": i}) for i in (1, 2, 3)},
    **{f"res{i + 1}": ("tokens", {"units": i}) for i in (1, 2, 3)},
}
FIXTURES: dict[str, tuple[str, dict[str, Case]]] = {
    "deit_b": ("imagenet", CLS),
    "dino_b": ("dino", CLS),
    "dinov2_b": ("dinov2", DINOV2),
    "dinov2_s": ("dinov2-small", DINOV2),
    "resnet50": ("resnet50", RESNET),
    "resnet152": ("resnet152", RESNET),
    "openclip_b16": ("openclip", CLIP),
    "clip_b32": ("clip", CLIP),
    "biomedclip": ("biomedclip", CLIP),
    "blip_b": ("blip", BLIP),
    "sam_b": ("sam", SAM),
    "seem_focal_t": ("seem", SEEM),
    "flair": ("flair", {**RESNET, "proj": ("pooled", {"pooled": "projected"})}),
    "urfound": ("urfound", GAP),
    "visionfm_fundus": ("visionfm-fundus", {**CLS, "cls_last4": ("pooled", {"pooled": "last4"})}),
    "retfound_green": ("retfound-green", {**CLS, "avg": ("pooled", {})}),
    "retfound_dinov2": ("retfound-dinov2", {**CLS, "mean_ln": ("pooled", {"pooled": "notebook"})}),
    "retfound_cfp": ("retfound", GAP),
    "mae_l": ("mae-large", GAP),
}
ELSEWHERE = {"stacked", "text_512", "text_768", "text_proj", "logits"}
"""Outputs that are not an encoder's: the stacked classifier's, and the text towers' (test_text.py)."""
SAID_ELSEWHERE = {"mean_1024", "neck_mean_1024", "drop4_mean_1024"}
"""Means of maps that are held to theirs, or are at 224; each takes eight seconds more."""
OTHER_LIBRARIES = {
    "blip_b": ("transformers", "cls token1 stack block4 cls_m token1_m drop4_token1_m token1_m_1ch"),
    "sam_b": ("segment_anything", "mean stack block4 drop4_mean mean_nearest stack_nearest mean_nearest_1ch"),
    "openclip_b16": ("open_clip", "proj cls stack block4 drop4_proj proj_1ch"),
    "clip_b32": ("open_clip", "proj cls stack block4 drop4_proj proj_1ch"),
    "biomedclip": ("open_clip", "proj cls patch_norm block4"),
}


def key_of(output: str) -> str:
    """Return an output's name without its image size."""
    return output if output in ELSEWHERE else output.rsplit("_", 1)[0]


def images(fake: Any, given: dict[str, Any]) -> Tensor:
    mean, std = (torch.tensor(given[k]).view(1, -1, 1, 1) for k in ("mean", "std"))
    made: Tensor = fake.parity_image(given["seed"], given["batch"], given["channels"], given["size"])
    return (made - mean) / std


def answer(what: str, enc: Encoder, x: Tensor) -> Tensor:
    with torch.inference_mode():
        if what in ("block", "layer"):
            found = getattr(enc, what)(x, 4)
            return found.flatten(2).transpose(1, 2) if found.ndim == 4 else found
        if what == "normed":
            return enc.tokens(x, norm=True)
        return enc.pooled(x) if what == "pooled" else enc.tokens(x)


def error(found: Tensor, expected: Any) -> float:
    wanted = np.asarray(expected, np.float64)
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found.double().numpy() - wanted) / np.linalg.norm(wanted))


def torchvisions(file: Path, x: Tensor, what: str) -> Tensor:
    """Return what torchvision's ResNet-152 gives here and now.

    Through so many layers of noise weights rounding grows to 6e-5, and convolutions round by the processor and its
    threads: the recorded output, which is torchvision's too, is met to the last digit only where those are the same.
    """
    import torchvision

    net = torchvision.models.resnet152(weights=None)
    net.load_state_dict(torch.load(file, weights_only=True))
    net.eval()
    if x.shape[1] == 1:
        net.conv1.weight = torch.nn.Parameter(net.conv1.weight[:, :1])
    maps: list[Tensor] = []
    module = {"block": net.layer2[1], "layer": net.layer2[1]}.get(what, net.layer4)
    module.register_forward_hook(lambda _, __, output: maps.append(output))
    net.fc = torch.nn.Identity()
    with torch.inference_mode():
        pooled: Tensor = net(x)
    return pooled if what == "pooled" else maps[0].flatten(2).transpose(1, 2)


@pytest.fixture(params=FIXTURES, scope="module")
def fixture(request: pytest.FixtureRequest, fake: Any, shared: Path, tmp_path_factory: Any) -> Iterator[Any]:
    """Yield (name of the fixture, its fake official file, what the official code returned)."""
    name = request.param
    golden = json.loads((shared / "parity" / name / "golden.json").read_text())
    file = tmp_path_factory.mktemp("parity") / "weights.pth"
    fake.write_checkpoint(name, file, golden["seed"])
    yield name, file, golden
    file.unlink()


def test_parity_with_the_official_code(fixture: Any, fake: Any, shared: Path) -> None:
    name, file, golden = fixture
    arrays = np.load(shared / "parity" / name / "golden.npz")
    model, cases = FIXTURES[name]
    outputs = {o: meta for o, meta in golden["outputs"].items() if key_of(o) not in ELSEWHERE}
    off = {}
    runs: list[tuple[str, str, dict[str, Any]]] = [(o, *cases[key_of(o)]) for o in outputs if o not in SAID_ELSEWHERE]
    if name in OTHER_LIBRARIES:
        library, keys = OTHER_LIBRARIES[name]
        some = [o for o in outputs if key_of(o) in keys.split() and not o.endswith("1024")]
        runs += [(o, what, {**how, "library": library}) for o in some for what, how in [cases[key_of(o)]]]
        assert {key_of(o) for o in some} == set(keys.split())
    runs.sort(key=lambda run: json.dumps([run[2], outputs[run[0]]["input"]]))  # each encoder is loaded once
    enc: Encoder | None = None
    loaded: Any = None
    for output, what, how in runs:
        meta = outputs[output]
        x = images(fake, golden["inputs"][meta["input"]])
        if enc is None or loaded != (how, x.shape):
            enc, loaded = load_model(model, file, image_size=x.shape[-1], in_chans=x.shape[1], **how), (how, x.shape)
        found = answer(what, enc, x)
        found = fake.token_slice(found) if meta["form"] == "tokens" else found
        expected = torchvisions(file, x, what) if name == "resnet152" else arrays[output]
        far = error(found, fake.token_slice(expected) if name == "resnet152" and what != "pooled" else expected)
        print(f"{name} {output} {how}: {far:.1e}")
        if not far <= TOLERANCE.get(name, DEFAULT_TOLERANCE):
            off[f"{output} {how}"] = f"{far:.1e}"
    assert not off


def test_every_output_has_its_case(shared: Path) -> None:
    for folder in (shared / "parity").glob("*/golden.json"):
        keys = {key_of(output) for output in json.loads(folder.read_text())["outputs"]} - ELSEWHERE
        assert keys <= set(FIXTURES[folder.parent.name][1]), folder.parent.name
