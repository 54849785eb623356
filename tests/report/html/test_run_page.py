"""One group's page: its numbers, pictures and command."""

from __future__ import annotations

import io
import shlex

import pytest
from PIL import Image

from medbench.cli.options import seeds_of
from medbench.records import store
from medbench.records.groups import Group, collect
from medbench.report.html.render_page import rendered
from medbench.report.html.run_page import command_of, page_of
from medbench.report.tables.marks import interval
from medbench.runs.jobs import Options

from .conftest import CLASSES, EVIL, put
from .test_render_page import content_of, table_of


@pytest.fixture
def page(runs, groups):
    group = groups["dinov2"]
    return page_of(group, runs, interval(group, "auroc"), None, 4)


def test_numbers_are_the_records(page, groups):
    group = groups["dinov2"]
    row = page.metrics[0]
    mean, std, n = group.summary("auroc")
    assert (row.name, row.mean) == ("auroc", f"{mean:.4f} ± {std:.4f} (n={n})")
    assert row.seeds == tuple(f"{record.metrics['auroc']:.4f}" for record in group.records)
    low, high = (float(end) for end in row.interval.strip("[]").split(", "))
    assert low < mean < high
    assert "lower is better" in next(row.name for row in page.metrics if row.name.startswith("log_loss"))


def test_pictures_are_pictures(page):
    pictures = [*page.pictures, *(picture for tab in page.tabs for picture in tab.pictures)]
    assert [p.title.split(":")[0] for p in pictures] == [
        "Training curve or grid", "Reliability diagram, 15 bins", "Confusion matrix", "ROC curves",
        "Precision-recall curves",
    ]  # fmt: skip
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.data)).convert("L")
        assert image.size[0] > 300
        assert image.getextrema() == (0, 255)


def test_labels_have_areas_in_place_of_a_confusion_matrix(runs, groups):
    tabs = page_of(groups["sam"], runs, (None, None), None, 0).tabs
    titles = [picture.title for tab in tabs for picture in tab.pictures]
    assert any("each label" in title for title in titles)
    assert not any("Confusion" in title for title in titles)


def test_worst_images_carry_the_thumbnails_that_are_there(runs, groups):
    asked = {}

    def pictures(dataset, truth):
        asked[dataset] = truth
        return {next(iter(truth)): b"jpeg"}

    page = page_of(groups["dinov2"], runs, (None, None), pictures, 3)
    assert asked == {"ddsm": {wrong.image.id: wrong.image.truth for wrong in page.worst}}
    assert len(page.worst) == 3
    assert [wrong.thumbnail is not None for wrong in page.worst] == [True, False, False]
    assert set(page.worst[0].image.truth) <= set(CLASSES)


def test_badges_say_what_is_no_result(runs, groups):
    page = page_of(groups["toy-vit"], runs, (None, None), None, 0)
    assert page.badges == ("random weights: not a result", "toy data: says nothing about medicine", "synthetic record")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("dinov2", ["--model", "dinov2", "--protocol", "linear-frozen", "--dataset", "ddsm", "--seeds", "2"]),
        ("imagenet", ["--set", f"text={EVIL}"]),
        ("toy-vit", ["--seeds", "3,", "--weights", "random"]),
    ],
)
def test_the_command_is_one_that_a_shell_takes_apart_again(groups, model, expected):
    words = shlex.split(command_of(groups[model]))
    at = words.index(expected[0])
    assert words[:2] == ["medbench", "run"]
    assert [word for word in words[at:] if word in expected] == expected


@pytest.mark.parametrize("seeds", [(0, 1, 2), (0, 2), (3,), (0,)])
def test_the_commands_seeds_are_read_as_the_records_seeds(tmp_path, seeds):
    put(tmp_path, "dino", 1.0, seeds=seeds)
    (group,) = collect(store.read_all(tmp_path))
    words = shlex.split(command_of(group))
    assert Options(seeds=seeds_of(words[words.index("--seeds") + 1])).seed_list == list(seeds)


def test_the_command_that_was_run_is_the_one_that_is_shown(tmp_path):
    command = "medbench run --model mz/dino.yaml --protocol knn --dataset './my data'"
    put(tmp_path, "dino", 1.0, seeds=(0,))
    (group,) = collect(store.read_all(tmp_path))
    made = group.first.model_copy(update={"provenance": {"command": command}})
    assert command_of(Group((made,))) == command


def test_folders_are_told_below_the_run_store(page, runs):
    assert len(page.folders) == 2
    assert all((runs / folder / "record.json").is_file() for folder in page.folders)


def test_a_record_without_predictions_or_history_has_a_page_all_the_same(tmp_path):
    put(tmp_path, "dino", 1.0, seeds=(0,))
    (group,) = collect(store.read_all(tmp_path))
    for name in (store.PREDICTIONS, store.HISTORY):
        (group.first.path / name).unlink()
    page = page_of(group, tmp_path, (None, None), None, 5)
    assert (page.pictures, page.tabs, page.worst) == ((), (), ())
    assert page.metrics[0].name == "auroc"


def test_texts_of_the_classes_are_shown(tmp_path):
    sets = {
        "card": {"template": "{}", "texts": [["none", "clear"], ["a lesion"]], "negatives": None},
        "mine": {"template": None, "texts": [["x"], ["y"]], "negatives": [["no x"], ["no y", "never y"]]},
    }
    put(tmp_path, "clip", 0.9, provenance={"language": {"sets": sets}})
    (group,) = collect(store.read_all(tmp_path))
    page = page_of(group, tmp_path, (None, None), None, 0)
    one, two = list(group.first.n["test"].classes)
    assert page.texts == (
        ("card", one, "none; clear"),
        ("card", two, "a lesion"),
        ("mine", one, "x (against: no x)"),
        ("mine", two, "y (against: no y; never y)"),
    )
    assert "Texts of the classes" in rendered(content_of(table_of(), [group], tmp_path))
    other = Group((group.first.model_copy(update={"provenance": {}}),))
    assert page_of(other, tmp_path, (None, None), None, 0).texts == ()


def test_the_title_has_the_shots(tmp_path):
    put(tmp_path, "clip", 0.9, options={"shots": 5})
    (group,) = collect(store.read_all(tmp_path))
    assert page_of(group, tmp_path, (None, None), None, 0).title.startswith("clip · linear-frozen with 5 shots · ")
