"""The pages of the leaderboard: the data sets' own numbers and marks, provenance, nothing from elsewhere."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pandas as pd
import pytest

from medbench.errors import MedbenchError
from medbench.records import store
from medbench.report.html.leaderboard import write_leaderboard
from medbench.report.tables.dataset_table import dataset_table
from medbench.report.tables.table import Row

from .conftest import EVIL, put


def pages(runs: Path, to: Path, include_random: bool = False) -> dict[str, str]:
    written = write_leaderboard(runs, to, include_random)
    return {path.relative_to(to).as_posix(): path.read_text(encoding="ascii") for path in written}


def tables(page: str) -> list[pd.DataFrame]:
    """The tables of a page by model, as a browser would show their texts."""
    found = []
    for table in re.findall("<table>(.*?)</table>", page, re.DOTALL):
        lines = [
            re.findall("<t[hd][^>]*>(.*?)</t[hd]>", line) for line in re.findall("<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        heads, *cells = [[html.unescape(re.sub("<.*?>", "", cell)) for cell in line] for line in lines]
        found.append(pd.DataFrame(cells, columns=heads).set_index("model"))
    return found


def row_of(runs: Path, dataset: str, model: str) -> Row:
    table = dataset_table(dataset, store.read_all(runs), intervals=True)
    [row] = [row for row in table.rows if row.about["model"] == model]
    return row


def test_one_page_for_each_data_set_and_an_index(runs, tmp_path):
    found = pages(runs, tmp_path)
    assert list(found) == ["datasets/chexpert.html", "datasets/ddsm.html", "index.html"]
    for name, text in found.items():
        for target in re.findall(r'<a href="([^"]+)"', text):
            assert ((tmp_path / name).parent / target).is_file(), target
    assert len(re.findall("<a href", found["index.html"])) == 2


def test_numbers_and_intervals_are_those_of_the_data_sets_tables(runs, tmp_path):
    found = pages(runs, tmp_path)
    index = tables(found["index.html"])[0]
    cell = row_of(runs, "ddsm", "dinov2").cells[0]
    assert index.loc["dinov2", "ddsm: auroc"] == cell.number
    assert index.loc["dinov2", "chexpert: auroc_macro"] == "–"
    assert index.loc["sam", "chexpert: auroc_macro"] == row_of(runs, "chexpert", "sam").cells[0].number
    assert f'title="n=2, 95 % interval {cell.low:.3f} to {cell.high:.3f}"><b>' in found["index.html"]
    table = dataset_table("ddsm", store.read_all(runs), intervals=True)
    values = re.findall(r'data-value="([^"]+)"', found["datasets/ddsm.html"])
    assert [float(v) for v in values] == [c.value for r in table.rows for c in r.cells if c.value is not None]


def test_random_weights_and_toy_data_stand_apart(tmp_path):
    put(tmp_path / "runs", "dinov2", 2.0, seeds=(0,))
    put(tmp_path / "runs", "sam", 0.1, seeds=(0,), weights="random")
    put(tmp_path / "runs", "blip", 1.0, seeds=(0,), dataset="toy-binary", toy=True)
    plain = pages(tmp_path / "runs", tmp_path / "a")["index.html"]
    assert [list(table.index) for table in tables(plain)] == [["dinov2"], ["blip"]]
    assert 'id="toy"' in plain
    assert 'id="random"' not in plain
    whole = pages(tmp_path / "runs", tmp_path / "b", include_random=True)["index.html"]
    assert [list(table.index) for table in tables(whole)] == [["dinov2"], ["blip"], ["sam"]]
    assert re.findall('<div class="(.*?)"', whole) == ["results", "toy", "random"]


def test_each_row_has_its_provenance(tmp_path):
    put(tmp_path, "dinov2", 2.0, seeds=(0, 1))
    first, second = store.read_all(tmp_path)
    for record, origin in ((first, {}), (second, {"origin": {"from": "hf://they/theirs"}})):
        weights = {"sha256": "ab" * 32, "licence": "CC BY-NC 4.0"}
        changed = {"medbench": "9.8.7", "commit": "f" * 40, "weights": weights, **origin}
        text = record.model_copy(update={"provenance": {**record.provenance, **changed}}).model_dump_json()
        (record.path / store.RECORD).write_text(text)
    row = tables(pages(tmp_path, tmp_path / "site")["index.html"])[0].loc["dinov2"]
    assert row["weights"] == "official abababab"
    assert row["licence"] == "CC BY-NC 4.0"
    assert row["seeds"] == "0, 1"
    assert row["medbench"] == "9.8.7 ffffffff"
    assert row["origin"] == "own, hf://they/theirs"


def test_marks_and_their_notes_stay(tmp_path):
    put(tmp_path, "dinov2", 2.0, seeds=(0,), warnings=["contamination: dinov2 was pre-trained on it"])
    put(tmp_path, "sam", 1.0, seeds=(0,), warnings=["leak: a patient in two splits"])
    put(tmp_path, "blip", 0.2, seeds=(0,))
    page = pages(tmp_path, tmp_path / "site")["index.html"]
    index = tables(page)[0]["ddsm: auroc"]
    assert index["dinov2"].endswith("‡")
    assert index["sam"].endswith("¶")
    assert "contamination: the model was pre-trained on" in page
    assert re.search("<b>(.*?)</b>", page).group(1) == index["sam"].rstrip("¶"), "who has seen the data is not the best"


def test_two_data_sets_of_one_name_have_two_columns(tmp_path):
    put(tmp_path, "dinov2", 2.0, seeds=(0,))
    put(tmp_path, "sam", 2.0, seeds=(0,))
    put(tmp_path, "blip", 2.0, seeds=(0,))
    [other] = [record for record in store.read_all(tmp_path) if record.unit.model == "blip"]
    changed = other.model_copy(update={"material": {**other.material, "data": "c" * 64}})
    (other.path / store.RECORD).write_text(changed.model_dump_json())
    index = tables(pages(tmp_path, tmp_path / "site")["index.html"])[0]
    numbers = [name for name in index if name.startswith("ddsm ")]
    assert len(numbers) == 2
    assert index.loc["blip", "ddsm cccccccc: auroc"] != "–"
    assert index.loc["sam", "ddsm cccccccc: auroc"] == "–"


def test_pages_load_nothing_and_escape_names(runs, tmp_path):
    for text in pages(runs, tmp_path, include_random=True).values():
        assert EVIL not in text
        assert not re.search(r'src="|href="(?:https?:|//)|url\(|@import', text)
        assert "default-src 'none';" in text


def test_the_same_records_give_the_same_bytes(runs, tmp_path):
    assert pages(runs, tmp_path / "a") == pages(runs, tmp_path / "b")


def test_a_store_without_results_is_told(tmp_path):
    with pytest.raises(MedbenchError, match="no results in"):
        write_leaderboard(tmp_path, tmp_path / "site")
    put(tmp_path, "sam", 1.0, seeds=(0,), weights="random")
    with pytest.raises(MedbenchError) as error:
        write_leaderboard(tmp_path, tmp_path / "site")
    assert error.value.hint == "--random shows results of random weights"
    assert not (tmp_path / "site").exists()
