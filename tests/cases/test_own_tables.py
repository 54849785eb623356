"""Files of one's own, each like those of a public bug report: what they are taken for, or which error they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.data.load import Source, find_source, load_dataset
from medbench.errors import DataError


@pytest.fixture
def found(shared: Path):
    """Return the data set of a case."""

    def find(case: str, root: str | None = None) -> Source:
        return find_source(str(shared / "cases" / case), None if root is None else shared / "cases" / root)

    return find


@pytest.mark.parametrize(
    ("case", "classes", "words"),
    [
        ("endings/dcm", "benign malignant normal", "30 files (30 .dcm)"),
        ("endings/pgm", "benign malignant normal", "30 files (30 .pgm)"),
        ("endings/png_and_gif", "benign malignant normal", "30 files (18 .png, 12 .gif)"),
        ("grey-peek-crash/large_scan", "a b", "grey, 1 channel"),
        ("grey-peek-crash/long_profile", "a b", "grey, 1 channel (by 15 of the images)"),
        ("label-spelling/case.csv", "BENIGN NORMAL", "BENIGN = benign (one class)"),
        ("label-spelling/folders", "LESION NORMAL", "LESION = Lesion (one class)"),
        ("long-cell/labels.csv", "benign normal", "EncodedPixels"),
        ("patient-column-ignored/PatientID.csv", "benign normal", "column 'PatientID', 12 groups in 36 rows"),
        ("patient-column-ignored/group_is_a_site.csv", "benign normal", "column 'patient_id', 12 groups in 36 rows"),
        ("split-column-ignored/blank.csv", "benign normal", "train 22, val 6, test 6; 6 rows without one are left out"),
        ("split-column-ignored/fold.csv", "benign normal", "fold 0 is test, 1 is val, 2, 3, 4 are train"),
        ("split-column-ignored/trainval.csv", "benign normal", "no row is test, so the val rows are used as test"),
        ("splits-taken-for-classes/chest_xray", "NORMAL PNEUMONIA", "chest_xray"),
        ("windows-paths-grey/windows.csv", "benign normal", "grey, 1 channel"),
        ("windows-paths-grey/posix.csv", "benign normal", "grey, 1 channel"),
    ],
)
def test_what_own_files_are_taken_for(found, case: str, classes: str, words: str) -> None:
    source = found(case)
    assert source.card.class_names == classes.split()
    assert words in "\n".join(text for _, text in source.taken.lines)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("label-spelling/nan.csv", "nan.csv:2: column 'label': 'nan' seems to mean a missing label"),
        ("onehot-guess/blank_and_minus1.csv", "blank_and_minus1.csv:4: column 'Edema': '-1.0' is neither 0 nor 1"),
        ("onehot-guess/one_row_of_zeros.csv", ":37: none of the columns MEL, NV, BCC is 1"),
        ("split-column-ignored/word.csv", "word.csv:19: column 'split': 'holdout' is not a split"),
        ("splits-taken-for-classes/valid_and_validation", "the folders valid and validation both mean one split"),
    ],
)
def test_what_is_not_clear_is_an_error(found, case: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        found(case)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_csv_beside_a_folder_of_its_name(shared: Path) -> None:
    place = shared / "cases" / "train-csv-data-root"
    assert load_dataset(str(place / "mine" / "train.csv"), place / "data").root == place / "data"


def test_the_split_column_is_kept(shared: Path) -> None:
    place = shared / "cases" / "split-column-ignored"
    for name, words in (("blank.csv", {"train": 22, "val": 6, "test": 6}), ("fold.csv", {"train": 24, "test": 8})):
        counts = load_dataset(str(place / name)).samples["split"].value_counts()
        assert {split: int(counts[split]) for split in words} == words
    rows = (place / "trainval.csv").read_text().splitlines()
    theirs = {row.split(",")[0] for row in rows if row.endswith(",val")}
    mine = load_dataset(str(place / "trainval.csv")).samples
    assert set(mine.loc[mine["split"] == "test", "id"]) == theirs


def test_a_patient_is_in_one_split(shared: Path) -> None:
    for name in ("PatientID.csv", "group_is_a_site.csv"):
        samples = load_dataset(str(shared / "cases" / "patient-column-ignored" / name)).samples
        assert samples.groupby("group")["split"].nunique().max() == 1


def test_one_name_per_folder_and_file(found) -> None:
    names = {
        case: found(f"{case}/labels.csv").card.name for case in ("two-tasks-one-name/eye", "two-tasks-one-name/skin")
    }
    assert list(names.values()) == ["eye-labels", "skin-labels"]
