"""From a request to jobs: which numbers of a recipe a data set gets."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import medbench
from medbench import cards
from medbench.cards import DatasetCard, ModelCard, Settings, load
from medbench.cards.recipes import KINDS
from medbench.cards.resolve import resolve
from medbench.cli.plan_text import precision_lines
from medbench.data.layouts import reader
from medbench.errors import MedbenchError, UnreachableError
from medbench.models.weights.locate import WeightsFile
from medbench.records import Record
from medbench.runs import jobs as jobs_module
from medbench.runs import plan as planning
from medbench.runs.jobs import Options, Plan
from medbench.runs.plan import make_plan

from .conftest import forwards, run, training_of, write_pictures


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
    asked: list[bool] = []
    monkeypatch.setattr(planning, "locate", lambda *_, download: asked.append(download))
    with pytest.raises(MedbenchError) as caught:
        make_plan("dinov2,sam", "knn", "aptos,isic2019", Options(data_root=tmp_path / "none"))
    assert "2 errors" in caught.value.message
    assert "aptos" in caught.value.message
    assert "isic2019" in caught.value.message
    assert asked == [False, False], "no weights are fetched for a request that cannot run"


def test_one_download_without_a_network_is_enough(monkeypatch) -> None:
    asked = []

    def locate(card: ModelCard, _: str | None, *, download: bool) -> WeightsFile:
        asked.append(download)
        raise UnreachableError(f"no weights of {card.name}")

    monkeypatch.setattr(planning, "locate", locate)
    with pytest.raises(MedbenchError, match="3 errors"):
        make_plan("dinov2,sam,clip", "knn", "toy", Options(changes={"k": 3}))
    assert asked == [True, False, False]


def settings_of(protocol: str, preset: str, dataset: str) -> Settings:
    return resolve(cards.find_protocol(protocol), preset, dataset, {})


@pytest.mark.parametrize("protocol", ["linear-frozen", "linear-unfrozen"])
def test_a_groups_numbers_for_a_data_set_leave_other_groups_alone(protocol: str) -> None:
    paper, theirs = (settings_of(protocol, preset, "chexpert") for preset in ("paper", "retfiner"))
    assert (paper.epochs, paper.warmup_steps, paper.split) == (10, 1000, None)
    assert (theirs.epochs, theirs.warmup_steps, theirs.warmup_epochs) == (1000, None, 10)
    code = settings_of(protocol, "wacv-code", "chexpert")
    assert (code.epochs, code.warmup_steps, code.split) == (100, 1000, "wacv-code")
    assert settings_of(protocol, "fixed", "ddsm").epochs == 50
    assert settings_of(protocol, "retfound", "toy").epochs == settings_of(protocol, "paper", "toy").epochs


def test_a_preset_has_its_own_precision_and_the_plan_says_where_auto_is_open(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(**options: Any) -> Plan:
        return make_plan("toy-vit", "knn", str(data), Options(**options))

    here = plan(preset="fixed")
    assert list(precision_lines(here)) == [
        "precision auto is fp32 on this machine, but bf16 on one with a GPU: these are different units; to get the "
        "same on both: --precision fp32"
    ]
    assert not list(precision_lines(plan(preset="fixed", precision="fp32")))
    monkeypatch.setattr("medbench.runs.device.choose_device", lambda asked: "cuda")
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    assert plan(preset="fixed").jobs[0].precision == "bf16"
    for preset in ("paper", "wacv-code"):
        assert plan(preset=preset).jobs[0].precision == "fp32"
        assert not list(precision_lines(plan(preset=preset)))
    assert plan(precision="bf16").jobs[0].precision == "bf16", "the user decides"


def test_layers_that_a_network_has_not_are_refused_before_the_fine_tuning(data: Path) -> None:
    with pytest.raises(MedbenchError, match="blocks of toy-cnn do not consist of attention"):
        make_plan("toy-cnn", "cka", str(data), Options(preset="wacv-code"))
    assert make_plan("toy-vit", "cka", str(data), Options(preset="wacv-code")).jobs


def test_what_batch_norm_sees_is_part_of_the_key(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def groups(model: str, protocol: str = "linear-unfrozen", **changes: Any) -> str:
        return make_plan(model, protocol, str(data), Options(changes=changes)).jobs[-1].group

    assert groups("toy-vit", micro_batch=4) == groups("toy-vit")
    plain, halved = groups("toy-cnn"), groups("toy-cnn", micro_batch=4)
    assert len({plain, halved, groups("toy-cnn", micro_batch=8)}) == 3
    assert groups("toy-cnn", "deit-frozen", micro_batch=4, classifier="toy-vit") == groups(
        "toy-cnn", "deit-frozen", classifier="toy-vit"
    ), "frozen batch norm does not look at the batch"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert groups("toy-cnn") != plain
    assert groups("toy-vit", micro_batch=4) == groups("toy-vit")


def test_without_a_stem_no_frozen_unit_is_a_unit_of_its_own(data: Path) -> None:
    changes = {**training_of("freeze"), "frozen": 0}
    (paper,), (code,) = (
        make_plan("toy-vit", "freeze", str(data), Options(preset=preset, changes=changes)).jobs
        for preset in ("paper", "wacv-code")
    )
    assert (paper.protocol.name, code.protocol.name, code.depth) == ("linear-unfrozen", "freeze", 0)


def test_on_toy_data_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    jobs = make_plan("toy-clip", "*", "toy", Options()).jobs
    assert {job.protocol.kind for job in jobs} == set(KINDS)
    assert {job.others["second"][0].name for job in jobs if "second" in job.others} == {"toy-vit"}
    second = [name for name, kind in KINDS.items() if kind.second and name != "cka"]
    assert len(second) == 5
    for name in second:
        for dataset in ("toy", "toy-binary", "toy-multiclass", "toy-multilabel"):
            for preset in ("paper", "wacv-code", "fixed"):
                assert getattr(settings_of(name, preset, dataset), KINDS[name].second) == "toy-vit"


@pytest.mark.parametrize(
    "protocol", ["timing", "deit-frozen", "deit-unfrozen", "decapitate-frozen", "decapitate-unfrozen", "cka"]
)
def test_a_classifier_is_a_model_card_in_every_protocol(protocol: str, data: Path) -> None:
    changes = {"classifier": "toy-vit"} | ({"tuned": "deit-frozen"} if protocol == "cka" else {})
    jobs = make_plan("toy-vit", protocol, str(data), Options(changes=changes)).jobs
    assert {job.others["second"][0].name for job in jobs} == {"toy-vit"}
    assert {unit.options["classifier"] for job in jobs for unit, _ in job.units} == {"toy-vit"}


def test_folds_are_one_row_and_features_are_extracted_once(pictures: Path) -> None:
    records = run(pictures, "knn", folds=3, set={"k": 5})
    assert [record.unit.seed for record in records] == [0, 1, 2]
    assert len({record.group for record in records}) == 1
    assert len({record.key for record in records}) == 3
    assert len({str(record.provenance["input"]) for record in records}) == 1, "the same mean and deviation"
    assert forwards(records) == 90
    tested = [frame[frame["split"] == "test"]["id"] for frame in map(predictions_of, records)]
    assert sorted(pd.concat(tested)) == sorted(pd.read_csv(pictures)["image"]), "each image is tested once"
    assert run(pictures, "knn", folds=3, set={"k": 5}) == records, "and nothing is run again"
    (plain,) = run(pictures, "knn", set={"k": 5, "split": "kfold-3@0"})
    assert plain.key != records[0].key, "here mean and deviation are those of train"


def test_what_is_left_out_is_in_no_statistics_of_folds(pictures: Path) -> None:
    for name in ("004", "005"):
        (pictures.parent / "images" / f"{name}.png").write_bytes(b"no picture")
    (left, *_) = run(pictures, "knn", folds=3, set={"k": 5}, unreadable="leave-out")
    rows = pictures.read_text().splitlines(keepends=True)
    pictures.write_text("".join(row for row in rows if "004.png" not in row and "005.png" not in row))
    (without, *_) = run(pictures, "knn", folds=3, set={"k": 5})
    for name in ("mean", "std"):
        assert left.provenance["input"][name] == without.provenance["input"][name]


def few(data: Path, seeds: int = 2, **changes: Any) -> Plan:
    return make_plan("toy-vit", "few-shot", str(data), Options(seeds=seeds, changes={"val": "none", **changes}))


def test_each_number_of_shots_and_each_seed_has_its_own_split(pictures: Path) -> None:
    jobs = few(pictures, shots=[1, 2, "all"]).jobs
    assert [(job.dataset.split_name, job.seeds) for job in jobs] == [
        ("fewshot-1-noval@0", (0,)), ("fewshot-1-noval@1", (1,)), ("fewshot-2-noval@0", (0,)),
        ("fewshot-2-noval@1", (1,)), ("grouped", (0,)),
    ]  # fmt: skip
    assert [len(job.dataset.rows("train")) for job in jobs[:4]] == [3, 3, 6, 6]
    assert len({job.group for job in jobs}) == 3, "the seeds of one number of shots are one row"
    assert len({key for job in jobs for _, key in job.units}) == 5
    assert len({job.family for job in jobs}) == 1, "and all can be solved together"
    assert [unit.options["shots"] for job in jobs for unit, _ in job.units] == [1, 1, 2, 2, "all"]
    assert len({tuple(job.dataset.rows("test")) for job in jobs}) == 1, "the test part is never drawn"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"val": "same"}, "fewshot-2@1"),
        ({"unit": "group"}, "fewshot-2-group-noval@1"),
        ({"split": "stratified"}, "stratified+fewshot-2-noval@1"),
        ({"split": "kfold-3@{seed}"}, "kfold-3@1+fewshot-2-noval@1"),
    ],
)
def test_the_name_of_a_few_shot_split(pictures: Path, changes: dict[str, Any], name: str) -> None:
    assert [job.dataset.split_name for job in few(pictures, shots=2, **changes).jobs][1] == name


def test_all_shots_are_the_linear_probe_to_the_last_digit(pictures: Path) -> None:
    own = {"transform": "native", "C": [0.1, 1.0]}
    (few_shot,) = run(pictures, "few-shot", set={"shots": "all", **own})
    (probe,) = run(pictures, "linear-probe", set={"refit": False, **own})
    assert few_shot.metrics == probe.metrics
    assert few_shot.metrics_val == probe.metrics_val
    assert few_shot.chosen == probe.chosen


def test_features_of_all_shots_are_extracted_once(pictures: Path) -> None:
    records = run(pictures, "few-shot", set={"shots": [1, 2]})
    assert [(r.unit.options["shots"], r.unit.seed) for r in records] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert forwards(records) == 90


def test_too_many_shots_are_refused_before_anything_is_run(pictures: Path) -> None:
    with pytest.raises(MedbenchError, match=r"500 shots for train need 500 samples of a class"):
        few(pictures, shots=[1, 500])


@pytest.mark.parametrize("shots", [0, [], [1, 0], "some", True, 1.5])
def test_what_is_no_number_of_shots(pictures: Path, shots: Any) -> None:
    with pytest.raises(MedbenchError, match=r"--set: shots=.*give whole numbers from 1 up, `all`, or a list"):
        few(pictures, shots=shots)


def test_a_data_set_is_read_once_for_all_its_splits(pictures: Path, monkeypatch) -> None:
    read, plain = [], reader.read_samples
    monkeypatch.setattr(reader, "read_samples", lambda *given: read.append(given) or plain(*given))
    assert len(few(pictures, shots=[1, 2]).jobs) == 4
    assert len(read) == 1


@pytest.mark.parametrize("protocol", ["linear-frozen", "knn"])
def test_what_chooses_on_validation_refuses_a_split_without_it(pictures: Path, protocol: str) -> None:
    options = Options(changes={"split": "fewshot-2-noval@0"})
    with pytest.raises(MedbenchError, match=f"{protocol} needs samples in val, but the split 'fewshot-2-noval@0' of"):
        make_plan("toy-vit", protocol, str(pictures), Options(changes={**options.changes, **auto(protocol)}))
    make_plan("toy-vit", "linear-probe,nearest-mean", str(pictures), options)


def auto(protocol: str) -> dict[str, Any]:
    return {"k": "auto"} if protocol == "knn" else {}


@pytest.mark.parametrize(("folds", "changes"), [(2, {}), (5, {"split": "grouped"})])
def test_folds_that_cannot_be(folds: int, changes: dict[str, Any]) -> None:
    with pytest.raises(MedbenchError, match=f"--folds {folds}"):
        make_plan("toy-cnn", "knn", "toy", Options(folds=folds, changes=changes))


def predictions_of(record: Record) -> pd.DataFrame:
    assert record.path is not None
    return pd.read_parquet(record.path / "predictions.parquet")


SCALE = (6, 8, 3)
"""Models, protocols and data sets of a large plan."""


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Write cards of models and protocols that differ in their names, or in one setting; return own data sets."""
    for folder in ("model_zoo", "protocols"):
        (tmp_path / "cards" / folder).mkdir(parents=True)
    models, protocols, datasets = SCALE
    for i in range(models):
        text = "arch: vit_tiny_patch16_224\nargs: {patch_size: 8, embed_dim: 48, depth: 2, num_heads: 2}\nunits: 2\n"
        (tmp_path / "cards" / "model_zoo" / f"own-vit-{i}.yaml").write_text(text)
    for i in range(protocols):
        defaults = f"defaults: {{views: 2, epochs: {i + 1}, learning_rates: [0.1]}}"
        text = f"{{kind: linear-frozen, {defaults}, presets: {{paper: {{}}}}}}"
        (tmp_path / "cards" / "protocols" / f"head-{i}.yaml").write_text(text)
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path / "cards"))
    return [str(write_pictures(tmp_path / f"d{i}", 30, seed=i)) for i in range(datasets)]


