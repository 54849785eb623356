"""`medbench doctor`."""

from __future__ import annotations

import json

import pytest


def found(medbench) -> dict[str, dict[str, str]]:
    done = medbench("doctor", "--json")
    return {finding["what"]: finding for finding in json.loads(done.out)}


def test_everything_is_looked_at(medbench, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    looked = found(medbench)
    for what in ("python", "medbench", "torch", "timm", "cache", "run store", "hub", "data", "data toy", "data aptos"):
        assert looked[what]["detail"]
    assert looked["torch"]["state"] == "ok"
    assert looked["data toy"]["state"] == "ok"
    assert looked["hub"]["detail"].startswith("HF_HUB_OFFLINE")


def test_data_and_hub_as_the_environment_says(medbench, monkeypatch, tmp_path):
    (tmp_path / "data" / "aptos").mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    looked = found(medbench)
    assert str(tmp_path / "data" / "aptos") in looked["data aptos"]["detail"]
    assert looked["hub"]["state"] == "ok"
    assert "verysecret" not in json.dumps(looked)


def test_a_place_that_cannot_be_is_wrong(medbench, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "none"))
    looked = found(medbench)
    assert looked["cache"]["state"] == "wrong"
    assert "MEDBENCH_HOME" in looked["cache"]["detail"]
    assert looked["data"]["state"] == "wrong"
    assert medbench("doctor").status == 1


@pytest.mark.parametrize("name", ["toy-vit"])
def test_toy_encoders_need_no_weights(medbench, name):
    assert found(medbench)[f"weights {name}"]["state"] == "ok"
