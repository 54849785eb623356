"""What `medbench doctor` checks, on machines that have and lack things."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from medbench import doctor
from medbench.doctor import Diagnosis, examine
from medbench.errors import MedbenchError
from medbench.storage import paths

SAME = """
import fcntl, os
def flock(*_):
    if {code}:
        raise OSError({code}, os.strerror({code}))
fcntl.flock = flock
"""


def found(part: str | None = None) -> dict[str, Diagnosis]:
    return {one.what: one for one in examine(part)}


def test_everything_is_in_short_and_in_full_by_name() -> None:
    short, full = found(), {part: found(part) for part in doctor.PARTS}
    lines = (
        "gpu, torch, data folder, data, models, hub, cache, cache locks, run store, run store locks, python, medbench, "
        "libraries"
    )
    assert list(short) == lines.split(", ")
    assert {short[what].state for what in ("python", "medbench", "torch", "data", "models")} == {"ok"}
    assert set(full["libraries"]) == set(doctor.LIBRARIES)
    assert short["libraries"].detail == (
        f"{len(doctor.LIBRARIES)} of {len(doctor.LIBRARIES)} installed; list: medbench doctor libraries"
    )
    ready = sum(one.state == "ok" for one in full["models"].values())
    assert short["models"].detail.startswith(f"{ready} of {len(full['models'])} with their weights")
    assert full["data"]["data toy"].state == full["models"]["weights toy-vit"].state == "ok"
    assert "data aptos" in full["data"]
    assert not paths.home().exists()
    assert not paths.runs_dir().exists()


@pytest.mark.parametrize("part", ["model", "", "toy-vit"])
def test_a_part_that_there_is_not(part: str) -> None:
    with pytest.raises(MedbenchError, match=f"unknown part '{part}'") as caught:
        list(examine(part))
    assert "Parts: libraries, gpu, disk, hub, data, models" in caught.value.hint


def test_all_gpus_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Diagnosis("torch", "ok", "2"), *(Diagnosis(f"cuda:{i}", "ok", "H100, 80 GB") for i in range(8))]
    monkeypatch.setattr(doctor, "_torch", lambda: iter(rows))
    assert found()["gpu"].detail == "H100, 80 GB and 7 more; list: medbench doctor gpu"


def test_a_library_that_is_missing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = metadata.version

    def version(name: str) -> str:
        if name == "timm":
            raise metadata.PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(metadata, "version", version)
    assert found("libraries")["timm"] == Diagnosis("timm", "wrong", "not installed; pip install timm")
    count = len(doctor.LIBRARIES)
    text = f"{count - 1} of {count} installed; wrong: timm; list: medbench doctor libraries"
    assert found()["libraries"] == Diagnosis("libraries", "wrong", text)


def test_what_is_wrong_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "no-such-library"))
    assert list(found())[:3] == ["data folder", "libraries", "gpu"]


def test_torchvision_of_another_build_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen with torch for the CPU and torchvision for CUDA: its import raises a RuntimeError."""

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torchvision":
                raise RuntimeError("operator torchvision::nms does not exist\nmore")

    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert [one.detail for one in doctor._torch() if one.state == "wrong"] == [
        "operator torchvision::nms does not exist; install torch and torchvision together, from one index"
    ]


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
    hub = found("hub")
    assert hub["hub"].state == state
    assert detail in hub["hub"].detail
    assert {"hub address", "hub cache"} < set(hub)
    assert "verysecret" not in str(hub)


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert found("data")["data folder"].state == "note"
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "none"))
    assert found("data")["data folder"] == Diagnosis(
        "data folder", "wrong", f"MEDBENCH_DATA is {tmp_path / 'none'}, but there is no such folder"
    )
    (tmp_path / "aptos").mkdir()
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    seen = found("data")
    assert "data folder" not in seen
    assert seen["data aptos"] == Diagnosis(
        "data aptos", "ok", f"{tmp_path / 'aptos'}; check it: medbench data check aptos"
    )
    assert seen["data ddsm"].state == "note"
    assert f"not in {tmp_path / 'ddsm'}; how to get it: medbench data download ddsm" in seen["data ddsm"].detail


def test_a_folder_that_cannot_be_written_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file" / "home"))
    cache = found("disk")["cache"]
    assert cache == Diagnosis(
        "cache", "wrong", f"cannot write to {tmp_path / 'file' / 'home'}; set MEDBENCH_HOME to another folder"
    )
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert found("disk")["run store"].state == "wrong"


@pytest.mark.parametrize(("free", "state"), [(doctor.TIGHT_GB - 0.1, "note"), (doctor.TIGHT_GB + 0.1, "ok")])
def test_little_space_is_noted(monkeypatch: pytest.MonkeyPatch, free: float, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free * 1e9))
    assert {one.state for one in doctor._disk() if "locks" not in one.what} == {state}


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        (None, "ok", "file locks work between processes of this machine"),
        (0, "note", "file locks have no effect; processes may do the same work twice"),
        (errno.ENOSYS, "note", "has no file locks; lock files are used instead"),
        (errno.ENOLCK, "wrong", "cannot lock files; set MEDBENCH_HOME to a folder elsewhere"),
    ],
)
def test_locks_are_tried_by_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, state: str, detail: str
) -> None:
    """A file system that locks, one whose locks do nothing, one that knows none, one whose lock service is away."""

    def flock(*_: object) -> None:
        if code:
            raise OSError(code, os.strerror(code))

    if code is not None:
        monkeypatch.setattr(fcntl, "flock", flock)
        monkeypatch.setattr(doctor, "TRY", SAME.format(code=code) + doctor.TRY)
    found = doctor._locks("cache locks", tmp_path, "MEDBENCH_HOME")
    assert (found.state, detail in found.detail) == (state, True), found.detail
    mounts = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True).stdout.strip()
    assert found.detail.split(":")[0].split()[0][:3] == mounts[:3], "ext4 is ext2/ext3 to stat"
    assert not list(tmp_path.iterdir())


def test_weights_that_are_there_and_those_to_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model_zoo"
    folder.mkdir()
    for name, place in (("near", "file: near.pth"), ("far", "url: 'https://example.org/far.pth', gated: true")):
        (folder / f"{name}.yaml").write_text(f"title: t\narch: resnet18\nweights: {{{place}}}\n")
    (folder / "near.pth").write_text("")
    (folder / "broken.yaml").write_text("title: t\narhc: resnet18\n")
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    seen = found("models")
    assert seen["weights near"].state == "ok"
    assert str(folder / "near.pth") in seen["weights near"].detail
    far = seen["weights far"]
    assert far.state == "note"
    assert far.detail.endswith("; gated; medbench weights download far")
    assert seen["weights broken"].state == "wrong"
    assert "arhc" in seen["weights broken"].detail
    assert "wrong: broken; list" in found()["models"].detail


def test_a_broken_data_set_card_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "broken.yaml").write_text("task: ordinal\nlayuot: {}\n")
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    broken = found("data")["data broken"]
    assert broken.state == "wrong"
    assert "layuot" in broken.detail