def test_what_jobs_share_is_made_once_however_many_jobs_there_are(
    many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,016 units: the counts of costly steps follow the cards, the recipes and the data, not the jobs or units."""
    models, protocols, datasets = SCALE
    counts: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def count(*args: Any, **more: Any) -> Any:
            counts[name] += 1
            return plain(*args, **more)

        monkeypatch.setattr(owner, name, count)

    for owner, name in (
        (ModelCard, "resolved"),
        (ModelCard, "material"),
        (DatasetCard, "material"),
        (load, "read_yaml"),
        (planning, "resolve"),
        (planning, "open_dataset"),
        (jobs_module, "recipe_of"),
        (os, "scandir"),
        (os, "stat"),
    ):
        counted(owner, name)
    plan = make_plan("own-vit-*", "head-*", many, Options(seeds=14))
    made, counts_of_plan = len(plan.jobs), counts.copy()
    assert len([key for job in plan.jobs for key in job.keys]) == 14 * made == 14 * models * protocols * datasets
    assert counts_of_plan["read_yaml"] <= models + protocols + 2 * datasets
    assert counts_of_plan["resolved"] == models
    assert counts_of_plan["resolve"] == protocols  # all data sets of one's own share an entry
    assert counts_of_plan["open_dataset"] == datasets
    assert counts_of_plan["recipe_of"] == protocols
    assert counts["material"] - counts_of_plan["material"] == 0, "keys were made with the plan"
    assert counts_of_plan["material"] == models + datasets
    counts.clear()
    assert len(plan.todo) == made
    assert counts["scandir"] + counts["stat"] <= 2, "the run store, which is not there"
