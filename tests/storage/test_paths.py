"""Where the cache, the run store, the data sets and the cards are."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.storage import paths


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", "~/cache")
    assert paths.home() == Path.home() / "cache"
    monkeypatch.delenv("MEDBENCH_HOME")
    assert paths.home().name == "medbench"


def test_the_run_store_is_the_chosen_one_then_the_environments_then_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_RUNS", "~/store")
    assert paths.runs_dir(Path("mine")) == Path("mine")
    assert paths.runs_dir() == Path.home() / "store"
    assert paths.tables_dir() == Path.home() / "tables"
    monkeypatch.delenv("MEDBENCH_RUNS")
    assert paths.runs_dir() == Path("results/runs")
    assert paths.tables_dir(Path("a/runs")) == Path("a/tables")


def test_a_data_set_has_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.data_root("aptos") is None
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    assert paths.data_root("aptos") == tmp_path / "aptos"
    assert paths.data_root("medmnist--pathmnist") == tmp_path / "medmnist"


def test_a_chosen_folder_is_the_data_sets_own_or_holds_it(tmp_path: Path) -> None:
    assert paths.data_root("aptos", tmp_path) == tmp_path
    (tmp_path / "aptos").mkdir()
    assert paths.data_root("aptos", tmp_path) == tmp_path / "aptos"


def test_cards_of_the_user_come_before_those_of_the_folder_and_of_medbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: Path
) -> None:
    mine, here = tmp_path / "mine", tmp_path / "here"
    for folder in (mine / "model_zoo", here / "model_zoo"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_CARDS", str(mine))
    monkeypatch.chdir(here)
    found = [place.resolve() for place in paths.card_dirs("models")]
    assert found == [mine / "model_zoo", mine, here / "model_zoo", repo / "model_zoo"]
    monkeypatch.chdir(repo)
    assert [place.resolve() for place in paths.card_dirs("models")].count(repo / "model_zoo") == 1, "each folder once"


def test_cards_of_a_wheel_come_before_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "lib" / "medbench" / "storage" / "paths.py"
    monkeypatch.setattr(paths, "__file__", str(module))
    (tmp_path / "model_zoo").mkdir()
    packed = tmp_path / "lib" / "medbench" / "_cards"
    assert paths.shipped_cards() == packed, "a folder without pyproject.toml is no checkout"
    (tmp_path / "pyproject.toml").write_text("")
    assert paths.shipped_cards() == tmp_path
    packed.mkdir(parents=True)
    assert paths.shipped_cards() == packed
