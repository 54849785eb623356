"""`medbench data`, on toy sets, a synthetic twin and a user's own files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A CSV of 40 images of 20 patients in two classes."""
    folder = tmp_path / "own"
    (folder / "img").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / "img" / f"{i}.png")
        rows.append({"image": f"img/{i}.png", "label": "ill" if i % 4 < 2 else "well", "patient": f"p{i // 2}"})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_check_a_toy_set(medbench):
    done = medbench("data", "check", "toy-binary", "--strict")
    assert done.status == 0
    assert done.out.splitlines()[0].split() == ["class", "card", "found", "train", "val", "test"]
    assert "matches the card" in done.err


def test_check_finds_faults_and_strict_makes_them_fail(medbench, own):
    (own / "img" / "3.png").write_bytes(b"")
    (own / "img" / "4.png").unlink()
    (own / "img" / "6.png").write_bytes((own / "img" / "0.png").read_bytes())
    done = medbench("data", "check", own / "labels.csv", "--list", own / "found.csv")
    assert done.status == 1, "errors fail"
    lines = (own / "found.csv").read_text().splitlines()
    assert {"img/4.png,missing,error", "img/3.png,unreadable,error"} <= set(lines)
    for kind in ("error: missing: ", "error: unreadable: ", "warning: duplicate-labels: "):
        assert kind in done.out
    findings = json.loads(medbench("data", "check", own / "labels.csv", "--json").out)["findings"]
    assert {"missing", "unreadable", "duplicate-labels"} <= {finding["kind"] for finding in findings}
    Image.new("RGB", (8, 8)).save(own / "img" / "3.png")
    done = medbench("data", "check", own / "labels.csv", "--missing", "leave-out")
    assert done.status == 0, "warnings do not"
    assert "warning: missing: 1 of 40 images are missing: img/4.png" in done.out
    assert "\nall images           39 " in done.out
    assert "  group     column 'patient', 20 groups in 40 rows\n" in done.out
    assert medbench("data", "check", own / "labels.csv", "--missing", "leave-out", "--strict").status == 1
    assert "unknown value of --missing 'skip'" in medbench("data", "check", own / "labels.csv", "--missing", "skip").err


def test_synth_makes_a_twin_in_the_official_layout(medbench, tmp_path):
    done = medbench("data", "synth", "aptos", "--n", "30", "--to", tmp_path / "twin")
    assert done.status == 0
    assert "made-up images" in done.out
    assert (tmp_path / "twin" / "train.csv").is_file()
    assert medbench("data", "check", "aptos", "--data-root", tmp_path / "twin", "--strict").status == 0


def test_split_keeps_patients_whole_and_follows_the_seed(medbench, own, tmp_path):
    texts = []
    for seed in ("1", "1", "2"):
        out = tmp_path / f"{len(texts)}.csv"
        done = medbench("data", "split", own / "labels.csv", "--name", "grouped", "--seed", seed, "--to", out)
        assert done.status == 0, done.err
        texts.append(out.read_text())
    assert texts[0] == texts[1] != texts[2]
    rows = list(csv.DictReader(line for line in texts[0].splitlines() if not line.startswith("#")))
    assert len(rows) == 40
    patients: dict[int, set[str]] = {}
    for row in rows:
        patients.setdefault(int(Path(row["id"]).stem) // 2, set()).add(row["split"])
    assert all(len(splits) == 1 for splits in patients.values())
    counts = [line.split() for line in done.out.splitlines()[:4]]
    assert counts[0] == ["split", "images", "groups", "ill", "well"]
    assert sum(int(row[1]) for row in counts[1:]) == 40


def test_a_split_file_can_be_used(medbench, own, tmp_path):
    from medbench import load_dataset

    out = tmp_path / "s.csv"
    medbench("data", "split", own / "labels.csv", "--name", "stratified", "--seed", "5", "--to", out)
    data = load_dataset(str(own / "labels.csv"), split=str(out))
    assert len(data.rows("train")) + len(data.rows("val")) + len(data.rows("test")) == 40


def test_split_by_an_unknown_rule(medbench):
    done = medbench("data", "split", "toy", "--name", "strat")
    assert done.status == 2
    assert done.err.startswith("error: unknown split rule of toy 'strat'\nhint: did you mean: stratified")


def test_card_of_ones_own_data_is_a_card(medbench, own, tmp_path):
    text = medbench("data", "card", own / "labels.csv").out
    assert yaml.safe_load(text)["task"] == "binary"
    (own / "mine.yaml").write_text(text.replace("name: own-labels\n", "name: mine\n"))
    assert medbench("validate", own / "mine.yaml").status == 0
    assert medbench("data", "check", own / "mine.yaml", "--strict").status == 0


def test_download_says_how_and_where(medbench, monkeypatch, tmp_path):
    done = medbench("data", "download", "aptos")
    assert done.status == 2
    assert "kaggle competitions download" in done.err
    assert "MEDBENCH_DATA" in done.err
    (tmp_path / "aptos").mkdir()
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    done = medbench("data", "download", "aptos")
    assert done.status == 0
    assert str(tmp_path / "aptos") in done.out


def test_download_of_an_open_set_needs_a_folder(medbench, monkeypatch):
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)
    done = medbench("data", "download", "medmnist/breastmnist")
    assert done.status == 2
    assert done.err.splitlines() == [
        "error: no data folder was given for medmnist--breastmnist",
        "hint: set MEDBENCH_DATA (the folder that gets medmnist/), or pass --data-root",
    ]


