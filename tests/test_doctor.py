"""What `medbench doctor` checks, on machines that have and lack things."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from medbench import doctor
from medbench.doctor import Diagnosis, examine
from medbench.storage import paths


def found(prefix: str = "") -> dict[str, Diagnosis]:
    return {one.what: one for one in examine() if one.what.startswith(prefix)}


def test_everything_is_checked() -> None:
    seen = found()
    for what in ("python", "medbench", "torch", "timm", "cache", "run store", "hub", "data", "data toy", "data aptos"):
        assert seen[what].detail
    assert {seen[what].state for what in ("python", "medbench", "torch", "data toy", "weights toy-vit")} == {"ok"}
    assert set(doctor.LIBRARIES) < set(seen)


def test_nothing_is_written() -> None:
    list(examine())
    assert not paths.home().exists()
    assert not paths.runs_dir().exists()


def test_a_library_that_is_missing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = metadata.version

    def version(name: str) -> str:
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(metadata, "version", version)
    assert found("timm")["timm"] == Diagnosis("timm", "wrong", "not installed; pip install timm")


def test_torch_that_does_not_load_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    seen = list(doctor._torch())
    assert [(one.what, one.state) for one in seen] == [("torch", "wrong")]
    assert seen[0].detail.startswith("cannot be imported")


@pytest.mark.parametrize(
    ("offline", "token", "state", "detail"),
    [
        (True, "hf_verysecret", "note", "HF_HUB_OFFLINE"),
        (False, "hf_verysecret", "ok", "a token is set"),
        (False, None, "note", "no token"),
    ],
)
def test_the_hub(monkeypatch: pytest.MonkeyPatch, offline: bool, token: str | None, state: str, detail: str) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    hub = doctor._hub()
    assert (hub.what, hub.state) == ("hub", state)
    assert detail in hub.detail
    assert "verysecret" not in hub.detail


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert found("data")["data"].state == "note"
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "none"))
    assert found("data")["data"] == Diagnosis(
        "data", "wrong", f"MEDBENCH_DATA is {tmp_path / 'none'}, but there is no such folder"
    )
    (tmp_path / "aptos").mkdir()
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    seen = found("data")
    assert "data" not in seen
    assert seen["data aptos"] == Diagnosis(
        "data aptos", "ok", f"{tmp_path / 'aptos'}; check it: medbench data check aptos"
    )
    assert seen["data ddsm"].state == "note"
    assert f"not in {tmp_path / 'ddsm'}; how to get it: medbench data download ddsm" in seen["data ddsm"].detail


def test_a_folder_that_cannot_be_written_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file" / "home"))
    cache = found("cache")["cache"]
    assert cache == Diagnosis(
        "cache", "wrong", f"cannot write to {tmp_path / 'file' / 'home'}; set MEDBENCH_HOME to another folder"
    )
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert found("run store")["run store"].state == "wrong"


@pytest.mark.parametrize(("free", "state"), [(doctor.TIGHT_GB - 0.1, "note"), (doctor.TIGHT_GB + 0.1, "ok")])
def test_little_space_is_noted(monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 1e9))
    assert {one.state for one in doctor._places()} == {state}


def test_weights_that_are_there_and_those_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model_zoo"
    folder.mkdir()
    for name, place in (("near", "file: near.pth"), ("far", "url: 'https://example.org/far.pth', gated: true")):
        (folder / f"{name}.yaml").write_text(f"title: t\narch: resnet18\nweights: {{{place}}}\n")
    (folder / "near.pth").write_text("")
    (folder / "broken.yaml").write_text("title: t\narhc: resnet18\n")
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    seen = found("weights")
    assert seen["weights near"].state == "ok"
    assert str(folder / "near.pth") in seen["weights near"].detail
    far = seen["weights far"]
    assert far.state == "note"
    assert far.detail.endswith("; gated; medbench weights download far")
    assert seen["weights broken"].state == "wrong"
    assert "arhc" in seen["weights broken"].detail


def test_a_broken_data_set_card_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "broken.yaml").write_text("task: ordinal\nlayuot: {}\n")
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    broken = found("data broken")["data broken"]
    assert broken.state == "wrong"
    assert "layuot" in broken.detail
