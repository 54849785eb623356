"""The README and the pages in docs/ do what they say: their commands run and their cards load, on toy data."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import typer
from click import Command
from PIL import Image, ImageChops, ImageStat

from medbench import cards
from medbench.cli import app, main
from medbench.data.layouts import toy

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
    ]
}
README = PAGES["README.md"]
EXAMPLE = ROOT / "docs" / "example"
PLANNED_ONLY = {"medbench run --model dinov2 --protocol linear-frozen --dataset aptos": "--weights random --dry-run"}
"""Commands that need a large download: tests run them on a synthetic twin of the data, up to the plan."""


def blocks(language: str, text: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.M | re.S)


def commands_of(text: str) -> list[str]:
    lines = [line for block in blocks("console", text) for line in block.splitlines()]
    assert all(line.startswith("$ medbench ") for line in lines), lines
    return [line.removeprefix("$ ") for line in lines]


def card_files() -> dict[str, str]:
    """Return path -> text of the cards that the pages show; each begins with its path."""
    found = [re.match(r"# (\S+\.yaml)\n", block) for text in PAGES.values() for block in blocks("yaml", text)]
    assert all(found)
    return {match[1]: match.string for match in found if match}


def write_cards(folder: Path) -> None:
    for name, text in card_files().items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(text)


def write_clinic(folder: Path) -> None:
    """Put 120 images of a toy set where a reader has data of their own: a CSV with other words in it."""
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


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a reader's folder, which is the current one: data, weights and cards where the pages name them."""
    write_clinic(tmp_path / "clinic")
    write_weights(tmp_path / "weights" / "clinic.safetensors")
    write_cards(tmp_path)
    monkeypatch.setenv("MEDBENCH_RUNS", str(tmp_path / "results" / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if commands_of(text)])
def test_every_command_works(
    page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in commands_of(PAGES[page]):
        if line in PLANNED_ONLY:
            assert main(shlex.split("data synth aptos --to data/aptos")) == 0
            monkeypatch.setenv("MEDBENCH_DATA", str(workplace / "data"))
        status = main(shlex.split(f"{line} {PLANNED_ONLY.get(line, '')}")[1:])
        assert status == 0, f"{line}\n{capsys.readouterr().err}"


def test_there_are_commands_on_the_pages() -> None:
    counts = {page: len(commands_of(text)) for page, text in PAGES.items()}
    assert sum(counts.values()) > 20
    assert set(PLANNED_ONLY) <= set(commands_of(README))


def below(command: Command) -> dict[str, Command]:
    """Return the commands of a group by name; none for a plain command."""
    return getattr(command, "commands", {})


@functools.cache
def options_of(command: Command) -> set[str]:
    """Return the options that the help of a command, or of one below it, shows."""
    shown = [option for option in command.params if not getattr(option, "hidden", False)]
    found = {name for option in shown for name in (*option.opts, *option.secondary_opts)}
    return found.union(*map(options_of, below(command).values()))


def test_commands_in_the_text_exist() -> None:
    """Also those in sentences and tables, which are too large to run, or lack an argument."""
    whole: Command = typer.main.get_command(app)
    for page, text in PAGES.items():
        spans = re.findall(r"`(medbench [a-z][^`]*|--[^`]+)`", re.sub(r"\s+", " ", text))
        for span in [*spans, *commands_of(text)]:
            command = whole
            words = span.removeprefix("medbench ").split()
            while words and words[0] in below(command):
                command = below(command)[words.pop(0)]
            assert span.startswith("--") or not below(command) or not words, f"{page}: {span}"
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert options <= options_of(command), f"{page}: {span}"


def test_the_models_run_warns_of_contamination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medbench.cards.model import seen

    write_cards(tmp_path)
    monkeypatch.setenv("MEDBENCH_CARDS", str(tmp_path))
    assert seen(cards.find_model("clinic-resnet"), cards.find_dataset("clinic")) == ["clinic"]


def test_the_python_examples_run(workplace: Path) -> None:
    names: dict[str, object] = {}
    examples = {page: block for page, text in PAGES.items() for block in blocks("python", text)}
    for page, example in examples.items():
        exec(compile(example, page, "exec"), names)
    assert {"README.md", "docs/models.md"} <= set(examples)
    (record,) = names["records"]  # type: ignore[misc]
    assert record.unit.model == "toy-cnn"
    assert names["encoder"].dim > 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("page", [*PAGES, "docs/example/README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_targets_files_and_links_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)(?=`| {2,}#|$)", text, flags=re.M):
        assert f"\n{target}: " in makefile, target
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert ((ROOT / page).parent / link).exists(), link


def test_the_readme_stays_short() -> None:
    sections = re.split(r"^## ", README, flags=re.M)
    assert max(len(section.splitlines()) for section in sections) <= 45, "no section is longer than a screen"
    elsewhere = {"README.md", "docs/benchmarks-cpu.md"}
    assert all(page in README for page in PAGES.keys() - elsewhere)
    assert "(trust.md)" in PAGES["docs/results.md"]


def test_variables_in_the_table_are_those_in_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py"))
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGES["docs/setup.md"], flags=re.M))
    assert set(re.findall(r"MEDBENCH_[A-Z]+", code)) <= table
    assert all(name in code for name in table)


