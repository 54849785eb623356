"""A random search over cards, settings, label tables and weights files: only medbench's own errors come out."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.hostile.conftest import CARD

from medbench.cards import find_protocol
from medbench.cards.dataset import DatasetCard
from medbench.cards.load import load_card
from medbench.cards.model import ModelCard
from medbench.cards.resolve import parse_changes, resolve
from medbench.data.layouts.csv_table import read_columns
from medbench.data.load import find_source
from medbench.errors import MedbenchError
from medbench.models.weights.read import read_file

search = settings(
    max_examples=500,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MODEL = "arch: resnet18\nweights: {file: w.pth, rename: {'a(.)': 'b\\1'}, drop: ['c.*']}\ninput: {size: 32, std: [1]}\n"
PIECES = st.sampled_from([
    "!!int ", "!!float ", "!!bool ", "!!timestamp ", "!!str ", "!!null ", "!!set ", "!!omap ", "!!map ", "!!seq ", "? ",
    "!x ", "[", "]", "{", "}", ": ", "- ", "\n", "  ", "&a ", "*a ", "<<: ", "|", ">", "'", '"', "\\", "%", "@", "`",
    "#", ".inf", ".nan", "-1", "0", "1e999", "9" * 5000, "0x", "0o9", "1:60", "2020-13-45", "~", "yes", "\t", "\x00",
    "\x1b", "\ufeff", "\u2028", "(a+)+", "(", "\\9", "{x}", "..", "/", "---", "...", "é", "=", ",", ";",
])  # fmt: skip
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), PIECES), min_size=1, max_size=4)


def edited(text: str, edits: list[tuple[float, int, str]]) -> str:
    """Return the text with pieces put in, each in the place of some characters."""
    for share, cut, piece in edits:
        at = int(share * len(text))
        text = text[:at] + piece + text[at + cut :]
    return text


@search
@given(edits=EDITS, model=st.booleans())
def test_cards(tmp_path: Path, edits, model: bool) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(edited(MODEL if model else CARD, edits), encoding="utf-8")
    with contextlib.suppress(MedbenchError):
        load_card(file, ModelCard if model else DatasetCard).material()


@search
@given(
    key=st.sampled_from(
        ["views", "clip", "augment", "augment.scale", "learning_rates", "split", "fill", "a.b", ".", "k"]
    ),
    edits=EDITS,
    value=st.sampled_from(["1", "[1, 2]", "{a: 1}", "auto", "0.5"]),
    protocol=st.sampled_from(["linear-frozen", "knn", "linear-probe", "timing", "dino-pretrain"]),
)
def test_settings(key: str, edits, value: str, protocol: str) -> None:
    with contextlib.suppress(MedbenchError):
        changes = parse_changes([f"{key}={edited(value, edits)}", f"{key}.x=1"][: 1 + len(edits) % 2])
        resolve(find_protocol(protocol), "paper", "", changes).model_dump_json()


@search
@given(edits=EDITS, delimiter=st.sampled_from([",", ";", "\t", " "]))
def test_label_tables(tmp_path: Path, edits, delimiter: str) -> None:
    file = tmp_path / "labels.csv"
    text = "image,label,patient,split\n" + "".join(f"{n}.png,{n % 2},p{n},train\n" for n in range(6))
    file.write_text(edited(text, edits), encoding="utf-8")
    with contextlib.suppress(MedbenchError):
        read_columns(file, delimiter=delimiter)
    with contextlib.suppress(MedbenchError):
        find_source(str(file))


def saved(zipped: bool) -> bytes:
    made = io.BytesIO()
    torch.save({"a.weight": torch.zeros(3, 2)}, made, _use_new_zipfile_serialization=zipped)
    return made.getvalue()


def tensors() -> bytes:
    import safetensors.torch

    return safetensors.torch.save({"a.weight": torch.zeros(3, 2)})


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [saved(True), saved(False), tensors()]


@search
@given(
    which=st.integers(0, 2),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=9)), min_size=1, max_size=4),
)
def test_weights_files(tmp_path: Path, contents: list[bytes], which: int, edits) -> None:
    content = contents[which]
    for share, cut, piece in edits:
        at = int(share**3 * len(content))  # mostly in the header
        content = content[:at] + piece + content[at + cut :]
    (tmp_path / "w.pth").write_bytes(content)
    with contextlib.suppress(MedbenchError):
        read_file(tmp_path / "w.pth")
