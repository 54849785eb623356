"""From a request to jobs: which numbers of a recipe a data set gets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medbench.runs.jobs import Options
from medbench.runs.plan import make_plan


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
