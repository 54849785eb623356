"""What `data check` says of image-text pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medbench.cli import main
from medbench.data.checks.check import check
from medbench.data.checks.texts import of_texts
from medbench.errors import DataError

N = 12


def written(folder: Path, rows: list[str], head: str = "image,text,patient,split") -> str:
    draw = np.random.default_rng(0)
    for i in range(N):
        Image.fromarray(draw.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / f"{i}.png")
    file = folder / "reports.csv"
    file.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return str(file)


def reports() -> list[str]:
    texts = ("clear lungs", "dense opacity", "clear lungs", "streaks")
    return [f"{i}.png,{texts[i % 4]},p{i // 2},{'val' if i > 7 else 'train'}" for i in range(N)]


def test_a_table_of_reports_is_read_as_pairs(tmp_path: Path) -> None:
    found = check(written(tmp_path, [*reports(), "0.png,again the first,p0,train"]), near_radius=None)
    texts = {one.kind: one for one in found.findings}
    assert not found.failed
    assert texts["texts"].text == (
        "13 of 13 rows have a text (100 %); 4 are different, and 6 rows have the most frequent one: clear lungs"
    )
    assert texts["categories"].text == "0 of 13 rows have a category (0 %)"
    assert "duplicates" not in texts, "an image may have several texts"
    assert found.rows[-1] == ("all images", None, 13, 9, 4, 0)


def test_counts_are_those_of_pandas() -> None:
    draw = np.random.default_rng(1)
    samples = pd.DataFrame({"id": [str(i) for i in range(60)], "split": draw.choice(["train", "val", ""], 60)})
    samples["text"] = draw.choice(["", "a", "b", "c"], 60)
    samples["categories"] = draw.choice(["", "x", "x;y"], 60)
    used = samples[samples["split"] != ""]
    said, counts = used["text"][used["text"] != ""], used["text"][used["text"] != ""].value_counts()
    texts = {one.kind: one.text for one in of_texts(samples)}
    share = f"{100 * len(said) / len(used):.0f} %"
    assert texts["texts"].startswith(f"{len(said)} of {len(used)} rows have a text ({share}); {len(counts)} are diff")
    assert f"and {counts.max()} rows" in texts["texts"]
    assert texts["categories"].startswith(f"{(used['categories'] != '').sum()} of {len(used)} rows have a category")


def test_a_part_that_says_one_thing_is_an_error(tmp_path: Path) -> None:
    rows = [row.replace("dense opacity", "clear lungs").replace("streaks", "clear lungs") for row in reports()[:8]]
    found = check(written(tmp_path, [*rows, *reports()[8:]]), images=False)
    assert found.failed
    assert "train has the same text and categories in all rows" in next(f.text for f in found.findings)


def test_a_category_of_one_row_is_named(tmp_path: Path) -> None:
    rows = [f"{i}.png,{'drusen' if i == 3 else 'normal'},p{i}" for i in range(N)]
    found = check(written(tmp_path, rows, "image,categories,patient"), images=False)
    [rare] = [one for one in found.findings if one.kind == "rare-categories"]
    assert (rare.text, rare.ids) == ("1 category has one row: drusen", ["3.png"])


def test_missing_and_broken_images_are_told_as_usual(tmp_path: Path) -> None:
    data = written(tmp_path, reports())
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"not an image")
    found = {one.kind: one for one in check(data, near_radius=None).findings}
    assert found["missing"].severity == "error"
    assert found["unreadable"].ids == ["2.png"]


def test_a_column_of_labels_makes_a_table_of_labels_unless_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{i}.png,{'ab'[i % 2]},report {i}" for i in range(N)]
    data = written(tmp_path, rows, "image,label,report")
    assert not any(one.kind == "texts" for one in check(data, images=False).findings)
    assert main(["data", "check", data, "--pairs", "--no-images", "--json"]) == 0
    kinds = {one["kind"]: one["text"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert kinds["texts"] == "12 of 12 rows have a text (100 %); no two are equal"


@pytest.mark.parametrize(
    ("head", "cell", "message"),
    [
        ("image,text", "nan", "'nan' is a word for a missing value"),
        ("image,text", "", "neither a text nor a category"),
        ("image,text", "the same", "all 12 rows have the same text"),
        ("image,categories", "the same", "all 12 rows have the category 'the same'"),
    ],
)
def test_a_wrong_table_ends_the_check_in_two_lines(tmp_path: Path, head: str, cell: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        check(written(tmp_path, [f"{i}.png,{cell}" for i in range(N)], head))
    assert caught.value.hint
