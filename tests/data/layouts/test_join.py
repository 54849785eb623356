"""Label tables: the file of several names, the second table, the rows that are kept."""

from __future__ import annotations

from medbench.data.layouts.reader import read_samples

from .made import XLSX, book, refused


def test_of_several_file_names_the_first_that_is_there(make_csv, make_card):
    root = make_csv("image,label", [("x.png", "a")], name="new.csv")
    make_csv("image,label", [("y.png", "b")], name="old.csv")
    card = make_card(layout={"tables": [{"file": ["newest.csv", "new.csv", "old.csv"]}]})
    assert read_samples(card, root)["id"].tolist() == ["x.png"]
    card = make_card(layout={"tables": [{"file": ["p.csv", "q.csv"]}]}, access={"steps": "fetch it"})
    refused(lambda: read_samples(card, root), "none of the label files p.csv, q.csv", "fetch it")


def test_columns_of_a_second_table(make_csv, make_card):
    make_csv("image,age,lesion", [("y", "1", "L2"), ("x", "2", "L1"), ("w", "3", "L9")], images=False, name="meta.csv")
    root = make_csv("image,label,age", [("x", "a", "5"), ("y", "b", "6")], images=False)
    table = {"file": "labels.csv", "join": {"file": "meta.csv", "by": "image"}}
    card = make_card(layout={"tables": [table], "image": "{image}.jpg", "group": "{lesion}", "id": "{age}"})
    frame = read_samples(card, root)
    assert frame["group"].tolist() == ["L1", "L2"]
    assert frame["id"].tolist() == ["5", "6"], "the first table's own column counts"
    make_csv("image,label,age", [("x", "a", "5"), ("v", "b", "6")], images=False)
    refused(lambda: read_samples(card, root), "labels.csv:3: column 'image': no row of", "meta.csv has 'v'")
    make_csv("image,lesion", [("x", "L1"), ("x", "L2")], images=False, name="meta.csv")
    refused(lambda: read_samples(card, root), "meta.csv:3", "duplicate key 'x', first at", "meta.csv:2")
    make_csv("image,site", [("x", "L1"), ("v", "L2")], images=False, name="meta.csv")
    refused(lambda: read_samples(card, root), "meta.csv has no column 'lesion'")


def test_rows_are_left_out_before_their_labels_are_read(make_csv, make_card):
    root = make_csv(
        "image,label,gradable,view", [("x.png", "", "0", "F"), ("y.png", "b", "1", "F"), ("z.png", "c", "1", "L")]
    )
    layout = {"where": {"gradable": ["1"], "view": ["F", "f"]}}
    assert read_samples(make_card(layout=layout), root)["id"].tolist() == ["y.png"]
    refused(
        lambda: read_samples(make_card(layout={"where": {"view": ["Frontal"]}}), root),
        "leaves out all rows",
        "'F', 'L'",
        "'Frontal'",
    )
    root = make_csv("image,label,gradable,view", [("x.png", "", "0", "F"), ("y.png", "q", "1", "F")])
    refused(lambda: read_samples(make_card(layout=layout), root), "labels.csv:3", "'q'")


def test_padded_numbers_and_further_inputs(tmp_path, make_card):
    root = book(tmp_path / "l.xlsx", [["id", "grade"], [1, 0], [42, 2]])
    layout = {**XLSX, "pad": {"id": 4}, "inputs": {"oct": {"image": "{id}/{id}", "slices": r"(?P<index>\d+)_.*"}}}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["path"].tolist() == ["0001.png", "0042.png"]
    assert frame["input_oct"].tolist() == ["0001/0001", "0042/0042"]
    layout["inputs"] = {"oct": {"image": "../{id}"}}
    refused(lambda: read_samples(make_card(layout=layout), root), "l.xlsx:2", "leaves the data folder")


def test_rows_with_a_named_text_are_left_out(make_csv, make_card):
    rows = [("x.png", "a", "poor"), ("y.png", "?", "good"), ("z.png", "c", ""), ("w.png", "b", "good")]
    root = make_csv("image,label,quality", rows)
    card = make_card(
        layout={"leave_out": {"quality": ["poor"], "label": ["?"]}, "where": {"quality": ["good", "poor"]}}
    )
    assert read_samples(card, root)["id"].tolist() == ["w.png"]
    gone = make_card(layout={"leave_out": {"quality": ["poor", "good", ""]}})
    refused(
        lambda: read_samples(gone, root),
        "layout.leave_out (quality) leaves out all rows",
        "contains 'poor', 'good', ''",
    )


def test_a_card_need_not_name_a_usual_column_of_images(make_csv, make_card):
    make_csv("id,File Name,label", [("1", "x.png", "a")], images=False, name="one.csv")
    root = make_csv("path,label", [("y.png", "b")], name="two.csv")
    tables = [{"file": "one.csv"}, {"file": "two.csv"}]
    card = make_card(layout={"image": None, "tables": tables})
    assert read_samples(card, root)["path"].tolist() == ["x.png", "y.png"]
    make_csv("scan,label", [("y.png", "b")], images=False, name="two.csv")
    refused(lambda: read_samples(card, root), "two.csv: it has no column called image, path", "it has: scan, label")


def test_subgroups_of_both_tables(make_csv, make_card):
    make_csv("image,Sex", [("y", "F"), ("x", "M")], images=False, name="meta.csv")
    root = make_csv("image,label,age", [("x", "a", "50"), ("y", "b", "60")], images=False)
    table = {"file": "labels.csv", "join": {"file": "meta.csv", "by": "image"}}
    layout = {"tables": [table], "image": "{image}.jpg", "subgroups": {"sex": "sex", "age": "age", "site": "site"}}
    frame = read_samples(make_card(layout=layout), root)
    assert frame["subgroup_sex"].tolist() == ["M", "F"]
    assert frame["subgroup_age"].tolist() == ["50", "60"]
    assert "subgroup_site" not in frame