def test_download_of_a_toy_set_draws_it(medbench):
    done = medbench("data", "download", "toy-binary")
    assert done.status == 0
    assert (Path(done.out.split("drawn into ")[1].strip()) / "labels.csv").is_file()


def test_prepare_makes_the_store_once(medbench):
    first = medbench("data", "prepare", "toy-binary", "--image-size", "32")
    assert first.status == 0, first.err
    assert "600 images at 37 x 37, for inputs of 32" in first.out
    place = Path(first.out.split("store: ")[1].splitlines()[0])
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.suffix != ".lock"}
    assert medbench("data", "prepare", "toy-binary", "--image-size", "32").out == first.out
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.suffix != ".lock"} == before


def test_prepare_lists_unreadable_images(medbench, own):
    (own / "img" / "3.png").write_bytes(b"no image")
    done = medbench("data", "prepare", own / "labels.csv", "--image-size", "16")
    assert done.status == 1
    assert "unreadable: img/3.png: " in done.out


@pytest.mark.parametrize("command", ["check", "split", "prepare", "download", "synth"])
def test_unknown_data_sets(medbench, command):
    done = medbench("data", command, "topy")
    assert done.status == 2
    assert "toy" in done.err.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("--name kfold --fold 2 --folds 4", "own-labels-kfold-folds4-fold2.csv"),
        ("--name fewshot --shots 3 --seed 1", "own-labels-fewshot-shots3-1.csv"),
        ("--name holdout --seed 3", "own-labels-holdout-3.csv"),
        ("--name contiguous", "own-labels-contiguous.csv"),
        ("--name holdout@3", "own-labels-holdout@3.csv"),
    ],
)
def test_split_by_a_method_that_no_card_lists(medbench, own, tmp_path, monkeypatch, words, file):
    from medbench import load_dataset

    monkeypatch.chdir(tmp_path)
    done = medbench("data", "split", own / "labels.csv", *words.split())
    assert done.status == 0, done.err
    assert f"split file: {file}\n" in done.out
    data = load_dataset(str(own / "labels.csv"), split=file)
    counts = [len(data.rows(part)) for part in ("train", "val", "test")]
    assert min(counts) > 0
    if "shots" in words:
        assert counts[:2] == [6, 6]


def test_split_with_a_number_that_the_rule_does_not_take(medbench, own):
    done = medbench("data", "split", own / "labels.csv", "--name", "grouped", "--fold", "1")
    assert (done.status, done.err) == (
        2,
        "error: the split rule 'grouped' (grouped) takes no --fold\nhint: --fold is for kfold\n",
    )
    done = medbench("data", "split", own / "labels.csv", "--name", "kfold", "--fold", "5")
    assert (done.status, done.err) == (2, "error: own-labels: there is no fold 5 of 5\nhint: folds count from 0 to 4\n")


