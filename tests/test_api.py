"""The public functions: their options, what they return and raise, and the tables that follow a run."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import typer

import medbench
from medbench import api
from medbench.api import RunFailedError
from medbench.cli import app
from medbench.errors import CardError, DataError, MedbenchError
from medbench.runs.jobs import Options, Plan, Result
from medbench.storage import paths

from .hub import Hub
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


def test_each_command_has_a_function() -> None:
    """Those of a cluster's tasks, of the terminal and of this machine have none."""
    functions = {
        "run": medbench.run,
        "table": medbench.table,
        "figure": medbench.figure,
        "compare": medbench.compare,
        "report": medbench.write_report,
        "status": medbench.status,
        "ls": medbench.list_models,
        "init": medbench.write_card,
        "features": medbench.write_features,
        "leaderboard": medbench.write_leaderboard,
        "data": medbench.check_data,
        "results": medbench.push_results,
    }
    without = {"show", "validate", "doctor", "demo", "logs", "cancel", "work", "weights"}
    assert {*functions, *without} == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert {function.__name__ for function in functions.values()} <= set(medbench.__all__)


def test_a_card_for_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = write_pictures(tmp_path / "pictures")
    path = medbench.write_card(pictures, "mine", task="multiclass")
    assert path == Path("datasets/mine.yaml")
    assert medbench.load_dataset("mine").digest == medbench.load_dataset(str(pictures)).digest
    with pytest.raises(CardError, match="a data set card 'mine' already exists"):
        medbench.write_card(pictures, "mine")
    with pytest.raises(CardError, match="'mine' is already a card"):
        medbench.write_card("mine")
    assert medbench.check_data("mine", near_radius=None).name == "mine"
    assert ("task", "ordinal, metric kappa_linear") in medbench.check_data(
        pictures, task="ordinal", metric="kappa_linear", images=False
    ).taken.lines


def test_features_as_a_file(tmp_path: Path) -> None:
    written = medbench.write_features("toy-cnn", "toy-binary", tmp_path / "f.npz", image_size=32)
    samples = medbench.load_dataset("toy-binary").samples
    assert written.values.shape == (len(samples), medbench.load_model("toy-cnn").dim)
    (record,) = medbench.run(tmp_path / "f.npz", "knn", "toy-binary", runs=tmp_path / "runs")
    assert medbench.status(tmp_path / "runs")["done"].tolist() == [1]
    assert record.unit.weights == "random"


def test_results_go_to_the_hub_and_come_back(hub: Hub, tmp_path: Path) -> None:
    (record,) = medbench.run("toy-cnn", "knn", "toy-binary", runs=tmp_path / "a")
    pushed = medbench.push_results("lab/eyes", predictions=False, runs=tmp_path / "a")
    assert [one.key for one in pushed.bundle.records] == [record.key]
    assert pushed.commit == hub.commit("lab/eyes")
    pulled = medbench.pull_results("lab/eyes", runs=tmp_path / "b")
    merged = medbench.merge_results(tmp_path / "a", runs=tmp_path / "b")
    assert ([one.key for one in pulled.new], merged.there, merged.refused) == ([record.key], 1, [])
    files = medbench.write_leaderboard(tmp_path / "site", tmp_path / "b", include_random=True)
    assert [path.name for path in files] == ["toy-binary.html", "index.html"]


def test_paths_may_be_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(medbench.run("toy-cnn", "knn", "toy-binary", runs="a/runs")) == 1
    assert medbench.status("a/runs")["done"].tolist() == [1]
    assert len(medbench.table("dataset/toy-binary", runs="a/runs", include_random=True)) == 1
    asked = {"runs": "a/runs", "include_random": True}
    one, two = (medbench.table("dataset/toy-binary", metrics=m, **asked) for m in ("auroc,ap", ["auroc", "ap"]))
    assert one.equals(two)
    assert medbench.figure("dataset/toy-binary", "drawn", runs="a/runs", include_random=True)[0].is_file()
    assert medbench.write_report("a/runs", "page.html", thumbnails=0) == Path("page.html")
    assert medbench.write_leaderboard("site", "a/runs", include_random=True)[-1] == Path("site/index.html")
    assert len(medbench.merge_results("a/runs", runs="b/runs").new) == 1
    pictures = write_pictures(tmp_path / "pictures")
    Path("labels.csv").write_text(pictures.read_text())
    assert medbench.write_card("labels.csv", "mine", data_root=str(pictures.parent)) == Path("datasets/mine.yaml")
    assert medbench.load_dataset(pictures).digest == medbench.load_dataset("mine").digest
    with pytest.raises(MedbenchError, match=r"none\.csv"):
        medbench.load_dataset("mine", split=Path("none.csv"))


def test_a_card_has_a_metric_of_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = write_pictures(tmp_path / "pictures")
    with pytest.raises(MedbenchError, match="unknown metric 'aurok'"):
        medbench.write_card(pictures, metric="aurok")
    assert not Path("datasets").exists()
