"""`medbench run`: every bad input ends in two clear lines and exit status 2, with nothing written but
why a unit failed, and nothing lost.
"""

from __future__ import annotations

import json
import pickle
import shlex
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from medbench.cards import ModelCard
from medbench.cli import main
from medbench.records import store
from medbench.storage import paths

CARD = """\
title: a data set of one's own
layout: {kind: csv, tables: [{file: labels.csv}], image: "images/{file}", label: grade}
task: ordinal
classes: [none, some, much]
metric: kappa_quadratic
splits: {default: drawn, rules: {drawn: {method: stratified, val: 0.2, test: 0.2}}}
"""
MODEL = """\
title: a model of one's own
arch: resnet18
weights: {file: weights.pth, drop: ['fc\\..*']}
input: {size: 32}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data set with its card and a model with its card; return their folder."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "images").mkdir()
    source = np.random.default_rng(0)
    for i in range(30):
        Image.fromarray(source.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / "images" / f"{i:02d}.png")
    rows(folder, [f"{i:02d}.png,{i % 3}" for i in range(30)])
    (folder / "own.yaml").write_text(CARD)
    (folder / "net.yaml").write_text(MODEL)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the model's weights, which the data set's tests do without."""
    file = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(timm.create_model("resnet18").state_dict(), file)
    return file


@pytest.fixture
def own(whole: Path, tmp_path: Path) -> Path:
    """Copy the data set and the two cards to where a test may spoil them."""
    return Path(shutil.copytree(whole, tmp_path, dirs_exist_ok=True))


@pytest.fixture
def with_weights(own: Path, weights: Path) -> Path:
    shutil.copyfile(weights, own / "weights.pth")
    return own


def rows(folder: Path, lines: list[str], head: str = "file,grade") -> None:
    (folder / "labels.csv").write_text("\n".join([head, *lines]) + "\n")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def command(own: Path, **changes: str) -> list[str]:
    options = {
        "model": "toy-vit",
        "protocol": "knn",
        "dataset": str(own / "own.yaml"),
        "data-root": str(own),
        "set": "k=3",
        **changes,
    }
    return ["run", *(word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value))]


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Run, check that the error is two lines, and return it."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith(("error:", "hint:"))]
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], said
    written = list(paths.runs_dir().rglob("*.json"))
    assert {path.name for path in written} <= {store.FAILURE}, "something was written"
    for file in written:
        assert json.loads(file.read_text())["error"].splitlines()[0] in said, "status says what the command said"
    return said


def test_the_untouched_set_and_model_run(with_weights: Path, capsys) -> None:
    assert main(command(with_weights, model=str(with_weights / "net.yaml"))) == 0
    assert "kappa_quadratic" in capsys.readouterr().out


def test_records_go_to_the_run_store_named_and_can_be_printed_as_json(own: Path, tmp_path: Path, capsys) -> None:
    words = [*command(own, runs=str(tmp_path / "store")), "--quiet", "--json"]
    assert main(words) == 0
    shown = capsys.readouterr()
    (record,) = store.read_all(tmp_path / "store")
    assert (shown.out, shown.err) == (record.model_dump_json() + "\n", "")
    assert main([*words[:-1], "--dry-run"]) == 0
    assert "1 job, 1 unit, 1 done, 0 to do" in capsys.readouterr().out
    assert main([*words, "--dry-run"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["units"], plan["done"], plan["todo"]) == (1, 1, 0)
    (job,) = plan["jobs"]
    assert (job["model"], job["protocol"], job["precision"]) == (record.unit.model, "knn", "fp32")
    unit = {"dataset": record.unit.dataset, "seed": 0, "key": record.key, "folder": str(record.path), "done": True}
    assert job["units"] == [unit]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "toy-vti"}, ["unknown model 'toy-vti'", "toy-vit"]),
        ({"model": "dinov9*"}, ["unknown model 'dinov9*'"]),
        ({"protocol": "knnn"}, ["unknown protocol 'knnn'", "did you mean: knn"]),
        ({"dataset": "apots"}, ["unknown dataset 'apots'", "aptos"]),
        ({"set": "kk=3"}, ["unknown field 'kk'", "did you mean"]),
        ({"set": "k=many"}, ["k", "many"]),
        ({"set": "k=-3"}, ["k"]),
        ({"set": "k"}, ["key=value"]),
        ({"set": "split=none-such"}, ["none-such", "drawn"]),
        ({"preset": "papre"}, ["unknown preset 'papre'", "paper"]),
        ({"seeds": "0"}, ["--seeds 0"]),
        ({"seeds": "x"}, ["--seeds x"]),
        ({"device": "cdua"}, ["unknown device 'cdua'"]),
        ({"device": "cuda:99"}, ["cuda:99"]),
        ({"precision": "fp8"}, ["unknown precision 'fp8'", "fp16"]),
        ({"overwrite": "sometimes"}, ["sometimes", "missing"]),
        ({"corrupt": "jpg"}, ["unknown corruption 'jpg'", "did you mean: jpeg"]),
        ({"corrupt": "jpeg:6"}, ["--corrupt jpeg:6", "1 to 5"]),
        ({"image_size": "0"}, ["--image-size 0"]),
        ({"image_size": "33"}, ["33", "patch size of toy-vit, 8"]),
        ({"weights": "/no/such/file.pth"}, ["/no/such/file.pth"]),
        ({"model": "dinov2"}, ["dinov2_vitb14_pretrain.pth", "weights", "medbench weights download dinov2"]),
        ({"dataset": "aptos"}, ["train.csv", "kaggle"]),
        ({"runs": "/proc/nowhere"}, ["cannot write /proc/nowhere", "--runs"]),
        ({"out": "/proc/nowhere"}, ["cannot write /proc/nowhere", "--runs"]),
    ],
    ids=lambda v: "=".join(*v.items()) if isinstance(v, dict) else "",
)
def test_words(own: Path, capsys, monkeypatch, changes: dict, said: list[str]) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    text = refused(capsys, command(own, **changes))
    assert all(part in text for part in said), text


