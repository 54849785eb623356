"""Weights files whose content no network has, or that have no end."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from tests.hostile.conftest import knn
from torch import Tensor

NETWORK = "test_resnet"
MODEL = f"""arch: {NETWORK}
weights: {{file: w.pth, drop: ['fc\\..*', 'head\\..*']}}
input: {{size: 32}}
"""


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return timm.create_model(NETWORK, num_classes=0).state_dict()


def run(place: Path, refused: Callable[..., str], card: str = MODEL) -> str:
    (place / "m.yaml").write_text(card)
    return refused(*knn("own.yaml"), "--model", "m.yaml")


def floats(state: dict[str, Tensor], change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    return {name: change(value) if value.is_floating_point() else value for name, value in state.items()}


CHANGES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (lambda value: value.to_sparse(), "sparse, packed or repeated"),
    "repeated": (lambda value: torch.zeros(1).expand(value.shape), "sparse, packed or repeated"),
    "packed": (lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8), "sparse, packed or repeated"),
    "integer": (lambda value: value.to(torch.int64), "(int64 for float32)"),
    "bytes": (lambda value: value.to(torch.uint8), "(uint8 for float32)"),
    "bool": (lambda value: value > 0, "(bool for float32)"),
    "complex": (lambda value: value.to(torch.complex64), "(complex64 for float32)"),
    "float8": (lambda value: value.to(torch.float8_e4m3fn), "(float8_e4m3fn for float32)"),
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.filterwarnings("ignore:torch.*quantiz")
def test_tensors_of_a_kind_that_no_network_has(place: Path, refused, state: dict[str, Tensor], case: str) -> None:
    change, words = CHANGES[case]
    torch.save(floats(state, change), place / "w.pth")
    assert words in run(place, refused)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_are_taken(place: Path, medbench, state, kind: torch.dtype) -> None:
    torch.save(floats(state, lambda value: value.to(kind)), place / "w.pth")
    (place / "m.yaml").write_text(MODEL)
    done = medbench("weights", "check", "m.yaml")
    assert done.status == 0, done.err


@pytest.mark.parametrize("std", ["[0, 1, 1]", "[.inf, 1, 1]", "[-1, 1, 1]"])
def test_a_deviation_that_nothing_can_be_divided_by(place: Path, refused, std: str) -> None:
    text = run(place, refused, MODEL.replace("size: 32", f"size: 32, std: {std}"))
    assert "m.yaml" in text
    assert "std" in text or "finite" in text


@pytest.mark.parametrize("field", ["drop: ['(a|aa|a?)+$']", "rename: {'(a|aa|a?)+$': b}"])
def test_a_regular_expression_without_end(place: Path, refused, state, monkeypatch, field: str) -> None:
    monkeypatch.setattr("medbench.storage.patterns.LIMIT", 0.2)
    torch.save({"a" * 100 + "b": torch.zeros(1), **state}, place / "w.pth")
    assert "did not finish" in run(place, refused, MODEL.replace("drop: ['fc\\..*', 'head\\..*']", field))


class Node:
    """Pickled as a module of a TorchScript program."""

    def __init__(self, held: dict[str, object]) -> None:
        self.held = held

    def __getstate__(self) -> dict[str, object]:
        return self.held


def script(file: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("m/constants.pkl", pickle.dumps((), 2))
        archive.writestr("m/data.pkl", content)


def pickled(node: object) -> bytes:
    text = io.BytesIO()
    pickle.dump(node, text, 2)
    return text.getvalue().replace(f"c{Node.__module__}\nNode\n".encode(), b"c__torch__.m\nNode\n")


def test_modules_that_hold_each_other_40_times_over(place: Path, refused) -> None:
    node = Node({})
    for _ in range(40):
        node = Node({"a": node, "b": node})
    script(place / "w.pth", pickled(node))
    assert "its modules have no end" in run(place, refused)


def test_a_module_in_itself(place: Path, refused) -> None:
    node = Node({})
    node.held["a"] = node
    script(place / "w.pth", pickled(node))
    assert "its modules have no end" in run(place, refused)


def test_a_list_of_modules_of_gigabytes(place: Path, refused, monkeypatch) -> None:
    monkeypatch.setattr("medbench.models.weights.torchscript.MOST_PICKLE", 1 << 20)
    script(place / "w.pth", pickled(OrderedDict(a="a" * (2 << 20))))
    assert "data.pkl has 2,097" in run(place, refused)


def test_an_archive_that_unpacks_to_far_more_than_it_is(place: Path, refused, monkeypatch) -> None:
    monkeypatch.setattr("medbench.storage.archives.SMALL", 1 << 20)
    script(place / "w.pth", b"\x80\x02" + b"0" * (4 << 20))
    assert "it would unpack to more than" in run(place, refused)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, b"", b"\x80\x02.", b"\xff" * 64])
def test_what_only_begins_like_a_weights_file(place: Path, refused, content: bytes) -> None:
    (place / "w.pth").write_bytes(content)
    assert "w.pth" in run(place, refused)
