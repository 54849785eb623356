"""Data sets on the hub: what the library `datasets` writes, read again as a CSV of one's own."""

from __future__ import annotations

import io
import sys
from unittest.mock import Mock

import datasets
import numpy as np
import pytest
from PIL import Image

from medbench.cards.find import dataset_kind, expand
from medbench.data.layouts.own.hub import LABELS, card_from_hub, write_folder
from medbench.data.load import find_source, load_dataset
from medbench.errors import DataError, MissingDataError

CLASSES = ["normal", "sick"]


def png(i):
    kept = io.BytesIO()
    Image.fromarray(np.full((8, 8), i, np.uint8)).save(kept, "PNG")
    return kept.getvalue()


def rows(start, n, **more):
    content = {
        "scan": [{"bytes": png(start + i), "path": None} for i in range(n)],
        "label": [i % 2 for i in range(n)],
        "patient": [f"p{start + i // 2}" for i in range(n)],
        "boxes": [[1, 2]] * n,
        **more,
    }
    features = datasets.Features(
        {
            "scan": datasets.Image(),
            "label": datasets.ClassLabel(names=CLASSES),
            "patient": datasets.Value("string"),
            "boxes": datasets.List(datasets.Value("int32")),
            **{name: datasets.Value("float32") for name in more},
        }
    )
    return datasets.Dataset.from_dict(content, features=features)


@pytest.fixture
def clinic(hub):
    """A data set of three splits in a repository of the hub, as `push_to_hub` writes it: parquet files."""
    parts = {"train": rows(0, 8), "validation": rows(8, 4), "test": rows(12, 4)}
    for name, part in parts.items():
        kept = io.BytesIO()
        part.to_parquet(kept)
        hub.files.setdefault("lab/eyes", {})[f"data/{name}-00000-of-00001.parquet"] = kept.getvalue()
    return parts


@pytest.fixture
def read(monkeypatch, hub, clinic, tmp_path):
    """What the library was asked to read; it gets it from the hub of this machine."""
    asked, real = [], datasets.load_dataset

    def load(repo, revision):
        asked.append((repo, revision))
        return real(repo, revision=revision)

    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.url)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr("datasets.load_dataset", load)
    return asked


def test_names():
    assert dataset_kind("hf://lab/eyes") == dataset_kind("hf://lab/eyes@main") == "labels"
    assert expand("datasets", "hf://lab/eyes,toy") == ["hf://lab/eyes", "toy"]


def test_a_data_set_is_that_of_its_rows(hub, read, clinic):
    data = load_dataset("hf://lab/eyes")
    assert read == [("lab/eyes", hub.commit("lab/eyes"))]
    card = data.card
    assert (card.name, card.class_names, card.task) == ("hf--lab--eyes", CLASSES, "binary")
    assert card.links == {"source": f"https://huggingface.co/datasets/lab/eyes/tree/{hub.commit('lab/eyes')}"}
    samples = data.samples
    assert samples["split"].tolist() == ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    assert samples["target"].tolist() == [row for part in clinic.values() for row in part["label"]]
    assert samples["group"].tolist() == [row for part in clinic.values() for row in part["patient"]]
    assert [(data.root / path).read_bytes() for path in samples["path"]] == [png(i) for i in range(16)]

    load_dataset(f"hf://lab/eyes@{hub.commit('lab/eyes')}")
    assert len(read) == 1, "what is there is not downloaded again"


def test_without_a_network_what_is_there_is_used(hub, read, monkeypatch):
    first = card_from_hub("hf://lab/eyes")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert card_from_hub("hf://lab/eyes").card == first.card
    with pytest.raises(
        MissingDataError, match="lab/other: the Hugging Face hub cannot be reached: HF_HUB_OFFLINE is set"
    ):
        find_source("hf://lab/other")


def test_a_new_commit_is_another_copy(hub, read):
    before = card_from_hub("hf://lab/eyes").root
    hub.files["lab/eyes"]["README.md"] = b"new"
    after = card_from_hub("hf://lab/eyes").root
    assert before != after
    assert read[0] != read[1]


def test_columns_as_the_user_says(tmp_path):
    one = datasets.DatasetDict({"train": rows(0, 12, age=[float(40 + i) for i in range(12)])})
    write_folder(one, tmp_path / "eyes", "lab/eyes")
    head, first = (tmp_path / "eyes" / LABELS).read_text().splitlines()[:2]
    assert head == "image,label,patient,age,split"
    assert first == "images/train-000000.png,normal,p0,40.0,"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.remove_columns("scan"), "lab/eyes has no image column: label, patient, boxes"),
        (lambda d: d.cast_column("patient", datasets.Image()), "several image columns: scan, patient"),
    ],
)
def test_what_has_not_one_image_a_row_is_refused(tmp_path, change, said):
    with pytest.raises(DataError, match=said):
        write_folder(datasets.DatasetDict({"train": change(rows(0, 4))}), tmp_path / "eyes", "lab/eyes")


def test_what_cannot_be_read_is_told(hub, clinic, monkeypatch):
    with pytest.raises(MissingDataError, match="the repository lab/none does not exist on the Hugging Face hub"):
        card_from_hub("hf://lab/none")

    for error, said in (
        (ValueError("scripts are not supported\nmore"), "scripts are not supported"),
        (datasets.exceptions.DatasetGenerationError("a damaged file"), "a damaged file"),
        (RuntimeError(), "RuntimeError"),
    ):
        monkeypatch.setattr("datasets.load_dataset", Mock(side_effect=error))
        with pytest.raises(DataError, match=f"the library datasets cannot read lab/eyes: {said}"):
            card_from_hub("hf://lab/eyes")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingDataError, match="needs the library datasets, which is not installed"):
        card_from_hub("hf://lab/eyes")
