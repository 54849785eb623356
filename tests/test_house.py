"""Guards: what no change may undo without anyone noticing."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medbench import cards
from medbench.cards import find

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bench" / "medbench"
CARD_FOLDERS = ("model_zoo", "datasets", "protocols", "results")
HEAVY = ("torch", "pandas", "torchvision", "timm", "sklearn", "skimage", "scipy", "matplotlib")
LEAVES = (
    "errors",
    "files",
    "fetch",
    "paths",
    "progress",
    "seeding",
    "hashes",
    "locks",
    "cards",
    "records",
    "metrics",
    "stats",
)
FLOW = ("data", "models", "features", "training", "protocols", "runs")
"""Data flows one way: a room imports from the leaves and from the rooms before it."""


def python(code: str, folder: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **more}
    environment.pop("PYTHONPATH", None)
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("folder", CARD_FOLDERS)
def test_no_python_beside_cards(folder: str) -> None:
    # a folder `datasets` that Python takes for a package hides Hugging Face's of that name
    assert not list((ROOT / folder).rglob("*.py"))


def test_hugging_face_datasets_is_not_shadowed(tmp_path: Path) -> None:
    if importlib.util.find_spec("datasets") is not None and importlib.util.find_spec("datasets").origin:  # type: ignore[union-attr]
        done = python("import datasets; datasets.load_dataset")
    else:  # not installed: from another folder, ours must not pass for it
        done = python("import importlib.util as u, sys; sys.exit(u.find_spec('datasets') is not None)", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    ["", "--help", "--version", "ls models", "ls datasets", "ls protocols", "ls runs", "show toy", "validate datasets",
     "run --help", "data --help", "status"],
)  # fmt: skip
def test_light_commands_import_nothing_heavy(words: str) -> None:
    code = (
        "import sys, medbench, medbench.cli\n"
        f"words = {words.split()!r}\n"
        "status = medbench.cli.main(words) if words else 0\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(str(heavy) if heavy else status)"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Rooms that a module imports, at its top or inside a function; those for types alone do not count."""
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("medbench.")}


def allowed(room: str) -> set[str] | None:
    """Rooms that `room` may import from; None: all (the command line and the package itself, on top)."""
    if room in ("cli", "__init__", "__main__"):
        return None
    if room in LEAVES:
        return set(LEAVES)
    if room == "report":
        return {*LEAVES, "report"}
    later = {"report"} if room == "runs" else set()  # a run renews the tables of what it has run
    return {*LEAVES, *FLOW[: FLOW.index(room) + 1], *later}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_one_way(path: Path) -> None:
    may = allowed(room_of(path))
    found = imported(ast.parse(path.read_text(encoding="utf-8"))) & {*LEAVES, *FLOW, "report", "cli"}
    assert may is None or found <= may, f"{path} imports from {sorted(found - may)}"


def test_the_import_guard_sees_an_import_the_wrong_way() -> None:
    tree = ast.parse("def f():\n    from medbench.cli import main\n    import medbench.runs.plan")
    assert imported(tree) == {"cli", "runs"}
    assert not imported(ast.parse("if TYPE_CHECKING:\n    from medbench.runs import run"))


def test_every_room_is_known() -> None:
    rooms = {room_of(path) for path in modules()}
    assert rooms <= {*LEAVES, *FLOW, "report", "cli", "__init__", "__main__"}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 320


def shipped() -> list[tuple[str, Path]]:
    folders = {"models": "model_zoo", "datasets": "datasets", "protocols": "protocols", "papers": "results/published"}
    return [(kind, path) for kind, folder in folders.items() for path in sorted((ROOT / folder).glob("*.yaml"))]


@pytest.mark.parametrize(("kind", "path"), shipped(), ids=lambda v: v.stem if isinstance(v, Path) else v)
def test_every_card_loads(kind: str, path: Path) -> None:
    loaders = {
        "models": cards.find_model,
        "datasets": cards.find_dataset,
        "protocols": cards.find_protocol,
        "papers": cards.find_paper,
    }
    card = loaders[kind](str(path))
    assert card.name == path.stem
    assert card.title, "a card that is listed needs a title"


def test_there_are_cards_of_every_kind() -> None:
    assert {kind for kind, _ in shipped()} == set(find.SCHEMAS)


def test_no_yml_beside_yaml() -> None:
    # only *.yaml is looked for and shipped
    assert not [path for folder in CARD_FOLDERS for path in (ROOT / folder).rglob("*.yml")]
