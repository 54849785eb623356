"""From a request to jobs: which numbers of a recipe a data set gets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import medbench
from medbench.cards import ModelCard
from medbench.errors import MedbenchError, UnreachableError
from medbench.models.weights.locate import WeightsFile
from medbench.runs import plan
from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan

from .conftest import run, training_of


def recipe(dataset: Path | str) -> tuple[int, int | None, int]:
    (job,) = make_plan("toy-vit", "linear-frozen", str(dataset), Options(seeds=1)).jobs
    return job.settings.epochs, job.settings.warmup_steps, job.settings.views


@pytest.mark.parametrize("name", ["chexpert", "isic2019", "toy"])
def test_data_of_ones_own_get_no_other_data_sets_numbers(name: str, pictures: Path) -> None:
    """A protocol card's numbers for a data set belong to its card, not to a file of that name."""
    own = shutil.copy(pictures, pictures.with_name(f"{name}.csv"))
    assert recipe(own) == recipe(pictures) == (100, None, 16)


def test_a_folder_of_class_folders_gets_none_either(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chexpert"
    for row in pictures.read_text().splitlines()[1:]:
        image, label, _ = row.split(",")
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
        shutil.copy(pictures.parent / image, folder / f"class{label}")
    assert recipe(folder) == (100, None, 16)


def test_a_card_gets_its_own_numbers_by_name_and_by_file(repo: Path) -> None:
    assert recipe("toy") == recipe(repo / "datasets" / "toy.yaml") == (50, None, 4)


def test_one_weights_file_is_not_for_several_models(pictures: Path) -> None:
    with pytest.raises(MedbenchError, match="is one file, but the request has 2 models"):
        run(pictures, model="toy-vit,toy-cnn", weights="some.pth")


def test_sweeps_end_in_the_protocols_that_their_ends_are(data: Path) -> None:
    options = Options(seeds=2, changes=training_of("freeze"))
    jobs = make_plan("toy-vit", "freeze", str(data), options).jobs
    assert [(j.protocol.name, getattr(j.settings, "frozen", None)) for j in jobs] == [
        ("linear-unfrozen", None), ("freeze", 1), ("freeze", 2), ("freeze", 3), ("linear-frozen", None),
    ]  # fmt: skip
    plain = make_plan("toy-vit", "linear-unfrozen", str(data), options).jobs
    assert jobs[0].group == plain[0].group, "and are those protocols' own units"
    assert [u.options.get("frozen") for j in jobs for u, _ in j.units][::2] == [None, 1, 2, 3, None]
    cut = make_plan(
        "toy-vit", "decapitate-frozen", str(data), Options(changes={**training_of("deit"), "kept": [4, 2]})
    ).jobs
    assert [(j.protocol.name, j.sweep) for j in cut] == [("deit-frozen", ()), ("decapitate-frozen", (2,))]
    with pytest.raises(MedbenchError, match="frozen=5: toy-vit has 4 units"):
        make_plan("toy-vit", "freeze", str(data), Options(changes={**training_of("freeze"), "frozen": 5}))


def test_several_inputs_are_refused_by_name(tmp_path: Path) -> None:
    from medbench.cards import find_dataset
    from medbench.data.twins.twin import synthesise

    root = synthesise(find_dataset("gamma"), tmp_path / "gamma")
    with pytest.raises(MedbenchError, match="takes one image per sample, but samples of gamma have several inputs"):
        medbench.run(model="toy-vit", protocol="linear-unfrozen", dataset="gamma", data_root=root)


def test_all_that_is_missing_is_told_at_once_and_data_come_before_weights(tmp_path: Path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(plan, "locate", lambda card, *_, **__: asked.append(card.name))
    with pytest.raises(MedbenchError) as caught:
        make_plan("dinov2,sam", "knn", "aptos,isic2019", Options(data_root=tmp_path / "none"))
    assert "2 things are wrong or missing" in caught.value.message
    assert "aptos" in caught.value.message
    assert "isic2019" in caught.value.message
    assert asked == [], "no weights are fetched for a request that cannot run"


def test_one_download_without_a_network_is_enough(monkeypatch) -> None:
    asked = []

    def locate(card: ModelCard, _: str | None, *, download: bool) -> WeightsFile:
        asked.append(download)
        raise UnreachableError(f"no weights of {card.name}")

    monkeypatch.setattr(plan, "locate", locate)
    with pytest.raises(MedbenchError, match="3 things are wrong or missing"):
        make_plan("dinov2,sam,clip", "knn", "toy", Options(changes={"k": 3}))
    assert asked == [True, False, False]
