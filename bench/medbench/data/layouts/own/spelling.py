"""Words of tables and folders of one's own, compared without case, blanks, `_` and `-`: columns, splits, classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

IMAGE = (
    *("image", "path", "imagepath", "imgpath", "file", "filename", "filepath", "img", "imagefile", "imagefilename"),
    *("imgfile", "picture", "photo", "dicom", "dicompath", "dicomfile", "png", "jpg"),
)
"""Usual names of a column of image paths, the likeliest first."""
IMAGE_IDS = ("imageid", "imagename", "idcode", "imgid", "imgname", "imageindex", "sopinstanceuid", "id", "name")
LABEL = (
    *("label", "labels", "target", "class", "diagnosis", "grade", "dx", "category", "y", "labelname", "classname"),
    *("labelid", "classid", "classlabel", "groundtruth", "gt", "level", "finding", "pathology", "disease", "severity"),
)
PATIENT = ("patient", "subject", "participant")
"""A column called so, or so and `id` or the like, tells whom a picture is of; such a column comes before all others."""
PERSON = ("pid", "ptid", "pt", "mrn", "person", "personid", "subj", "subjid", "individual", "individualid")
GROUP = (
    *("group", "groupid", "case", "caseid", "lesion", "lesionid", "eye", "eyeid", "study", "studyid"),
    *("studyinstanceuid", "accession", "accessionnumber", "examid", "exam", "volume", "volumeid", "scanid"),
)
NUMBER = ("", "s", "id", "ids", "no", "nr", "num", "number", "uid", "key", "code", "identifier", "name", "index", "idx")
SPLIT = ("split", "splits", "datasplit", "partition", "fold", "folds", "foldid", "kfold", "traintest", "trainvaltest")
"""A column called so must hold a split."""
MAY_SPLIT = ("set", "subset", "dataset", "phase", "usage", "mode", "stage", "cohort")
"""A column called so is a split if it holds the word of one."""
COVARIATE = {"sex", "gender", "male", "female", "age", "smoker", "smoking", "ethnicity", "race"}
"""What a column of 0 and 1 is called that is no finding."""
NEGATIVE = {
    *("none", "normal", "normals", "healthy", "negative", "neg", "no", "false", "absent", "control", "controls"),
    *("nofinding", "nofindings", "nolesion", "nodisease", "nondiseased", "unaffected", "unremarkable"),
}
"""What a class is called if nothing was found."""
SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
"""Words of a split, where the card does not say."""


def plain(text: str) -> str:
    """Return a text in small letters and digits alone: `Patient ID`, `patient_id` and `PatientID` are one."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def usual_split(word: str) -> str:
    """Return train, val or test for a word that means it (`Training set`); empty if it means none."""
    found = plain(word)
    for more in ("", "set", "split", "data", "images"):
        if found.endswith(more) and (split := SPLITS.get(found.removesuffix(more))):
            return split
    return ""


def pick(columns: Iterable[str], words: Sequence[str]) -> str | None:
    """Return the column with the likeliest name; of two with the same, the first."""
    known = {plain(name): name for name in reversed(list(columns))}
    return next((known[word] for word in words if word in known), None)


def is_patient(column: str) -> bool:
    """Tell whether a column's name says that it holds patients."""
    name = plain(column)
    parts = (name.partition(word) for word in PATIENT)
    return name in PERSON or any(found and after in NUMBER for _, found, after in parts)


def is_covariate(column: str) -> bool:
    """Tell whether a column's name says that its 0 and 1 are no finding (`sex_male`)."""
    return not COVARIATE.isdisjoint(word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column))


def is_turned(names: Sequence[str]) -> bool:
    """Tell whether, of two classes, the second means that nothing was found (`DR`, `No_DR`) and the first does not."""
    if len(names) != 2:
        return False
    first, second = map(plain, names)
    return first not in NEGATIVE and second in NEGATIVE | {word + first for word in ("no", "not", "non", "un")}


def natural(text: str) -> tuple[int, float, list[tuple[int, int, str]]]:
    """Return a key that sorts numbers by size, before words, and `grade 2` before `grade 10`."""
    try:
        return 0, float(text), [(1, 0, text)]
    except ValueError:
        parts = re.split(r"(\d+)", text)
        return 1, 0.0, [(0, int(part), "") if at % 2 else (1, 0, part) for at, part in enumerate(parts)]


def one_class(text: str) -> str:
    """Return what spellings of one class have in common: `0` and `0.0`, `Benign` and `BENIGN`; not `7` and `007`."""
    if re.fullmatch(r"[+-]?(0|[1-9]\d{0,15})(\.\d{0,15})?", text):
        return f"{float(text):g}" if float(text) else "0"
    return re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
