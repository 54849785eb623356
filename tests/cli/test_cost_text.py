"""What a plan costs, as text and for scripts."""

from __future__ import annotations

import json

import pytest

from medbench.cli.cost_text import absent_lines, cost_data, cost_lines
from medbench.runs.estimate import Estimate
from medbench.runs.planning.absent import Absent
from medbench.runs.planning.downloads import Download
from medbench.runs.planning.work import Disk

DISK = Disk(images=2 * 10**9, features=5 * 10**8, predictions=10_000, tokens=64 * 2**30, unknown=("own",))
NOTHING = Estimate(0, None, (), (), "cpu")
FILES = (
    Download("weights of a", 10**9, True, "https://example.org/a.pth", "open"),
    Download("weights of b", 2 * 10**8, False, "owner/b (model.safetensors) on the Hugging Face hub", "gated"),
    Download("weights of c", None, False, "https://example.org/c.pth", "open"),
    *(Download(f"data set d{i}", None, False, "https://example.org/d", "open") for i in range(5)),
)


@pytest.mark.parametrize(("hours", "text"), [(2.04, "2.0 hours"), (0.5, "30 min"), (0.001, "1 min"), (6e3, "6,000")])
def test_the_cost_is_forwards_and_time(hours, text):
    cost = Estimate(12345, hours, ("tiny features at 32 px 90",), ("tiny knn at 40 px",), "cpu (x86_64)")
    first, time, not_included = cost_lines(cost)
    assert first == "at most 12,345 forward passes of images (fewer if features are cached)"
    assert time.startswith(f"time: about {text}")
    assert time.endswith(", from images/s measured on cpu (x86_64): tiny features at 32 px 90")
    assert not_included == "  not included, because it has not run here yet: tiny knn at 40 px"


def test_the_time_is_unknown_without_measurements():
    time, hint = list(cost_lines(Estimate(1, None, (), ("x",), "cpu")))[1:]
    assert time.startswith("time: unknown, because this model")
    assert "--calibrate" in hint


def test_the_disk_is_told_by_what_fills_it():
    assert list(cost_lines(Estimate(1, 1, (), (), "cpu", DISK)))[2:] == [
        "disk: about 2.5 GB: prepared images 2.0 GB, features 500.0 MB, predictions 10 kB",
        "  not included: patch tokens, at most 64 GiB (cache_gb) for a job, removed at the end",
        "  not included, because their cards do not state the sizes: own",
    ]


def test_downloads_have_a_size_a_place_and_tell_what_is_estimated():
    lines = list(absent_lines(Absent(3, NOTHING, FILES, ("mine",))))
    assert lines[2] == "  3 units"
    assert "  not included, because their cards do not state the number of images: mine" in lines
    at = lines.index(
        "to download: 3 weights files, about 1.2 GB; sizes of 1 estimated from their parameter counts;"
        " 1 of unknown size not included"
    )
    assert lines[at + 1 :] == [
        "  weights of a: 1.0 GB, from https://example.org/a.pth",
        "  weights of b: about 200.0 MB, from owner/b (model.safetensors) on the Hugging Face hub (gated)",
        "  weights of c: size unknown, from https://example.org/c.pth",
        "",
        "to download: 5 data sets, sizes unknown",
        "  data set d0, data set d1, data set d2 and 2 more: size unknown, from https://example.org/d",
    ]
    exact = list(absent_lines(Absent(3, NOTHING, FILES[:1], ())))
    assert "to download: 1 weights file, 1.0 GB" in exact


def test_nothing_waits():
    assert list(absent_lines(None)) == []


def test_scripts_get_the_same_numbers():
    data = json.loads(
        json.dumps(cost_data(Estimate(7, 0.5, ("m 3",), ("n",), "cpu", DISK), Absent(3, NOTHING, FILES, ())))
    )
    assert data["estimate"]["forwards"] == 7
    assert data["estimate"]["disk"]["features"] == 5 * 10**8
    assert data["estimate"]["not_measured"] == ["n"]
    waiting = data["waiting"]
    assert (waiting["units"], waiting["hours"], len(waiting["downloads"])) == (3, None, 8)
    assert waiting["downloads"][1] == {
        "what": "weights of b",
        "bytes": 2 * 10**8,
        "exact": False,
        "from": "owner/b (model.safetensors) on the Hugging Face hub",
        "access": "gated",
    }
    assert cost_data(None, None) == {"estimate": None, "waiting": None}