def test_split_of_a_number_is_that_of_the_seed_or_the_fold(medbench, own, tmp_path):
    for named, told in (
        ("holdout@3", "holdout --seed 3"),
        ("kfold@2", "kfold --fold 2"),
        ("grouped@1", "grouped --seed 1"),
    ):
        for out, words in (("a.csv", [named]), ("b.csv", told.split())):
            done = medbench("data", "split", own / "labels.csv", "--name", *words, "--to", tmp_path / out)
            assert done.status == 0, done.err
        assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    done = medbench("data", "split", own / "labels.csv", "--name", "grouped@1", "--seed", "2")
    assert (done.status, done.err.splitlines()[0]) == (2, "error: 'grouped@1' and --seed both set the seed")
    done = medbench("data", "split", own / "labels.csv", "--name", "contiguous@1")
    assert done.status == 2
    assert "does not draw at random" in done.err


def test_a_split_file_of_other_labels_is_refused(medbench, own, tmp_path):
    out = tmp_path / "s.csv"
    medbench("data", "split", own / "labels.csv", "--name", "grouped", "--to", out)
    text = (own / "labels.csv").read_text()
    (own / "labels.csv").write_text(text.replace("img/4.png,ill", "img/4.png,well"))
    done = medbench("data", "check", own / "labels.csv", "--split", out)
    assert f"{out} was made for other data" in done.out


def again(own: Path, source: int, number: int) -> None:
    """Write image `source` over image `number`, larger: a near duplicate."""
    with Image.open(own / "img" / f"{source}.png") as image:
        image.resize((16, 16)).save(own / "img" / f"{number}.png")


def test_check_shows_near_duplicates_on_a_page(medbench, own, tmp_path):
    again(own, 0, 2)
    done = medbench("data", "check", own / "labels.csv", "--html", tmp_path / "page.html")
    assert done.status == 0, done.err
    assert "img/0.png" in done.out
    assert "warning: near-duplicate-labels: 1 set " in done.out
    assert f"page: {tmp_path / 'page.html'}\n" in done.err
    text = (tmp_path / "page.html").read_text()
    assert text.count("<figure>") == 2
    listed = json.loads(medbench("data", "check", own / "labels.csv", "--json").out)["findings"]
    sets = next(finding["sets"] for finding in listed if finding["kind"] == "near-duplicate-labels")
    assert [(member["id"], member["label"]) for member in sets[0]] == [("img/0.png", "ill"), ("img/2.png", "well")]
    for option in (["--no-near"], ["--no-images"], ["--radius", "0"]):
        assert "near" not in medbench("data", "check", own / "labels.csv", *option).out
    assert medbench("data", "check", own / "labels.csv", "--radius", "900").status == 2


def test_split_keeps_near_duplicates_whole(medbench, own, tmp_path):
    from medbench import load_dataset

    for number in (8, 15, 22):
        again(own, 0, number)
    out = tmp_path / "s.csv"
    for seed in ("0", "1", "2"):
        done = medbench("data", "split", own / "labels.csv", "--name", "grouped", "--near", "--seed", seed, "--to", out)
        assert done.status == 0, done.err
        data = load_dataset(str(own / "labels.csv"), split=str(out))  # which knows of no near duplicates
        split = dict(zip(data.samples["id"], data.samples["split"], strict=True))
        assert len({split[f"img/{i}.png"] for i in (0, 1, 8, 9, 14, 15, 22, 23)}) == 1
    assert sum(int(line.split()[2]) for line in done.out.splitlines()[1:4]) == 17  # of 20 patients, 4 are one
    done = medbench("data", "split", own / "labels.csv", "--name", "stratified", "--near")
    assert (done.status, done.err.splitlines()[1]) == (2, "hint: --near is for grouped, kfold")


def test_what_is_said_of_own_data_is_in_its_card(medbench, own):
    text = (own / "labels.csv").read_text().replace("label,", "dx,").replace("patient", "case_no")
    (own / "labels.csv").write_text(text)
    said = ("--label", "dx", "--group", "case_no", "--metric", "ap")
    card = yaml.safe_load(medbench("data", "card", own / "labels.csv", *said).out)
    assert (card["layout"]["label"], card["layout"]["group"], card["metric"]) == ("dx", "{case_no}", "ap")
    assert medbench("data", "check", own / "labels.csv", *said, "--no-images").status == 0
    assert "unknown metric 'auc'" in medbench("data", "check", own / "labels.csv", "--metric", "auc").err
    assert "not for binary tasks" in medbench("data", "card", own / "labels.csv", "--metric", "auroc_macro").err
    assert "edit its card" in medbench("data", "card", "toy", "--task", "ordinal").err
