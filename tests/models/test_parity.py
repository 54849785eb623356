"""Everything that the official code returned, on files laid out as the official ones, against ours.

A file is written once and all its outputs are asked for: of the encoders, of the text towers and of the stacked
classifier. A network is built once for all features that can be had of it, and a block's work is not done again on an
input that it has seen.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medbench.cards import ModelCard, find_model
from medbench.errors import WeightsError
from medbench.models.build import build
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.models.networks.stacked import Stacked
from medbench.models.networks.units import layers
from medbench.models.text import load_text
from medbench.models.weights.locate import WeightsFile, locate

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
OTHER_LIBRARIES = {
    "blip_b": ("transformers", "cls token1 stack block4 cls_m token1_m drop4_token1_m token1_m_1ch"),
    "sam_b": ("segment_anything", "mean stack block4 drop4_mean mean_nearest stack_nearest mean_nearest_1ch"),
    "openclip_b16": ("open_clip", "proj cls stack block4 drop4_proj proj_1ch"),
    "clip_b32": ("open_clip", "proj cls stack block4 drop4_proj proj_1ch"),
    "biomedclip": ("open_clip", "proj cls patch_norm block4"),
}


TEXTS = {
    "flair": ("flair", {"text_512": "forward", "text_768": "hidden"}),
    "clip_b32": ("clip", {"text_proj": "forward"}),
    "openclip_b16": ("openclip", {"text_proj": "forward"}),
}
"""Fixture -> model, and what is asked of its text tower."""


def key_of(output: str) -> str:
    """Return an output's name without its image size."""
    return output.rsplit("_", 1)[0]


def seen(output: str) -> bool:
    """Tell an encoder's outputs from those of the text towers and of the stacked classifier."""
    return key_of(output) not in {"text", "logits", "stacked"}


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


class Builds:
    """Replaces `build`, and returns the last network again for a card that only differs in the pooled feature."""

    def __init__(self) -> None:
        self.key, self.network, self.memory = "", nn.Module(), Memory()

    def __call__(self, card: ModelCard, file: WeightsFile, size: int, channels: int, rule: str) -> nn.Module:
        key = f"{card.model_dump_json(exclude={'features'})} {file} {size} {channels} {rule}"
        if key != self.key:
            self.drop()  # before the next one takes its gigabyte
            self.network = build(card, file, size, channels, rule)
            self.memory.watch(self.network, f"{card.library} {card.arch} {card.args} {size}")
            self.key = key
        return self.network

    def drop(self) -> None:
        """Let go of the network, which what was put around its blocks would keep alive."""
        for layer in layers(self.network):
            layer.__dict__.pop("forward", None)
        self.key, self.network = "", nn.Module()


class Memory:
    """What each residual block gave last: presets and inputs share many of their blocks' work.

    A block of the same place in the same architecture, of the same values to the last bit, gives the same for the same
    input. All else (stem, norms, heads, necks, what is taken of the tokens) is done every time.
    """

    def __init__(self) -> None:
        self.held: dict[str, tuple[dict[str, Tensor], tuple[Any, ...], Tensor]] = {}
        self.spared = 0

    def watch(self, network: nn.Module, name: str) -> None:
        for i, layer in enumerate(layers(network)):
            layer.forward = functools.partial(self.passed, f"{name} {i} {layer}", layer, layer.forward)

    def passed(self, place: str, layer: nn.Module, forward: Callable[..., Any], *given: Any, **more: Any) -> Any:
        said = (*given, *more.values())
        values = layer.state_dict()
        if place in self.held:
            held, before, found = self.held[place]
            if same(before, said) and same(tuple(held.values()), tuple(values.values())):
                self.spared += 1
                return found.clone()
        answered = forward(*given, **more)
        if isinstance(answered, Tensor):
            kept = tuple(value.clone() if isinstance(value, Tensor) else value for value in said)
            self.held[place] = (values, kept, answered.clone())
        return answered


def same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(some) == len(others) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b
        for a, b in zip(some, others, strict=True)
    )