def script(name: str) -> ModuleType:
    """Return a program of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_list_of_cards_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, make in script("make_cards").PAGES.items():
        assert PAGES[f"docs/{name}"] == make(), "run: make docs"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Links and anchors are checked: mkdocs.yml makes each warning an error."""
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "-f", ROOT / "mkdocs.yml", "-d", tmp_path / "site"]
    done = subprocess.run(build, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "tutorials" / "own-data.html").is_file()
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "site").rglob("*.html")]
    loaded = {
        url for page in pages for url in re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)', page)
    }
    assert not loaded, "a page that loads something from elsewhere is not whole without a network"


def test_troubleshooting_names_messages_that_there_are() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    said = re.findall(r"^\| `([^`]+)` \|", PAGES["docs/troubleshooting.md"], flags=re.M)
    assert len(said) > 8
    assert [text for text in said if text not in code] == []


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of docs/example without its picture; it is the current folder."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("figures"))
    monkeypatch.delenv("MEDBENCH_RUNS")
    monkeypatch.chdir(folder)
    return folder


def test_the_example_draws_the_pages_pictures(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in commands_of((EXAMPLE / "README.md").read_text(encoding="utf-8")):
        status = main(shlex.split(line)[1:])
        assert status == 0, f"{line}\n{capsys.readouterr().err}"
    assert_same(example, "results/figures/example/figure1.png")
    assert_same(example, "results/figures/dataset/idrid-small/few-shot.png")
    assert "docs/example/results/figures/example/figure1.png" in README
    assert "example/results/figures/dataset/idrid-small/few-shot.png" in PAGES["docs/vision-language.md"]


def assert_same(example: Path, picture: str) -> None:
    """Hold a picture that was drawn anew, and the data behind it, against the committed ones."""
    drawn, committed = (folder / picture for folder in (example, EXAMPLE))
    ours, theirs = (pd.read_csv(picture.with_suffix(".csv")) for picture in (drawn, committed))
    pd.testing.assert_frame_equal(ours, theirs)
    with Image.open(drawn) as new, Image.open(committed) as old:
        if new.info["Software"] == old.info["Software"]:  # another version of matplotlib may set letters differently
            difference = ImageChops.difference(new.convert("RGB"), old.convert("RGB"))
            assert ImageStat.Stat(difference).mean == pytest.approx([0, 0, 0], abs=0.1), "run: make docs"


def test_the_readmes_table_is_the_examples(example: Path) -> None:
    made = script("make_example")
    assert made.TABLE.findall(README) == [made.table()], "run: make docs"
    command = "medbench table example/table1 --intervals --format md"
    assert f"`{command}`" in README
