from __future__ import annotations

import pytest

from medbench.data.layouts.reader import REPEATED, read_samples

from .made import refused


def test_columns_templates_and_padding(make_csv, make_card):
    """Headers and cells with spaces, ids like 0012, several columns in a template, empty trailing columns."""
    root = make_csv(
        "Image name , grade ,eye,,", [("0012 ", " 1", "L", "", ""), ("0013", "2 ", "R", "", "")], images=False
    )
    layout = {"image": "img/{Image name}_{eye}.png", "id": "{Image name}", "label": "grade", "group": "{Image name}"}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["id"].tolist() == ["0012", "0013"]
    assert frame["path"].tolist() == ["img/0012_L.png", "img/0013_R.png"]
    assert frame["group"].tolist() == ["0012", "0013"]


def test_tables_with_a_split_each(make_csv, make_card):
    make_csv("image,label", [("x.png", "a"), ("y.png", "b")], name="train.csv")
    root = make_csv("image,label", [("z.png", "c")], name="test.csv", folder="data")
    tables = [{"file": "train.csv", "split": "train"}, {"file": "test.csv", "split": "test", "image": "t/{image}"}]
    frame = read_samples(make_card(layout={"tables": tables}), root)
    assert frame["official"].tolist() == ["train", "train", "test"]
    assert frame["path"].tolist() == ["x.png", "y.png", "t/z.png"]


def test_empty_group_is_the_sample_itself(make_csv, make_card):
    root = make_csv("image,label,patient", [("x.png", "a", "p"), ("y.png", "b", ""), ("z.png", "c", "p")])
    frame = read_samples(make_card(layout={"group": "pat-{patient}"}), root)
    assert frame["group"].tolist() == ["pat-p", "y.png", "pat-p"]


def test_split_column(make_csv, make_card):
    rows = [("x.png", "a", "Training"), ("y.png", "b", "test"), ("z.png", "c", "valid")]
    root = make_csv("image,label,fold", rows)
    frame = read_samples(make_card(layout={"split": "fold"}), root)
    assert frame["official"].tolist() == ["train", "test", "val"]
    card = make_card(layout={"split": "fold", "split_values": {"Training": "train", "test": "test"}})
    refused(lambda: read_samples(card, root), "labels.csv:4: column 'fold'", "'valid' is not a split", "Training, test")


def test_lists(tmp_path, make_card):
    (tmp_path / "tr.txt").write_text("normal_A_1.jpg\nbenign_without_callback_B_2.jpg\n\n")
    (tmp_path / "te.txt").write_text("cancer_C_3.jpg\r\n")
    layout = {
        "kind": "lists",
        "lists": {"train": "tr.txt", "test": "te.txt"},
        "image": "raw/{name}",
        "label": "^(?P<label>[a-z]+)_",
        "values": {"normal": 0, "benign": 1, "cancer": 1},
        "group": r"(?P<group>[A-Z]_\d+)",
    }
    card = make_card(task="binary", classes=["normal", "abnormal"], layout=layout)
    frame = read_samples(card, tmp_path)
    assert frame["target"].tolist() == [0, 1, 1]
    assert frame["path"].tolist()[2] == "raw/cancer_C_3.jpg"
    assert frame["group"].tolist() == ["A_1", "B_2", "C_3"]
    assert frame["official"].tolist() == ["train", "train", "test"]
    (tmp_path / "te.txt").write_text("cancer_C_3.jpg\n7.jpg\n")
    refused(lambda: read_samples(card, tmp_path), "te.txt:2", "'7.jpg' contains no label")
    (tmp_path / "te.txt").write_text("weird_C_3.jpg\n")
    refused(lambda: read_samples(card, tmp_path), "te.txt:1", "'weird' is not a class")
    (tmp_path / "te.txt").unlink()
    refused(lambda: read_samples(card, tmp_path), "te.txt does not exist")


@pytest.mark.parametrize("first", ["x.png", "./x.png"])
def test_an_id_is_there_once(tmp_path, make_card, first):
    (tmp_path / "labels.csv").write_text(f"image,label\n{first},a\nx.png,b\n")
    refused(lambda: read_samples(make_card(), tmp_path), ":3: duplicate id 'x.png' with another label, first at", ":2")
    (tmp_path / "labels.csv").write_text(f"image,label\n{first},a\ny.png,b\nx.png,a\n")
    found = read_samples(make_card(), tmp_path)
    assert found["id"].tolist() == ["x.png", "y.png"], "a row that says the same counts once"
    assert found.attrs == {REPEATED: 1}


def test_samples_on_the_exclusion_list_are_left_out(tmp_path, make_csv, make_card):
    root = make_csv("image,label", [("x.png", "a"), ("y.png", "b"), ("z.png", "c")])
    card = make_card(exclude="lists/poor.txt")
    card._folder = tmp_path
    (tmp_path / "lists").mkdir()
    poor = tmp_path / "lists" / "poor.txt"
    refused(lambda: read_samples(card, root), f"{poor} does not exist")
    poor.write_text("y.png\n\nx.png\n")
    frame = read_samples(card, root)
    assert (frame["id"].tolist(), frame.index.tolist()) == (["z.png"], [0])
    poor.write_text("y.png\ny\n")
    refused(lambda: read_samples(card, root), "poor.txt:2: no sample has the id 'y'", "'x.png'")
    poor.write_text("x.png\ny.png\nz.png\n")
    refused(lambda: read_samples(card, root), "leaves out all samples of mine")
    away = make_card(exclude="../poor.txt")
    refused(lambda: read_samples(away, root), "leaves the data folder")


def test_subgroups_are_columns_as_far_as_the_labels_have_them(make_csv, make_card):
    make_csv("image,label,Patient Sex", [("x.png", "a", "F"), ("y.png", "b", "")], name="one.csv")
    root = make_csv("image,label", [("z.png", "c")], name="two.csv", folder="data")
    card = make_card(
        layout={
            "tables": [{"file": "one.csv"}, {"file": "two.csv"}],
            "subgroups": {"sex": "patient_sex", "site": "hospital"},
        }
    )
    frame = read_samples(card, root)
    assert frame["subgroup_sex"].tolist() == ["F", "", ""]
    assert "subgroup_site" not in frame
    assert card.material() == make_card(layout={"tables": [{"file": "one.csv"}]}).material(), "no key changes"


def test_a_row_with_another_subgroup_does_not_say_the_same(make_csv, make_card):
    root = make_csv("image,label,sex", [("x.png", "a", "F"), ("x.png", "a", "M")])
    refused(lambda: read_samples(make_card(layout={"subgroups": {"sex": "sex"}}), root), "with another sex")
    assert len(read_samples(make_card(), root)) == 1
