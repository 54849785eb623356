"""Pairs files: what is read, how it is split, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medbench.data.load import load_dataset
from medbench.data.pairs import open_pairs, pairs_of
from medbench.errors import DataError

HEAD = "image,categories,attributes,text,dataset,patient"
N = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for i in range(N):
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / f"{i}.png")
    return tmp_path


def table(folder: Path, rows: list[str], head: str = HEAD) -> str:
    path = folder / "pairs.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return str(path)


def rows() -> list[str]:
    return [
        f"{i}.png,{('drusen; haemorrhage', 'normal', '')[i % 3]},{'noisy' if i % 2 else ''},"
        f"{'' if i % 3 < 2 else f'eye {i}'},{'ab'[i % 2]},p{i // 2}"
        for i in range(N)
    ]


def test_a_table_is_read(folder: Path) -> None:
    data = open_pairs(table(folder, rows())).under(None)
    pairs = pairs_of(data)
    assert data.card.class_names == ["drusen", "haemorrhage", "normal"]
    assert data.card.channels == 3
    assert pairs.categories[:3] == (("drusen", "haemorrhage"), ("normal",), ())
    assert pairs.attributes[:2] == ((), ("noisy",))
    assert pairs.texts[:3] == ("", "", "eye 2")
    assert pairs.sources[:2] == ("a", "b")
    assert data.targets()[:3].tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    held = pairs_of(data, "val")
    assert held == pairs.of(data.rows("val"))
    assert len(held) == len(data.rows("val"))


def test_groups_stay_together_and_few_are_held_out(folder: Path) -> None:
    samples = open_pairs(table(folder, rows())).under(None).samples
    assert samples.groupby("group")["split"].nunique().max() == 1
    assert set(samples["split"]) == {"train", "val"}
    assert 0 < (samples["split"] == "val").sum() < N / 5


def test_texts_of_one_image_stay_together(folder: Path) -> None:
    lines = [f"{i // 2}.png,text {i}" for i in range(2 * N)]
    data = open_pairs(table(folder, lines, "image,text")).under(None)
    assert data.samples["id"].tolist()[:3] == ["0.png", "0.png#2", "1.png"]
    assert data.samples.groupby("path")["split"].nunique().max() == 1
    assert data.card.class_names == ["report"]


def test_the_digest_tells_texts(folder: Path) -> None:
    plain = open_pairs(table(folder, rows())).digest
    assert open_pairs(table(folder, rows())).digest == plain
    assert open_pairs(table(folder, [row.replace("eye 2,", "eye two,") for row in rows()])).digest != plain


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
def test_other_forms_are_read_alike(folder: Path, ending: str) -> None:
    first = pairs_of(open_pairs(table(folder, rows())).under(None))
    frame = pd.read_csv(folder / "pairs.csv", keep_default_na=False)
    path = folder / f"pairs.{ending}"
    if ending == "tsv":
        frame.to_csv(path, sep="\t", index=False)
    else:
        frame["categories"] = [cell.split("; ") if cell else None for cell in frame["categories"]]
        frame.to_parquet(path)
    again = pairs_of(open_pairs(str(path)).under(None))
    assert (again.categories, again.attributes, again.texts) == (first.categories, first.attributes, first.texts)


def test_lists_in_pythons_notation(folder: Path) -> None:
    lines = [f"{i}.png,\"['a{i % 2}', 'b']\",\"[]\"" for i in range(N)]
    pairs = pairs_of(open_pairs(table(folder, lines, "image,categories,atributes")).under(None))
    assert pairs.categories[:2] == (("a0", "b"), ("a1", "b"))
    assert set(pairs.attributes) == {()}


def test_the_users_split_column(folder: Path) -> None:
    parts = ["train", "val", "test"]
    data = open_pairs(table(folder, [f"{i}.png,c{i % 2},{parts[i % 3]}" for i in range(N)], "image,category,split"))
    assert data.under(None).samples["split"].tolist()[:4] == ["train", "val", "test", "train"]


def test_a_split_of_train_and_val_is_kept_as_it_is(folder: Path) -> None:
    lines = [f"{i}.png,c{i % 2},{'val' if i % 4 == 0 else 'train'}" for i in range(N)]
    data = open_pairs(table(folder, lines, "image,category,split")).under(None)
    assert data.samples["split"].tolist() == ["val" if i % 4 == 0 else "train" for i in range(N)]


def test_a_data_set_with_classes_gives_its_terms() -> None:
    opened = open_pairs("toy")
    data = opened.under(None)
    assert opened.digest != load_dataset("toy").digest, "the terms are part of what the data say"
    pairs = pairs_of(data, "val")
    terms = [(one.terms or [one.name])[0] for one in data.card.classes]
    assert pairs.categories == tuple((terms[target],) for target in data.targets("val"))
    assert set(pairs.texts) == {""}
    assert set(pairs.sources) == {"toy"}


@pytest.mark.parametrize(
    ("head", "lines", "message"),
    [
        ("image,patient", ["0.png,p", "1.png,q"], "neither a column of texts nor one of categories"),
        ("image,categories", ["0.png,a", "1.png,a"], "all 2 rows have the category 'a'"),
        ("image,text", ["0.png,eye", "1.png,eye"], "all 2 rows have the same text"),
        ("image,text", ["0.png,nan", "1.png,eye"], ":2: column 'text': 'nan' is a word for a missing value"),
        ("image,text,categories", ["0.png,eye,a", "1.png,,"], ":3: neither a text nor a category"),
        ("image,text", ["0.png,a", "gone.png,b"], "1 of 2 images are missing"),
        ("image,text,patient", ["0.png,a,p", "0.png,b,q", "1.png,c,q"], "rows about 0.png name different groups"),
    ],
)
def test_what_is_refused(folder: Path, head: str, lines: list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_pairs(table(folder, lines, head))
    assert message in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
