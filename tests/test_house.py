"""Guards: what no change may undo without anyone noticing."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from medbench.cards import find
from medbench.storage import paths

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bench" / "medbench"
CARD_FOLDERS = ("model_zoo", "datasets", "protocols", "results")
HEAVY = ("torch", "pandas", "torchvision", "timm", "sklearn", "skimage", "scipy", "matplotlib", "jinja2")
ROOMS = {
    "errors": "",
    "progress": "errors",
    "seeding": "",
    "storage": "errors progress",
    "cards": "errors storage",
    "metrics": "errors",
    "stats": "errors metrics seeding",
    "records": "errors progress stats storage",
    "papers": "errors cards metrics records storage",
    "data": "errors progress seeding storage cards",
    "models": "errors progress seeding storage cards data",
    "features": "errors progress seeding storage cards metrics data models",
    "training": "errors progress seeding storage cards metrics stats data models features",
    "protocols": "errors progress seeding storage cards metrics stats data models features training",
    "runs": "errors progress seeding storage cards metrics stats records papers data models features training "
    "protocols",
    "report": "errors progress seeding storage cards metrics stats records papers",
}
"""What each room may import. The rest (api, doctor, cli) may import all of these; CONTRIBUTING shows the same map."""
ON_TOP = ("api", "doctor", "cli", "__init__", "__main__")
ENTRIES = {"": 19, "protocols": 19, "report/figures": 19}
"""Most entries of a folder, without `__init__` and its like; 12 elsewhere."""
LINES, FUNCTION_LINES = 400, 40
LONG_FUNCTIONS: dict[str, str] = {}
"""Functions over the limit, each with the reason."""


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
    ["", "--help", "--version", "ls models", "ls datasets", "ls protocols", "ls runs", "show toy", "show card dataset",
     "validate datasets",
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


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").relative_to(PACKAGE.parent).parts).removesuffix(".__init__")


def imported(tree: ast.AST, known: Collection[str]) -> set[str]:
    """Modules of `known` that a module imports, anywhere in it and for types too; `from a import b` may be a.b."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part if part in known else node.module for part in parts}
    return found & set(known)


@functools.cache
def graph() -> dict[str, set[str]]:
    paths = {dotted(path): path for path in modules()}
    return {name: imported(ast.parse(path.read_text(encoding="utf-8")), paths) - {name} for name, path in paths.items()}


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def rooms_of(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, others in edges.items():
        found.setdefault(room_of(name), set()).update({room_of(other) for other in others} - {room_of(name)})
    return found


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return the names on one circle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_imports() -> None:
    edges = graph()
    assert not circle(edges)
    assert not circle(rooms_of(edges))


def test_a_circle_of_imports_is_found() -> None:
    edges = graph()
    files, locks = "medbench.storage.files", "medbench.storage.locks"
    assert {files, locks} <= set(circle({**edges, files: {*edges[files], locks}, locks: {*edges[locks], files}}))
    status, device = "medbench.records.status", "medbench.runs.device"
    back = {**edges, status: {*edges[status], device}}
    assert not circle(back), "no two files import each other"
    assert {"records", "runs"} <= set(circle(rooms_of(back)))
    code = "def f():\n    from medbench.storage import files\nif TYPE_CHECKING:\n    from medbench.cards import Card"
    assert imported(ast.parse(code), graph()) == {"medbench.storage.files", "medbench.cards"}


def test_rooms_import_one_way() -> None:
    found = rooms_of(graph())
    assert set(found) == {*ROOMS, *ON_TOP}
    for room, may in ROOMS.items():
        assert found[room] <= set(may.split()), f"{room} imports from {sorted(found[room] - set(may.split()))}"


@pytest.mark.parametrize(
    "folder", [PACKAGE, *(path.parent for path in sorted(PACKAGE.rglob("__init__.py"))[1:])], ids=str
)
def test_folders_stay_small(folder: Path) -> None:
    most = ENTRIES.get(folder.relative_to(PACKAGE).as_posix().removeprefix("."), 12)
    entries = [path.name for path in folder.iterdir() if not path.name.startswith("__") and path.suffix != ".typed"]
    assert len(entries) <= most, sorted(entries)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and f"{dotted(path)}.{node.name}" not in LONG_FUNCTIONS:
            assert length(node) <= FUNCTION_LINES, f"{node.name} has {length(node)} lines"


def length(function: ast.FunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def shipped() -> list[tuple[str, Path]]:
    folders = paths.CARD_FOLDERS
    return [(kind, path) for kind, folder in folders.items() for path in sorted((ROOT / folder).glob("*.yaml"))]


@pytest.mark.parametrize(("kind", "path"), shipped(), ids=lambda v: v.stem if isinstance(v, Path) else v)
def test_every_card_loads(kind: str, path: Path) -> None:
    card = find.load_file(find.SCHEMAS[kind], path)
    assert card.name == path.stem
    assert card.title, "a card that is listed needs a title"


def test_there_are_cards_of_every_kind() -> None:
    assert {kind for kind, _ in shipped()} == set(find.SCHEMAS)


def test_no_yml_beside_yaml() -> None:
    # only *.yaml is looked for and shipped
    assert not [path for folder in CARD_FOLDERS for path in (ROOT / folder).rglob("*.yml")]