def label(value: str) -> Callable[[Path], None]:
    return lambda own: rows(own, [f"{i:02d}.png,{value if i == 5 else i % 3}" for i in range(30)])


def image(content: bytes) -> Callable[[Path], None]:
    return lambda own: (own / "images" / "07.png").write_bytes(content)


def cut(own: Path) -> None:
    file = own / "images" / "07.png"
    file.write_bytes(file.read_bytes()[:1500])


DATA = {
    "malformed YAML": (lambda o: edit(o / "own.yaml", "task: ordinal", "task: [ordinal"), ["own.yaml:", "not YAML"]),
    "unknown field": (
        lambda o: edit(o / "own.yaml", "metric:", "metrics:"),
        ["own.yaml:5", "metrics", "unknown field"],
    ),
    "missing field": (lambda o: edit(o / "own.yaml", "task: ordinal\n", ""), ["own.yaml", "task", "missing field"]),
    "key twice": (lambda o: edit(o / "own.yaml", "task:", "task: binary\ntask:"), ["own.yaml:4", "twice"]),
    "metric of another task": (lambda o: edit(o / "own.yaml", "kappa_quadratic", "f1_micro"), ["f1_micro", "ordinal"]),
    "label out of range": (label("3"), ["labels.csv", "7", "grade", "3"]),
    "label missing": (label(""), ["labels.csv", "grade"]),
    "label not a class": (label("worse"), ["labels.csv", "grade", "worse"]),
    "no column": (lambda o: rows(o, ["00.png,0"], "file,level"), ["grade", "level"]),
    "no rows": (lambda o: rows(o, []), ["labels.csv"]),
    "no CSV": (lambda o: (o / "labels.csv").unlink(), ["labels.csv"]),
    "path leaves the root": (
        lambda o: rows(o, [f"../../../etc/{i}.png,{i % 3}" for i in range(9)]),
        ["leaves", "--allow-outside"],
    ),
    "same image twice": (lambda o: rows(o, ["00.png,0", "00.png,1", "01.png,2"]), ["00.png"]),
    "image missing": (lambda o: (o / "images" / "07.png").unlink(), ["07.png", "medbench data check"]),
    "image truncated": (cut, ["07.png", "--unreadable leave-out"]),
    "image of no bytes": (image(b""), ["07.png", "--unreadable leave-out"]),
    "no image at all": (image(b"%PDF-1.4 not an image"), ["07.png", "--unreadable leave-out"]),
    "class smaller than the splits": (
        lambda o: rows(o, [f"{i:02d}.png,{i % 2 if i < 28 else 2}" for i in range(30)]),
        ["much", "2"],
    ),
    "empty split": (lambda o: edit(o / "own.yaml", "val: 0.2", "val: 0"), ["val"]),
}


@pytest.mark.parametrize("name", DATA)
def test_data(own: Path, capsys, name: str) -> None:
    spoil, said = DATA[name]
    spoil(own)
    text = refused(capsys, command(own))
    assert all(part in text for part in said), text


