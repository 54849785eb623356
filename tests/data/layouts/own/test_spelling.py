"""Words that mean the same."""

from __future__ import annotations

import pytest

from medbench.data.layouts.own.spelling import IMAGE, LABEL, is_covariate, is_patient, is_turned, pick, usual_split

PATIENTS = (
    *("PatientID", "patientId", "patient-id", "Patient ID", "patient", "subjectID", "pid", "MRN", "Participant"),
    *("SUBJECT", "anon_patient_id", "patient_no", "PatientName", "subject number"),
)
WORDS = {
    "Training": "train",
    "train_set": "train",
    "VAL": "val",
    "dev": "val",
    "Validation Split": "val",
    "testing": "test",
    "Test-Set": "test",
    "holdout": "",
    "external": "",
    "set": "",
    "": "",
}


@pytest.mark.parametrize("name", PATIENTS)
def test_patients(name):
    assert is_patient(name)


@pytest.mark.parametrize("name", ["patient_age", "PatientSex", "group", "inpatient ward", "lesion", "rapid"])
def test_no_patients(name):
    assert not is_patient(name)


@pytest.mark.parametrize(("word", "split"), WORDS.items())
def test_words_of_a_split(word, split):
    assert usual_split(word) == split


def test_the_likeliest_column_is_picked():
    assert pick(["Class Name", "DX", "dx"], LABEL) == "DX"
    assert pick(["file-path", "Image_Path"], IMAGE) == "Image_Path"
    assert pick(["x"], IMAGE) is None


def test_covariates():
    assert [name for name in ("sex_male", "Age", "patientSex", "agenesis", "Mass", "female") if is_covariate(name)] == [
        "sex_male",
        "Age",
        "patientSex",
        "female",
    ]


@pytest.mark.parametrize(
    ("names", "turned"),
    [
        (("cyst", "none"), True),
        (("DR", "No_DR"), True),
        (("Cancer", "non-cancer"), True),
        (("infected", "uninfected"), True),
        (("none", "cyst"), False),
        (("none", "normal"), False),
        (("benign", "malignant"), False),
        (("a", "b", "none"), False),
    ],
)
def test_the_second_class_means_that_nothing_was_found(names, turned):
    assert is_turned(names) is turned
