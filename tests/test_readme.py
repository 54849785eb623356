"""The README does what it says: its commands run and its cards load, on toy data in the places it names."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from medbench import cards
from medbench.cli import main
from medbench.data.layouts import toy

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def write_clinic(folder: Path) -> None:
    """Put 120 images of a toy set where the README's user has data of their own: a CSV with other words in it."""
    drawn = toy.ensure(cards.find_dataset("toy-binary"))
    lines = (drawn / "labels.csv").read_text().splitlines()[:121]
    folder.mkdir()
    head = lines[0].split(",")
    label = head.index("label")
    written = [lines[0]]
    for line in lines[1:]:
        cells = line.split(",")
        cells[label] = {"0": "none", "1": "lesion"}.get(cells[label], cells[label])
        image = folder / cells[head.index("image")]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes((drawn / cells[head.index("image")]).read_bytes())
        written.append(",".join(cells))
    (folder / "labels.csv").write_text("\n".join(written) + "\n")


def write_weights(path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    path.parent.mkdir()
    save_file(timm.create_model("resnet18", num_classes=2).state_dict(), path)


def test_every_command_and_card_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_clinic(tmp_path / "clinic")
    write_weights(tmp_path / "weights" / "clinic.safetensors")
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "results" / "runs"))
    for block in blocks("yaml"):
        place = re.match(r"# (\S+\.yaml)\n", block)
        assert place, "a card block begins with its path"
        (tmp_path / place[1]).parent.mkdir(exist_ok=True)
        (tmp_path / place[1]).write_text(block)
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks("console") for line in block.splitlines()]
    assert len(commands) > 10
    for line in commands:
        assert line.startswith("$ medbench "), line
        status = main(shlex.split(line)[2:])
        assert status == 0, f"{line}\n{capsys.readouterr().err}"


def test_the_last_run_warns_of_contamination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medbench.cards.model import seen

    for block in blocks("yaml"):
        name = block.split("\n")[0].removeprefix("# ")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(block)
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    assert seen(cards.find_model("clinic-resnet"), cards.find_dataset("clinic")) == ["clinic"]


def test_the_python_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (example,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    (record,) = names["records"]  # type: ignore[misc]
    assert record.unit.model == "toy-cnn"
    assert names["encoder"].dim > 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_targets_files_and_links_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)(?=`| {2,}#|$)", text, flags=re.M):
        assert f"\n{target}: " in makefile, target
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / link).exists(), link


def test_variables_in_the_table_are_those_in_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py"))
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", README, flags=re.M))
    assert set(re.findall(r"MEDBENCH_[A-Z]+", code)) <= table
    assert all(name in code for name in table)


def test_list_of_cards_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("make_cards", ROOT / "docs" / "make_cards.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "cards.md").read_text(encoding="utf-8") == module.page(), "run: make docs"
