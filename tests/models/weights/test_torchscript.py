"""TorchScript archives, read without their programme, against torch's own reader, which runs it."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import Tensor, nn

from medbench.cards import ModelCard, find_model
from medbench.cards.model import Weights
from medbench.errors import WeightsError
from medbench.models.load import load_model
from medbench.models.weights.read import read_file, read_state
from medbench.models.weights.torchscript import STORAGES, is_torchscript, read_torchscript

DTYPES = [
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
]  # fmt: skip


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.lin = nn.LayerNorm(width), nn.Linear(width, width)
        self.heads = 3

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lin(self.norm(x))


class Network(nn.Module):
    """Nested modules, numbers and texts, buffers of every type, and storages that several tensors share."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(6), Block(6), nn.Sequential(Block(6)))
        self.stem, self.bn = nn.Conv2d(3, 6, 2), nn.BatchNorm2d(6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.blocks[0].lin.weight
        whole = torch.arange(24.0)
        self.register_buffer("front", whole[:10])
        self.register_buffer("turned", whole[10:22].reshape(3, 4).T)
        self.register_buffer("spread", whole[0:12:5])
        self.register_buffer("one", torch.tensor(7))
        self.register_buffer("none", None)
        self.register_buffer("empty", torch.zeros(0, 3))
        for dtype in DTYPES:
            self.register_buffer(f"as_{dtype}".replace("torch.", ""), torch.tensor([0, 1, 2, 100]).to(dtype))
        self.size, self.text, self.words, self.numbers, self.ratio = 224, "grey", ["a", "b"], [1, 2], 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.tied(self.blocks(self.bn(self.stem(x)).mean([2, 3])))


def archived(network: nn.Module, path: Path, *example: Tensor, half: bool = False) -> dict[str, Tensor]:
    """Write a network as TorchScript, traced if there is an example; return what torch reads again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit", FutureWarning)
        warnings.filterwarnings("ignore", r".*torch\.jit", DeprecationWarning)
        script = torch.jit.trace(network.eval(), example) if example else torch.jit.script(network.eval())
        torch.jit.save(script.half() if half else script, str(path))
        return dict(torch.jit.load(str(path)).state_dict())


def equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("how", ["script", "trace", "half", "traced half"])
def test_an_archive_holds_what_torch_reads(how: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, path = Network(), tmp_path / "w.pt"
    nn.init.normal_(network.bn.weight)
    example = (torch.randn(1, 3, 8, 8),) if "trace" in how else ()
    wanted = archived(network, path, *example, half="half" in how)
    assert set(wanted) >= set(network.state_dict())
    assert is_torchscript(path)
    equal(read_torchscript(path), wanted)
    equal(read_file(path), wanted)
    dtypes = {value.dtype for value in wanted.values()}
    assert dtypes >= ({torch.float16, torch.int64} if "half" in how else set(DTYPES))


def test_tensors_that_shared_a_storage_still_do(tmp_path: Path) -> None:
    archived(Network(), tmp_path / "w.pt")
    found = read_torchscript(tmp_path / "w.pt")
    place = {name: value.untyped_storage().data_ptr() for name, value in found.items()}
    assert place["tied.weight"] == place["blocks.0.lin.weight"]
    assert place["front"] == place["turned"] == place["spread"]
    assert found["turned"].stride() == (1, 4)
    found["tied.weight"][0, 0] = 5  # what was read can be written
    assert found["blocks.0.lin.weight"][0, 0] == 5


def test_every_kind_of_storage_is_known() -> None:
    assert set(STORAGES.values()) == set(DTYPES)
    for name, dtype in STORAGES.items():
        assert torch.Tensor([]).to(dtype).type().replace("Tensor", "Storage").removeprefix("torch.") == name


def test_other_zip_files_are_not_mistaken(tmp_path: Path) -> None:
    state = Network().state_dict()
    torch.save(state, tmp_path / "w.pt")
    torch.save({"model": state, "constants.pkl": 1, "code/constants.pkl": 2}, tmp_path / "constants.pkl")
    for name in ("w.pt", "constants.pkl"):
        assert not is_torchscript(tmp_path / name)
    equal(read_file(tmp_path / "w.pt"), dict(state))
    equal(read_file(tmp_path / "constants.pkl")["model"], dict(state))


# Archives that are damaged, or hold something else.


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "good.pt"
    archived(Network(), path)
    return path


def changed(archive: Path, path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Write an archive again with other content of its files; those that become None are left out."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_file(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_an_archive_written_again_is_still_read(archive: Path, tmp_path: Path) -> None:
    equal(read_file(changed(archive, tmp_path / "w.pt", lambda _, content: content)), read_torchscript(archive))


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99, 0.9999])
def test_a_truncated_archive_is_told(share: float, archive: Path, tmp_path: Path) -> None:
    raw = archive.read_bytes()
    (tmp_path / "w.pt").write_bytes(raw[: int(len(raw) * share)])
    assert "truncated" in refused(tmp_path / "w.pt")


DAMAGES: dict[str, Callable[[str, bytes], bytes | None]] = {
    "a short storage": lambda name, content: content[:-1] if name.endswith("/data/0") else content,
    "no storage": lambda name, content: None if name.endswith("/data/0") else content,
    "no pickle": lambda name, content: None if name.endswith("/data.pkl") else content,
    "a short pickle": lambda name, content: content[:-40] if name.endswith("/data.pkl") else content,
    "an empty pickle": lambda name, content: b"" if name.endswith("/data.pkl") else content,
    "no pickle at all": lambda name, content: b"hello" if name.endswith("/data.pkl") else content,
    "longer tensors": lambda name, content: (
        content.replace(b"K\x06", b"K\x70") if name.endswith("/data.pkl") else content
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_told(damage: str, archive: Path, tmp_path: Path) -> None:
    assert "truncated" in refused(changed(archive, tmp_path / "w.pt", DAMAGES[damage]))


class Call:
    """Makes a call when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def with_pickle(archive: Path, path: Path, content: bytes) -> Path:
    return changed(archive, path, lambda name, old: content if name.endswith("/data.pkl") else old)


def call_of(module: str, mark: Path) -> bytes:
    """Return the pickle of a call of mkdir, of whatever module."""
    text = str(mark).encode()
    return b"c" + module.encode() + b"\nmkdir\n(X" + len(text).to_bytes(4, "little") + text + b"tR."


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_an_archive_is_never_run(protocol: int, archive: Path, tmp_path: Path) -> None:
    mark = tmp_path / "sprung"
    traps = [
        Call(os.mkdir, str(mark)),
        Call(eval, f"__import__('os').mkdir({str(mark)!r})"),
        Call(open, str(mark), "w"),
        Call(getattr, "a", "upper"),
        Call(torch.load, str(mark)),
    ]
    for trap in traps:
        content = pickle.dumps({"w": 1, "trap": trap}, protocol)
        message = refused(with_pickle(archive, tmp_path / "w.pt", content))
        assert "contains code (" in message
        assert "no code was run" in message
        assert not mark.exists()
    pickle.loads(pickle.dumps(traps[0], protocol))
    assert mark.exists(), "the trap would spring"


def test_code_behind_a_good_network_is_not_run_either(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as held:
        good = held.read(next(name for name in held.namelist() if name.endswith("/data.pkl")))
    assert good.endswith(b".")
    path = with_pickle(archive, tmp_path / "w.pt", good[:-1] + b"0" + call_of("posix", tmp_path / "sprung"))
    assert "contains code (posix.mkdir)" in refused(path)
    assert not (tmp_path / "sprung").exists()


def test_what_a_programme_names_is_a_bag_whatever_its_name(archive: Path, tmp_path: Path) -> None:
    path = with_pickle(archive, tmp_path / "w.pt", b"\x80\x02" + call_of("__torch__.os", tmp_path / "sprung"))
    assert read_torchscript(path) == {}
    with pytest.raises(WeightsError, match="contains no named tensors"):
        read_state(path, Weights())
    assert not (tmp_path / "sprung").exists()


# OpenAI's layout.


class Pair(nn.Module):
    """Two towers, and numbers as tensors, as in OpenAI's archives."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.transformer, self.token_embedding = nn.Sequential(nn.Linear(4, 4)), nn.Embedding(5, 4)
        self.positional_embedding = nn.Parameter(torch.randn(3, 4))
        self.text_projection = nn.Parameter(torch.randn(4, 12))
        self.logit_scale = nn.Parameter(torch.tensor(4.6))
        for name, value in (("input_resolution", 64), ("context_length", 3), ("vocab_size", 5)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        text = self.transformer(self.token_embedding(ids) + self.positional_embedding)[:, -1] @ self.text_projection
        return self.logit_scale.exp() * self.visual(image) @ text.T


def test_a_clip_of_openai(tmp_path: Path) -> None:
    torch.manual_seed(2)
    visual = VisionTransformer(64, 16, 32, 2, 2, 4.0, output_dim=12, act_layer=QuickGELU)
    visual.half().float()
    pair, x = Pair(visual), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = visual.eval()(x)
        held = archived(pair, tmp_path / "w.pt", x, torch.ones(2, 3, dtype=torch.long), half=True)
    assert held["visual.proj"].dtype == torch.float16
    assert held["input_resolution"].item() == 64
    fields = find_model("clip").model_dump(exclude_unset=True)
    fields |= {"args": {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 16, "num_classes": 12}}
    fields |= {"features": {**fields["features"], "dim": 12}}
    enc = load_model(ModelCard.model_validate(fields), tmp_path / "w.pt", image_size=64)
    assert all(value.dtype == torch.float32 for value in enc.network.parameters())
    torch.testing.assert_close(enc.pooled(x), wanted, rtol=1e-4, atol=2e-5)
    text = find_model("clip").text
    assert text is not None
    left = set(held) - set(read_state(tmp_path / "w.pt", text.weights))
    numbers = {"input_resolution", "context_length", "vocab_size"}
    assert left == {name for name in held if name.startswith("visual.")} | numbers
