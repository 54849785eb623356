"""The site file: its example is valid, what is wrong in one is told in two lines, models may get other machines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medbench.errors import MedbenchError
from medbench.runs.cluster.site import EXAMPLE, Site, find_site
from medbench.runs.cluster.submit import for_site
from medbench.runs.jobs import Options


def written(folder: Path, **changes: object) -> Path:
    file = folder / "lab.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(EXAMPLE), **changes}))
    return file


def test_the_example_is_a_site(tmp_path: Path) -> None:
    site = find_site(written(tmp_path))
    assert (site.device, site.precision, site.at_once) == ("cuda", "bf16", 64)
    assert site.resources("train", "vit-large").gpus == 1
    giant = site.resources("train", "dinov2-giant")
    assert (giant.gpus, giant.minutes, giant.requeues) == (4, 1440, 20), "what is not named stays as the class has it"
    assert site.resources("heads", "dinov2-giant").gpus == 0


def test_several_gpus_are_as_many_processes(tmp_path: Path) -> None:
    models = {"a-*": {"features": {"cpus": 2}}, "[ab]-vit": {"train": {"gpus": 2}}, "*-giant": {"train": {"gpus": 4}}}
    site = find_site(written(tmp_path, models=models))
    assert site.processes() == (("*-giant", 4), ("[ab]-vit", 2), ("*", 1))
    for model in ("a-vit", "c-giant", "c-vit", "b-giant"):
        options = for_site(Options(), site)
        assert options.world(model) == site.resources("train", model).processes


def test_the_variable_and_the_users_own_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = written(tmp_path, at_once=3)
    assert find_site(None, {"MEDBENCH_SITE": str(named)}).at_once == 3
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    own = tmp_path / ".config" / "medbench"
    own.mkdir(parents=True)
    named.rename(own / "site.yaml")
    assert find_site(None, {}).at_once == 3


def test_without_a_file_an_example_is_printed(tmp_path: Path) -> None:
    with pytest.raises(MedbenchError, match="needs a site file, and there is none at") as caught:
        find_site(tmp_path / "none.yaml")
    shown = caught.value.hint.split(":\n", 1)[1]
    assert Site.model_validate({"name": "lab", **yaml.safe_load(shown)})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": "auto"}, "'auto' depends on the machine"),
        ({"classes": {"train": {}}}, "no resources for prepare, features, heads"),
        ({"classes": {"trains": {}}}, "trains"),
        ({"classes": {one: {"partitions": "x"} for one in ("prepare", "features", "heads", "train")}}, "partitions"),
        ({"models": {"*": {"train": {"gpu": 4}}}}, "gpu"),
        ({"models": {"*": {"features": {"gpus": 4}}}}, "only tasks of class train can use several GPUs"),
        ({"nodes": 3}, "nodes"),
        ({"env": {"HF_HUB_OFFLINE": True}}, "env.HF_HUB_OFFLINE: is a truth value of YAML: put the text in quotes"),
        ({"models": {"toy-[vc]*": {"train": {"gpu": 2}}}}, "toy-[vc]*.train.gpu: unknown field, did you mean 'gpus'?"),
        ({"models": {"[ab]": {"heads": {"gpus": 2}}}}, "only tasks of class train can use several GPUs"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(MedbenchError) as caught:
        find_site(written(tmp_path, **changes))
    assert said in str(caught.value) + caught.value.hint
    assert caught.value.hint == f"fix the card, then: medbench doctor --site {tmp_path / 'lab.yaml'}"


def test_unknown_fields_of_a_class_are_told_with_the_known_ones(tmp_path: Path) -> None:
    classes = {one: {"nodes": 2} for one in ("prepare", "features", "heads", "train")}
    with pytest.raises(MedbenchError) as caught:
        find_site(written(tmp_path, classes=classes))
    assert "classes.heads.nodes: unknown field; known: partition, gpus, cpus" in str(caught.value)


def test_numbers_are_texts_in_the_environment(tmp_path: Path) -> None:
    site = find_site(written(tmp_path, env={"OMP_NUM_THREADS": 4}, extra={"nice": 100}))
    assert (site.env, site.extra) == ({"OMP_NUM_THREADS": "4"}, {"nice": "100"})
