"""`medbench leaderboard`: the folder it writes, and its mistakes."""

from __future__ import annotations

import shutil

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


def test_pages_of_data_sets_that_left_the_store_are_deleted_and_nothing_else(medbench, tmp_path):
    site, runs = tmp_path / "site", tmp_path / "runs"
    for dataset in ("one", "two", "three"):
        save(runs, synthetic("m", "knn", dataset, (0,), values={"accuracy": [0.5]}))
    assert medbench("leaderboard", "--runs", runs, "--to", site).status == 0
    for dataset in ("two", "three"):
        shutil.rmtree(runs / dataset)
    (site / "datasets" / "three.html").write_text("changed by somebody")
    (site / "datasets" / "own.html").write_text("of somebody")
    (site / "datasets" / "folder.html").mkdir()
    for _ in range(2):
        assert medbench("leaderboard", "--runs", runs, "--to", site).status == 0
        assert sorted(path.name for path in (site / "datasets").iterdir()) == [
            *("folder.html", "one.html", "own.html", "three.html")
        ]
    (site / "pages.json").write_text("[1]")
    assert medbench("leaderboard", "--runs", runs, "--to", site).status == 0


def test_an_empty_store_is_a_mistake(medbench, tmp_path):
    done = medbench("leaderboard", "--runs", tmp_path / "runs", "--to", tmp_path / "site")
    assert done.status == 2
    assert "no results in" in done.err
