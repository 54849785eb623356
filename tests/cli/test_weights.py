"""`medbench weights`: four clear answers, and a download from a server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

ARCH = "test_resnet"
CARD = """
title: A small network
arch: {arch}
weights: {{{place}, drop: ['fc\\..*'], licence: MIT}}
input: {{size: 32}}
"""


@pytest.fixture
def folder(own_cards: Path) -> Path:
    (own_cards / "model_zoo" / "small.yaml").write_text(CARD.format(arch=ARCH, place="file: small.safetensors"))
    save_file(timm.create_model(ARCH, num_classes=3).state_dict(), own_cards / "model_zoo" / "small.safetensors")
    return own_cards / "model_zoo"


def test_the_right_file(medbench, folder):
    done = medbench("weights", "check", "small")
    assert done.status == 0, done.err
    assert "small: valid" in done.out
    sha = hashlib.sha256((folder / "small.safetensors").read_bytes()).hexdigest()
    assert f"sha256: {sha}" in done.out


def test_a_file_of_ones_own(medbench, folder, tmp_path):
    torch.save(timm.create_model(ARCH, num_classes=7).state_dict(), tmp_path / "mine.pth")
    done = medbench("weights", "check", "small", "--weights", tmp_path / "mine.pth")
    assert done.status == 0, done.err
    assert f"file: {tmp_path / 'mine.pth'}" in done.out


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_truncated_file(medbench, folder, tmp_path, suffix):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    state = timm.create_model(ARCH, num_classes=3).state_dict()
    save_file(state, whole) if suffix == "safetensors" else torch.save(state, whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = medbench("weights", "check", "small", "--weights", cut)
    assert (done.status, done.out) == (2, "")
    assert "truncated" in done.err
    assert str(cut) in done.err


def test_a_file_of_another_architecture(medbench, folder, tmp_path):
    save_file(timm.create_model("test_vit", num_classes=3).state_dict(), tmp_path / "vit.safetensors")
    done = medbench("weights", "check", "small", "--weights", tmp_path / "vit.safetensors")
    assert done.status == 2
    assert "another architecture" in done.err


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_a_file_that_carries_code_is_not_run(medbench, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trap.pth").write_bytes(pickle.dumps({"state": Trap()}, protocol=2))
    done = medbench("weights", "check", "small", "--weights", "trap.pth")
    assert done.status == 2
    assert "contains code" in done.err
    assert not Path("sprung").exists()


def test_a_file_that_is_not_there(medbench, folder):
    (folder / "small.safetensors").unlink()
    done = medbench("weights", "check", "small")
    assert done.status == 2
    assert str(folder / "small.safetensors") in done.err
    assert medbench("weights", "check", "imagenet").status == 2, "check fetches nothing"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine for the files of one folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    (tmp_path / "served").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", tmp_path / "served"
        running.shutdown()
        thread.join()


def test_download_then_check(medbench, own_cards, server, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    address, served = server
    save_file(timm.create_model(ARCH, num_classes=3).state_dict(), served / "far.safetensors")
    sha = hashlib.sha256((served / "far.safetensors").read_bytes()).hexdigest()
    place = f"url: '{address}/far.safetensors', sha256: {sha}"
    (own_cards / "model_zoo" / "far.yaml").write_text(CARD.format(arch=ARCH, place=place))
    assert medbench("weights", "check", "far").status == 2
    done = medbench("weights", "download", "far")
    assert done.status == 0, done.err
    assert f"sha256: {sha}" in done.out
    assert "licence: MIT" in done.err
    (served / "far.safetensors").unlink()  # not fetched twice
    assert medbench("weights", "download", "far").status == 0
    assert "far: valid" in medbench("weights", "check", "far").out


def test_toy_encoders_have_none(medbench):
    for command in ("check", "download"):
        done = medbench("weights", command, "toy-vit")
        assert done.status == 0
        assert "nothing to" in done.out


def test_unknown_models(medbench):
    done = medbench("weights", "check", "dinov4")
    assert done.status == 2
    assert "dinov2" in done.err
