"""Where a data set is found, and how it is loaded."""

from __future__ import annotations

import pytest
from PIL import Image

from medbench.data.load import load_dataset, read_labels
from medbench.errors import CardError, DataError

from .layouts.made import refused


def test_missing_data_say_place_file_and_next_command(tmp_path, monkeypatch):
    refused(lambda: load_dataset("aptos"), "aptos", "MEDBENCH_DATA", "--data-root", "kaggle competitions download")
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    refused(lambda: load_dataset("aptos"), str(tmp_path / "aptos"), "does not exist", "kaggle")
    (tmp_path / "aptos").mkdir()
    refused(lambda: load_dataset("aptos"), str(tmp_path / "aptos" / "train.csv"), "does not exist", "kaggle")
    rows = "".join(f"{i:04x},{i % 5}\n" for i in range(40))
    (tmp_path / "aptos" / "train.csv").write_text("id_code,diagnosis\n" + rows)
    refused(lambda: load_dataset("aptos"), "none of the 40 images", "train_images/0000.png", "kaggle")


def test_split_file_of_the_user(card_file, tmp_path):
    lines = [f"{i}.png,{'' if i == 0 else ('train', 'val', 'test')[i % 3]}" for i in range(30)]
    file = tmp_path / "mine.csv"
    file.write_text("id,split\n" + "\n".join(lines) + "\n")
    dataset = load_dataset(str(card_file), split=str(file))
    assert dataset.split_name == "mine.csv"
    assert dataset.samples["split"][0] == ""
    assert len(dataset.rows("train")) == 9
    file.write_text("id,split\n" + "\n".join(line.replace("test", "") for line in lines) + "\n")
    with pytest.raises(DataError, match="no samples in test"):
        load_dataset(str(card_file), split=str(file))


def test_unknown_names(card_file, tmp_path):
    with pytest.raises(CardError, match="no split 'grupped'") as caught:
        load_dataset(str(card_file), split="grupped")
    assert "grouped, s" in caught.value.hint
    with pytest.raises(DataError, match=r"no\.csv does not exist"):
        load_dataset(str(card_file), split=str(tmp_path / "no.csv"))
    with pytest.raises(CardError, match="unknown dataset 'aptoss'") as caught:
        load_dataset("aptoss")
    assert "aptos" in caught.value.hint
    with pytest.raises(DataError, match="no label file"):
        load_dataset(str(tmp_path / "nothing.csv"))


def test_where_the_data_lie(card_file, root, tmp_path, monkeypatch):
    """A card file alone: its folder; MEDBENCH_DATA/<name> before it; a told root before both."""
    away = tmp_path / "cards" / "mine.yaml"
    away.parent.mkdir()
    away.write_text(card_file.read_text())
    assert load_dataset(str(away), root).root == root
    assert load_dataset(str(card_file)).root == root
    with pytest.raises(DataError, match=r"labels\.csv does not exist"):
        load_dataset(str(away))
    (tmp_path / "all").mkdir()
    root.rename(tmp_path / "all" / "mine")
    assert load_dataset(str(away), tmp_path / "all").root == tmp_path / "all" / "mine"
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "all"))
    assert load_dataset(str(away)).root == tmp_path / "all" / "mine"


@pytest.mark.parametrize(
    ("card", "folder", "sizes"),
    [
        ("docs/example/datasets/idrid-small", "idrid", {"train": 352, "val": 61, "test": 103}),
        ("tests/cards/kermany-small", "kermany_cxr", {"train": 2755, "val": 486, "test": 624}),
        ("docs/example/datasets/nih-small", "nih1000_64", None),
    ],
)
def test_real_data(shared, repo, card, folder, sizes):
    dataset = load_dataset(str(repo / f"{card}.yaml"), shared / "realdata" / folder)
    assert dataset.grouped
    held = dataset.samples["split"].value_counts().to_dict()
    if sizes:
        assert held == sizes
    else:
        assert (dataset.samples.groupby("group")["split"].nunique() == 1).all()
        assert dataset.targets().shape == (1000, 14)
        assert held["train"] == pytest.approx(700, abs=30)


def test_the_root_of_a_card_goes_before_the_environment(card_file, root, tmp_path, monkeypatch):
    away = tmp_path / "datasets" / "mine.yaml"
    away.parent.mkdir()
    away.write_text(card_file.read_text() + f"root: ../{root.name}\n")
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "elsewhere"))
    assert load_dataset(str(away)).root == root
    with pytest.raises(DataError, match="nowhere of 'mine' does not exist"):
        load_dataset(str(away), tmp_path / "nowhere")


def test_missing_images_stop_or_are_left_out_of_a_split_that_stays(card_file, root):
    whole = load_dataset(str(card_file))
    names = whole.samples["id"].tolist()
    gone = names[3], names[8]
    for name in gone:
        (root / name).unlink()
    with pytest.raises(DataError, match="2 of the 30 images of mine are missing") as caught:
        load_dataset(str(card_file))
    assert "--list missing.csv; to run without them: --missing leave-out" in caught.value.hint
    rest = load_dataset(str(card_file), missing="leave-out")
    assert rest.missing == gone
    assert not whole.missing
    assert rest.digest != whole.digest, "so the keys of its runs are others"
    kept = whole.samples[~whole.samples["id"].isin(gone)].reset_index(drop=True)
    assert rest.samples.equals(kept), "the others stay in their split"
    assert rest.content == tuple(sha for sha, name in zip(whole.content, names, strict=True) if name not in gone)
    for name in names:
        (root / name).unlink(missing_ok=True)
    with pytest.raises(DataError, match="none of the 30 images"):
        load_dataset(str(card_file), missing="leave-out")


def test_a_method_may_be_named_where_the_card_has_no_such_rule(card_file):
    assert "contiguous" not in card_file.read_text()
    data = load_dataset(str(card_file), split="contiguous")
    assert data.split_name == "contiguous"
    assert data.samples["split"].tolist()[0] == "val"
    with pytest.raises(CardError, match="no split 'sorted'"):
        load_dataset(str(card_file), split="sorted")


def test_labels_are_read_with_further_columns_and_no_image(tmp_path):
    own = tmp_path / "labels.csv"
    own.write_text("image,label,patient,Age (years)\na.png,0,p,70\nb.png,1,q,30\n")
    for name in "ab":
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    found = read_labels(str(own), None, ["age years"])
    assert found["subgroup_age years"].tolist() == ["70", "30"]
    assert found["group"].tolist() == ["p", "q"]
    with pytest.raises(DataError, match="have no column 'sex'") as caught:
        read_labels(str(own), None, ["age years", "sex"])
    assert "Age (years)" in caught.value.hint
    with pytest.raises(DataError, match="no column 'site'") as caught:
        read_labels("toy", None, ["sex", "site"])
    assert "they have: sex, age" in caught.value.hint
