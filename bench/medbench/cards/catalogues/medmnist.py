"""Cards of the flat MedMNIST v2 sets, made from the official list: `medmnist/pathmnist`, `medmnist/pathmnist_224`.

Names, tasks, channels, licences and image counts are those of `medmnist/info.py` 3.0.2 of MedMNIST/MedMNIST, which
its own reader asserts. In folders and records a set is called `medmnist--pathmnist`. All files lie in one folder,
`medmnist`. RetinaMNIST's classes have numbers alone there; their names here are those of the grades they number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medbench.cards.dataset import DatasetCard, Task
from medbench.errors import unknown

FAMILY = "medmnist"
SIZES = (28, 64, 128, 224)
"""Sides in pixels; the files of the smallest carry no size in their names."""

RECORD = "https://zenodo.org/records/10519652"
METRICS: dict[Task, str] = {
    "binary": "auroc",
    "multiclass": "recall_macro",
    "ordinal": "kappa_quadratic",
    "multilabel": "auroc_macro",
}
ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)


@dataclass(frozen=True)
class Listed:
    """One set of the list: title, what is shown, task, channels, images of train, val and test, classes."""

    title: str
    modality: str
    task: Task
    channels: int
    splits: tuple[int, int, int]
    classes: tuple[str, ...]
    licence: str = "CC BY 4.0"


SETS: dict[str, Listed] = {
    "pathmnist": Listed(
        "PathMNIST",
        "histology, colorectal",
        "multiclass",
        3,
        (89996, 10004, 7180),
        (
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
    ),
    "chestmnist": Listed(
        "ChestMNIST",
        "chest X-ray",
        "multilabel",
        1,
        (78468, 11219, 22433),
        (
            "atelectasis",
            "cardiomegaly",
            "effusion",
            "infiltration",
            "mass",
            "nodule",
            "pneumonia",
            "pneumothorax",
            "consolidation",
            "edema",
            "emphysema",
            "fibrosis",
            "pleural",
            "hernia",
        ),
    ),
    "dermamnist": Listed(
        "DermaMNIST",
        "dermoscopy",
        "multiclass",
        3,
        (7007, 1003, 2005),
        (
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
        "CC BY-NC 4.0",
    ),
    "octmnist": Listed(
        "OCTMNIST",
        "retinal OCT",
        "multiclass",
        1,
        (97477, 10832, 1000),
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    ),
    "pneumoniamnist": Listed("PneumoniaMNIST", "chest X-ray", "binary", 1, (4708, 524, 624), ("normal", "pneumonia")),
    "retinamnist": Listed(
        "RetinaMNIST",
        "colour fundus",
        "ordinal",
        3,
        (1080, 120, 400),
        (
            "no diabetic retinopathy",
            "mild diabetic retinopathy",
            "moderate diabetic retinopathy",
            "severe diabetic retinopathy",
            "proliferative diabetic retinopathy",
        ),
    ),
    "breastmnist": Listed(
        "BreastMNIST", "breast ultrasound", "binary", 1, (546, 78, 156), ("malignant", "normal, benign")
    ),
    "bloodmnist": Listed(
        "BloodMNIST",
        "blood cell microscopy",
        "multiclass",
        3,
        (11959, 1712, 3421),
        (
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
    ),
    "tissuemnist": Listed(
        "TissueMNIST",
        "kidney cortex microscopy",
        "multiclass",
        1,
        (165466, 23640, 47280),
        (
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Glomerular endothelial cells",
            "Interstitial endothelial cells",
            "Leukocytes",
            "Podocytes",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        ),
    ),
    "organamnist": Listed("OrganAMNIST", "abdominal CT, axial", "multiclass", 1, (34561, 6491, 17778), ORGANS),
    "organcmnist": Listed("OrganCMNIST", "abdominal CT, coronal", "multiclass", 1, (12975, 2392, 8216), ORGANS),
    "organsmnist": Listed("OrganSMNIST", "abdominal CT, sagittal", "multiclass", 1, (13932, 2452, 8827), ORGANS),
}
NOTES = (
    "Made from the list of medmnist 3.0.2 (medmnist/info.py); its counts were not counted on the files by medbench, and"
    " counts per class are not in it. Patients are not told: images of one person may stand in two splits where the"
    " makers did not split by patient. Files of release 2 of the three organ sets hold a few images more."
)


def is_medmnist_name(name: str) -> bool:
    """Tell whether `name` means a set of MedMNIST, known or not."""
    return name.startswith((f"{FAMILY}/", f"{FAMILY}--"))


def medmnist_names() -> list[str]:
    """Return the path-safe names of all sets in all sizes."""
    ends = ["" if size == SIZES[0] else f"_{size}" for size in SIZES]
    return [f"{FAMILY}--{name}{end}" for end in ends for name in SETS]


def safe_name(name: str) -> str:
    """Return the one spelling of a set's name that folders carry: `medmnist/pathmnist_28` is `medmnist--pathmnist`."""
    return name.replace("/", "--").removesuffix(f"_{SIZES[0]}")


def medmnist_card(name: str) -> DatasetCard:
    """Return the card of a set, e.g. `medmnist/pathmnist_224`.

    Raises:
        CardError: There is no such set, or not in that size.
    """
    safe = safe_name(name)
    if safe not in medmnist_names():
        raise unknown("MedMNIST set", safe.partition("--")[2], (n.partition("--")[2] for n in medmnist_names()))
    file = safe.partition("--")[2]
    base, _, size = file.partition("_")
    listed = SETS[base]
    return DatasetCard.model_validate(
        {
            "name": safe,
            "title": f"{listed.title}, {size or SIZES[0]} x {size or SIZES[0]} pixels, of MedMNIST v2",
            "citation": "Yang et al. MedMNIST v2. Scientific Data 10, 41 (2023). doi:10.1038/s41597-022-01721-8",
            "notes": NOTES,
            "links": {"page": "https://medmnist.com", "code": "https://github.com/MedMNIST/MedMNIST"},
            "modality": listed.modality,
            "licence": listed.licence,
            "access": _access(file),
            "layout": {"kind": "npz", "file": f"{file}.npz"},
            "task": listed.task,
            "classes": list(listed.classes),
            "channels": listed.channels,
            "metric": METRICS[listed.task],
            "splits": {
                "default": "official",
                "rules": {"official": {"method": "official", "source": "MedMNIST v2"}},
            },
            "counts": {
                "images": sum(listed.splits),
                "splits": dict(zip(("train", "val", "test"), listed.splits, strict=True)),
            },
            "also": list(dict.fromkeys((listed.title, base, file))),
        }
    )


def _access(file: str) -> dict[str, Any]:
    address = f"{RECORD}/files/{file}.npz"
    steps = f'curl -L -o "$MEDBENCH_DATA/{FAMILY}/{file}.npz" "{address}?download=1"'
    download = {"urls": [f"{address}?download=1"], "name": f"{file}.npz", "unpack": False}
    return {"kind": "open", "url": RECORD, "steps": steps, "files": [download]}