def torchvisions(file: Path, x: Tensor) -> dict[str, Tensor]:
    """Return what torchvision's ResNet-152 gives here and now: its pooled vector, last map and layer 4.

    Through so many layers of noise weights rounding grows to 6e-5, and convolutions round by the processor and its
    threads: the recorded output, which is torchvision's too, is met to the last digit only where those are the same.
    """
    import torchvision

    net = torchvision.models.resnet152(weights=None)
    net.load_state_dict(torch.load(file, weights_only=True))
    net.eval()
    net.conv1.weight = nn.Parameter(net.conv1.weight[:, : x.shape[1]])
    net.fc = nn.Identity()
    maps: list[Tensor] = []
    for module in (net.layer2[1], net.layer4):
        module.register_forward_hook(lambda _, __, output: maps.append(output.flatten(2).transpose(1, 2)))
    with torch.inference_mode():
        return {"pooled": net(x), "layer": maps[0], "tokens": maps[1]}


def runs_of(name: str, outputs: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (output, what, how it is loaded) of all that is asked of a fixture's encoders, alike ones together."""
    cases = FIXTURES[name][1]
    runs: list[tuple[str, str, dict[str, Any]]] = [(o, *cases[key_of(o)]) for o in outputs if seen(o)]
    if name in OTHER_LIBRARIES:
        library, keys = OTHER_LIBRARIES[name]
        some = [o for o in outputs if key_of(o) in keys.split() and not o.endswith("1024")]
        runs += [(o, what, {**how, "library": library}) for o in some for what, how in [cases[key_of(o)]]]
        assert {key_of(o) for o in some} == set(keys.split())
    order = ("library", "preset", "units", "pooled")
    return sorted(runs, key=lambda run: [outputs[run[0]]["input"], *(str(run[2].get(part, "")) for part in order)])


def encoders(name: str, file: WeightsFile, golden: dict[str, Any], arrays: Any, fake: Any) -> dict[str, float]:
    """Return output and how it is loaded -> relative error."""
    errors: dict[str, float] = {}
    theirs: dict[str, dict[str, Tensor]] = {}
    builds = Builds()
    given = {key: images(fake, meta) for key, meta in golden["inputs"].items() if meta["kind"] == "image"}
    for output, what, how in runs_of(name, golden["outputs"]):
        meta = golden["outputs"][output]
        x = given[meta["input"]]
        if "library" in how or x.shape[1] == 1:
            x = x[:1]  # a second image is work again, and nothing new but where all else is the same
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("medbench.models.build.build", builds)
            enc = load_model(FIXTURES[name][0], file, x.shape[-1], x.shape[1], **how)
        found, expected = answer(what, enc, x), arrays[output][: len(x)]
        if "units" in how:
            builds.key = ""  # that network is now cut
        if name == "resnet152":
            theirs[meta["input"]] = theirs.get(meta["input"]) or torchvisions(file.path, x)
            expected = theirs[meta["input"]][what]
            expected = fake.token_slice(expected) if meta["form"] == "tokens" else expected
        found = fake.token_slice(found) if meta["form"] == "tokens" else found
        errors[f"{output} {how}"] = error(found, expected)
    builds.drop()
    print(f"{builds.memory.spared} blocks were not run again")
    return errors


def texts(name: str, file: WeightsFile, golden: dict[str, Any], arrays: Any) -> dict[str, float]:
    """Return the relative errors of a fixture's text tower, and of the logits of images by these texts."""
    model, asked = TEXTS[name]
    text = load_text(model, file.path)
    given = [torch.from_numpy(arrays[key]).long() for key in golden["inputs"]["text"]["arrays"]]
    with torch.inference_mode():
        found = {output: getattr(text, method)(*given) for output, method in asked.items()}
    for output in golden["outputs"]:
        if key_of(output) == "logits":
            assert text.logit_scale is not None
            projected = torch.from_numpy(arrays[output.replace("logits", "proj")])
            found[output] = text.logit_scale * projected @ found["text_512"].T
    return {output: error(value, arrays[output]) for output, value in found.items()}


def stacked(file: WeightsFile, golden: dict[str, Any], arrays: Any, fake: Any) -> dict[str, float]:
    """Return the relative errors of the stacked classifier, whose DeiT is the fixture."""
    made = Stacked(load_model("imagenet", file), 768, 5, 0)
    made.projector = nn.Identity()  # the golden tokens are what the DeiT gets
    errors = {}
    for output in filter(lambda output: key_of(output) == "stacked", golden["outputs"]):
        given = golden["inputs"][golden["outputs"][output]["input"]]
        x = torch.from_numpy(fake.noise(given["tag"], math.prod(given["shape"])).reshape(given["shape"]))
        with torch.inference_mode():
            errors[output] = error(made.features(x), arrays[output])
    return errors


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield where the files are written, each over the last one: space for new ones costs more time than writing."""
    path = tmp_path_factory.mktemp("parity") / "weights"
    path.touch()
    yield path
    path.unlink()


def write(fake: Any, name: str, place: Path, seed: int) -> None:
    manifest = json.loads((fake.HERE / name / "manifest.json").read_text())
    if manifest["container"]["format"] == "safetensors":
        fake.write_checkpoint(name, place, seed)
        return
    with place.open("r+b") as file:
        fake.write_checkpoint(name, file, seed)
        file.truncate()


@pytest.mark.parametrize("name", FIXTURES)
def test_parity_with_the_official_code(name: str, fake: Any, shared: Path, place: Path) -> None:
    folder = shared / "parity" / name
    golden, arrays = json.loads((folder / "golden.json").read_text()), np.load(folder / "golden.npz")
    write(fake, name, place, golden["seed"])
    file = locate(find_model(FIXTURES[name][0]), str(place))
    errors = encoders(name, file, golden, arrays, fake)
    if name in TEXTS:
        errors |= texts(name, file, golden, arrays)
    if name == "deit_b":
        errors |= stacked(file, golden, arrays, fake)
    if name == "biomedclip":
        the_names_of_biomedclips_text_tower(file)
    if name == "flair":
        assert not {text: far for text, far in prompts(file, shared).items() if not far <= 5e-6}
    for output, far in errors.items():
        print(f"{name} {output}: {far:.1e}")
    assert {output.split()[0] for output in errors} == set(golden["outputs"]), "every output was asked for"
    tolerance = TOLERANCE.get(name, DEFAULT_TOLERANCE)
    assert not {output: f"{far:.1e}" for output, far in errors.items() if not far <= tolerance}


def prompts(file: WeightsFile, shared: Path) -> dict[str, float]:
    """Return how far the vectors of FLAIR's texts are from the official ones: one call a class, real vocabulary."""
    folder = shared / "parity_vl" / "flair_zero_shot"
    told, arrays = json.loads((folder / "manifest.json").read_text()), np.load(folder / "golden.npz")
    vocabulary = WeightsFile(shared / "vocab" / "bert_cased_recovered.txt", told["tokenizer"]["sha256"], "file")
    tower = load_text("flair", file, vocabulary=vocabulary)
    with torch.inference_mode():
        vectors = [tower.embed(texts) for texts in told["prompts"].values()]
    found = {
        "prompts": error(torch.cat(vectors), arrays["expert_prompt_embeddings"]),
        "prototypes": error(torch.stack([one.mean(dim=0) for one in vectors]), arrays["expert_prototypes"]),
    }
    print(*(f"flair_zero_shot {name}: {far:.1e}" for name, far in found.items()), sep="\n")
    return found


def the_names_of_biomedclips_text_tower(file: WeightsFile) -> None:
    """Hold that all of the few tensors of it that the fixture has fit."""
    with pytest.raises(WeightsError, match="missing") as caught:
        load_text("biomedclip", file.path)
    assert not {"unknown:", "shape:"} & set(caught.value.message.split())


def test_every_fixture_has_its_cases(shared: Path) -> None:
    for folder in (shared / "parity").glob("*/golden.json"):
        keys = {key_of(output) for output in json.loads(folder.read_text())["outputs"] if seen(output)}
        assert keys <= set(FIXTURES[folder.parent.name][1]), folder.parent.name
