"""The public functions: their options, what they return and raise, and the tables that follow a run."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import medbench
from medbench import api
from medbench.api import RunFailedError
from medbench.errors import DataError, MedbenchError
from medbench.runs.jobs import Options, Plan, Result
from medbench.storage import paths

from .runs.conftest import run, write_pictures


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """Options of the plans that were asked for; the plans have no jobs."""
    found: list[Options] = []

    def plan(model: str, protocol: str, dataset: str, options: Options) -> Plan:
        found.append(options)
        return Plan([], options)

    monkeypatch.setattr(api, "make_plan", plan)
    return found


def test_tables_follow_each_run(tmp_path: Path) -> None:
    run(write_pictures(tmp_path / "pictures"))
    folder = paths.tables_dir()
    table = pd.read_csv(next(folder.glob("*.csv")))
    assert set(table["protocol"]) == {"linear-frozen", "knn"}
    assert "random weights" in next(folder.glob("*.md")).read_text()


def test_unknown_options_are_named(asked: list[Options]) -> None:
    with pytest.raises(MedbenchError, match="unknown option: epoch, zzz") as caught:
        medbench.run("toy-vit", "knn", "toy", epoch=3, zzz=2)
    assert caught.value.hint.startswith("did you mean: epochs")
    with pytest.raises(MedbenchError, match="unknown option: zzz") as caught:
        medbench.run("toy-vit", "knn", "toy", zzz=2)
    assert "seeds" in caught.value.hint
    assert asked == []


def test_settings_are_keywords_too(asked: list[Options]) -> None:
    medbench.run("toy-vit", "knn", "toy", k=5, temperature=0.1, seeds=2, image_size=32)
    medbench.run("toy-vit", "knn", "toy", set={"k": 5, "temperature": 0.1}, seeds=2, image_size=32)
    assert asked[0] == asked[1]
    assert asked[0].changes == {"k": 5, "temperature": 0.1}
    with pytest.raises(MedbenchError, match="given twice: k"):
        medbench.run("toy-vit", "knn", "toy", k=5, set={"k": 7})


def test_every_option_is_explained() -> None:
    said = set(re.findall(r"^        (\w+): ", medbench.Options.__doc__ or "", re.MULTILINE))
    assert said == set(Options.__dataclass_fields__)


@pytest.mark.parametrize("options", [{"runs": "a/runs"}, {"out": "a/runs"}, {"out": Path("a/runs")}], ids=str)
def test_out_is_another_name_for_runs(asked: list[Options], options: dict[str, str | Path]) -> None:
    assert medbench.run("toy-vit", "knn", "toy", **options) == []
    assert [one.runs for one in asked] == [Path("a/runs")]


def test_set_is_another_name_for_changes(asked: list[Options]) -> None:
    medbench.run("toy-vit", "knn", "toy", set={"k": 5}, data_root="data")
    medbench.run("toy-vit", "knn", "toy", changes={"k": 5}, data_root=Path("data"))
    assert asked[0] == asked[1]
    assert (asked[0].changes, asked[0].data_root) == ({"k": 5}, Path("data"))


def test_a_mistake_is_raised_as_it_is_and_a_failure_as_a_failed_run(
    asked: list[Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = Result(failures=[("toy-vit · knn · toy", "ValueError: odd"), ("toy-cnn · knn · toy", "OSError: full")])
    monkeypatch.setattr(api, "carry_out", lambda plan: result)
    with pytest.raises(RunFailedError, match="toy-vit · knn · toy: ValueError: odd; toy-cnn · knn · toy: OSError"):
        medbench.run("toy-vit,toy-cnn", "knn", "toy")
    mistake = DataError("no such folder", "name another")
    result.mistakes.append(("toy-vit · knn · toy", mistake))
    with pytest.raises(DataError) as caught:
        medbench.run("toy-vit,toy-cnn", "knn", "toy")
    assert caught.value is mistake


@pytest.mark.parametrize(
    ("listed", "folder"),
    [(medbench.list_models, "model_zoo"), (medbench.list_protocols, "protocols"), (medbench.list_datasets, "datasets")],
    ids=["models", "protocols", "datasets"],
)
def test_lists_hold_every_card_of_the_project(repo: Path, monkeypatch: pytest.MonkeyPatch, listed, folder: str) -> None:
    monkeypatch.chdir(repo)
    names = listed()
    assert {file.stem for file in (repo / folder).glob("*.yaml")} <= set(names)
    assert names == sorted(names)


def test_every_public_name_is_there_and_explained() -> None:
    for name in set(medbench.__all__) - {"__version__"}:
        assert (getattr(medbench, name).__doc__ or "").strip(), name
    assert medbench.ELSEWHERE.keys() <= set(medbench.__all__)


def test_results_pass_from_store_to_store_and_to_pages(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    medbench.run("toy-cnn", "knn", "toy-binary", runs=tmp_path / "theirs")
    capfd.readouterr()
    found = medbench.merge_results(tmp_path / "theirs", tmp_path / "mine")
    assert (len(found.new), found.refused) == (1, [])
    written = medbench.write_leaderboard(tmp_path / "site", tmp_path / "mine", include_random=True)
    assert [path.name for path in written] == ["toy-binary.html", "index.html"]
    assert capfd.readouterr().out == "", "functions return, commands print"


def test_features_are_written_and_returned(tmp_path: Path) -> None:
    table = medbench.write_features("toy-cnn", "toy-binary", str(tmp_path / "f.npz"), device="cpu")
    assert len(table.ids) == table.values.shape[0]
    assert (tmp_path / "f.npz").is_file()
    with pytest.raises(MedbenchError, match="unknown option: devise"):
        medbench.write_features("toy-cnn", "toy-binary", tmp_path / "g.npz", devise="cpu")


def test_a_card_is_written_and_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = write_pictures(tmp_path / "pictures")
    made = medbench.init_dataset(str(table), "mine")
    assert (made.path, made.card.name) == (Path("datasets/mine.yaml"), "mine")
    assert medbench.check_dataset("mine").name == "mine"
