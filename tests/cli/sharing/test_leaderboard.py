"""`medbench leaderboard`: the folder it writes, and its mistakes."""

from __future__ import annotations

from ...records.made import save, synthetic


def test_it_writes_an_index_and_a_page_for_each_data_set(medbench, tmp_path):
    for dataset in ("one", "two"):
        save(tmp_path / "runs", synthetic("m", "knn", dataset, (0, 1), values={"accuracy": [0.5, 0.75]}))
    done = medbench("leaderboard", "--runs", tmp_path / "runs", "--to", tmp_path / "site")
    assert done.status == 0, done.err
    assert done.out.strip() == f"{tmp_path / 'site' / 'index.html'}; pages of data sets: 2"
    assert sorted(p.relative_to(tmp_path / "site").as_posix() for p in (tmp_path / "site").rglob("*.html")) == [
        "datasets/one.html",
        "datasets/two.html",
        "index.html",
    ]


def test_an_empty_store_is_a_mistake(medbench, tmp_path):
    done = medbench("leaderboard", "--runs", tmp_path / "runs", "--to", tmp_path / "site")
    assert done.status == 2
    assert "no results in" in done.err