class Code:
    """A pickle that would leave a mark if it were run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def cut_weights(own: Path) -> None:
    file = own / "weights.pth"
    file.write_bytes(file.read_bytes()[:100_000])


def code_weights(own: Path) -> None:
    (own / "weights.pth").write_bytes(pickle.dumps({"state": Code(own / "mark")}))


WEIGHTS = {
    "truncated": (cut_weights, ["weights.pth", "truncated"]),
    "another architecture": (
        lambda o: torch.save(timm.create_model("resnet34").state_dict(), o / "weights.pth"),
        ["does not fit", "unknown", "layer1.2"],
    ),
    "code": (code_weights, ["contains code", "was run"]),
    "wrong sha256": (
        lambda o: edit(o / "net.yaml", "file: weights.pth", f"file: weights.pth, sha256: '{'0' * 64}'"),
        ["sha256"],
    ),
    "no file": (lambda o: (o / "weights.pth").unlink(), ["weights.pth"]),
    "no such architecture": (lambda o: edit(o / "net.yaml", "resnet18", "resnet81"), ["resnet81"]),
    "unknown field": (lambda o: edit(o / "net.yaml", "arch:", "architecture:"), ["architecture", "unknown field"]),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights(with_weights: Path, capsys, name: str) -> None:
    spoil, said = WEIGHTS[name]
    spoil(with_weights)
    text = refused(capsys, command(with_weights, model=str(with_weights / "net.yaml")))
    assert all(part in text for part in said), text
    assert not (with_weights / "mark").exists(), "code in a weights file was run"


def test_odd_pictures_are_read_not_refused(own: Path, capsys) -> None:
    """16-bit, palette, CMYK, RGBA and rotated pictures in one set."""
    grey = (np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40).astype(np.uint16)
    Image.fromarray(grey).save(own / "images" / "00.png")
    Image.open(own / "images" / "01.png").convert("P").save(own / "images" / "01.png")
    Image.open(own / "images" / "02.png").convert("RGBA").save(own / "images" / "02.png")
    for name, mode in (("03", "CMYK"), ("04", "RGB")):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.open(own / "images" / f"{name}.png").convert(mode).save(own / "images" / f"{name}.jpg", exif=exif)
        edit(own / "labels.csv", f"{name}.png", f"{name}.jpg")
    assert main(command(own)) == 0, capsys.readouterr().err


def test_corrupted_sets_are_summed_up_in_a_line_and_are_units_of_the_plan(own: Path, tmp_path: Path, capsys) -> None:
    words = [*command(own, runs=str(tmp_path / "store"), corrupt="jpeg:1:2,noise:5"), "--quiet"]
    assert main([*words, "--dry-run", "--json"]) == 0
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert [unit.get("corrupt") for unit in job["units"]] == [None, "noise:5", "jpeg:1", "jpeg:2"]
    assert main(words) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  note")]
    assert lines[1].partition(": ")[0].endswith(", 3 corruptions")
    records = {record.corruption: record for record in store.read_all(tmp_path / "store")}
    scores = [records[name].score for name in ("noise:5", "jpeg:1", "jpeg:2")]
    assert f"{sum(scores) / 3:.3f} on average, {min(scores):.3f} (" in lines[1]
    assert main([*words, "--json"]) == 0
    shown = [json.loads(line)["unit"]["options"].get("corrupt") for line in capsys.readouterr().out.splitlines()]
    assert shown == [None, "noise:5", "jpeg:1", "jpeg:2"]
    assert main(["run", "--paper", "wacv2024", "--corrupt", "jpeg"]) == 2
    assert "--corrupt and --paper cannot be combined" in capsys.readouterr().err


def test_mistakes_in_one_job_leave_the_others_and_their_records(own: Path, capsys) -> None:
    cut(own)
    assert main(command(own, dataset=f"{own / 'own.yaml'},toy")) == 2
    assert "07.png" in capsys.readouterr().err
    assert [r.unit.dataset for r in store.read_all(paths.runs_dir())] == ["toy"]


def test_all_faults_of_a_card_are_said_at_once(own: Path, capsys) -> None:
    (own / "bad.yaml").write_text(
        textwrap.dedent(
            """\
            title: many faults
            arch: 3
            weigths: {file: x}
            input: {size: none}
            """
        )
    )
    assert main(["run", "--model", str(own / "bad.yaml"), "--protocol", "knn", "--dataset", "toy"]) == 2
    said = capsys.readouterr().err
    assert "bad.yaml:3: weigths: unknown field, did you mean 'weights'?" in said
    assert "bad.yaml:4: input.size" in said
    assert "bad.yaml:2: arch" in said


def test_the_record_has_the_command_line(own: Path, medbench) -> None:
    words = ["run", "--model", "toy-cnn", "--protocol", "knn", "--dataset", str(own / "own.yaml"), "--set", "k=3"]
    assert medbench(*words).status == 0
    (record,) = store.read_all(paths.runs_dir())
    assert shlex.split(record.provenance["command"]) == ["medbench", *words]


@pytest.fixture
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(card: ModelCard) -> None:
        raise AssertionError(f"{card.name} was fetched")

    monkeypatch.setattr("medbench.models.weights.locate.fetch", fetch)


MISSING = ("--model", "dinov2,resnet18", "--protocol", "linear-frozen,knn", "--dataset", "aptos,isic2019")


def test_what_is_missing_has_a_cost_all_the_same(medbench, nothing_is_fetched, tmp_path) -> None:
    words = ("run", *MISSING, "--data-root", tmp_path, "--seeds", "2", "--dry-run")
    done = medbench(*words)
    assert done.status == 2
    assert f"{2 * 2 * (2 + 1):,} units" in done.out
    assert "disk: about " in done.out
    assert "to download: 2 weights files, about " in done.out
    assert "to download: 2 data sets, sizes unknown" in done.out
    assert done.err.startswith("error: 4 errors:\n")
    told = medbench(*words, "--json")
    assert (told.status, told.err) == (2, done.err)
    plan = json.loads(told.out)
    assert (plan["jobs"], plan["estimate"], len(plan["blocked"])) == ([], None, 4)
    assert plan["waiting"]["units"] == 12
    assert [one["what"] for one in plan["waiting"]["downloads"]] == [
        "weights of dinov2",
        "weights of resnet18",
        "data set aptos",
        "data set isic2019",
    ]
    further = medbench(*words, "--corrupt", "jpeg")
    assert "not included: the further test sets" in further.out


def test_weights_alone_are_missing(medbench, nothing_is_fetched) -> None:
    done = medbench("run", "--model", "dinov2", "--protocol", "knn", "--dataset", "toy", "--dry-run")
    assert done.status == 2
    assert "to download: 1 weights file" in done.out
    assert "data set" not in done.out


def test_the_plan_of_what_can_be_run_has_its_cost(medbench) -> None:
    words = ("run", "--model", "toy-vit", "--protocol", "knn", "--dataset", "toy", "--dry-run")
    done = medbench(*words)
    assert (done.status, done.err) == (0, "")
    assert "time: unknown" in done.out
    cost = json.loads(medbench(*words, "--json").out)["estimate"]
    assert (cost["forwards"], cost["hours"]) == (600, None)
    assert cost["disk"]["features"] > 0
    assert "(calibrated)" in medbench(*words, "--calibrate").out


def test_calibrate_is_for_dry_runs(medbench) -> None:
    for words in (("run", "--model", "toy-vit"), ("table", "wacv2024/table1", "--fill")):
        done = medbench(*words, "--calibrate")
        assert done.status == 2
        assert "--calibrate has no effect without --dry-run" in done.err
    done = medbench("run", "--model", "toy-vit", "--dry-run", "--calibrate", "--on", "node")
    assert (done.status, done.err.splitlines()[0]) == (
        2,
        "error: --calibrate and --on node cannot be combined: it measures this machine",
    )


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_all_that_is_wrong_or_missing_is_told_at_once_before_a_download(medbench, nothing_is_fetched, dry) -> None:
    done = medbench("run", *MISSING, "--set", "k=-3", *dry)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: 5 errors:\n")
    told = ("--set: k", "'aptos'", "'isic2019'", "the weights of dinov2", "the weights of resnet18")
    assert all(text in done.err for text in told), done.err
    names = medbench("run", "--model", "dinov9", "--protocol", "knnn", "--dataset", "apots", *dry).err
    assert all(text in names for text in ("dinov9", "knnn", "apots"))


@pytest.mark.parametrize("words", [("run", "--paper", "wacv2024"), ("table", "wacv2024/table1", "--fill")])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_papers_tell_all_at_once_before_a_download(medbench, nothing_is_fetched, words, dry, monkeypatch) -> None:
    more = ("--set", "epochs=-3") if words[0] == "run" else ("--preset", "papre")
    done = medbench(*words, *more, *dry)
    wrong = "epochs" if words[0] == "run" else "unknown preset 'papre'"
    said = done.out + done.err
    assert all(text in said for text in (wrong, "data set 'aptos'", "the weights of dino ", "the weights of sam ")), (
        said
    )
    assert "0 to run" in said
