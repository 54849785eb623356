"""The wheel: every card inside, nothing else from those folders, and it works from another folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = ("model_zoo", "datasets", "protocols", "results/published", "results/studies")
PATTERNS = (
    *(f"{folder}/*.yaml" for folder in FOLDERS),
    "datasets/catalogues/*.yaml",
    "datasets/splits/*.csv",
    "datasets/prompts/*.yaml",
)


def left_behind(folder: str, names: list[str]) -> set[str]:
    """Names that a copy of the checkout does without: caches, and what git ignores below results/."""
    ignored = {"runs", "tables", "figures"} if Path(folder) == ROOT / "results" else set()
    return ignored | {name for name in names if name in (".git", ".venv", "__pycache__", "dist") or "_cache" in name}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build source archive and wheel, each from a checkout (as `pip install .` does) with strays beside the cards."""
    checkout = tmp_path_factory.mktemp("checkout") / "medbench"
    shutil.copytree(ROOT, checkout, ignore=left_behind)
    strays = ("datasets/data/secret.png", "datasets/notes.txt", "results/runs/toy/record.json", "model_zoo/big.pth")
    for stray in strays:
        (checkout / stray).parent.mkdir(parents=True, exist_ok=True)
        (checkout / stray).write_text("not to be shipped")
    out = tmp_path_factory.mktemp("dist")
    build = ["-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", str(out)]
    command = [sys.executable, *build, str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def cards() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern)}


def test_wheel_holds_every_card_and_nothing_else_from_their_folders(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    inside = {name.removeprefix("medbench/_cards/") for name in names if name.startswith("medbench/_cards/")}
    assert inside == cards()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"medbench"}
    package = ROOT / "bench" / "medbench"
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {f"medbench/{path.relative_to(package).as_posix()}" for path in files} <= set(names)
    assert {"medbench/py.typed", "medbench/storage/templates/page.html"} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_source_archive_holds_what_a_build_needs_and_no_strays(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert cards() <= names
    assert {"pyproject.toml", "hatch_build.py", "constraints.txt", "Makefile", "README.md", "LICENSE"} <= names
    others = [name for name in names if not name.startswith("docs/")]  # where a picture belongs
    assert not [n for n in others if n.endswith((".png", ".pth", "notes.txt")) or n.startswith("results/runs")]


def test_wheel_works_from_another_folder(built: Path, tmp_path: Path) -> None:
    """Installed into a new environment that sees this one's libraries but not this checkout."""
    place = tmp_path / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    python, wheel = place / "bin" / "python", next(built.glob("*.whl"))
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def run(*words: str) -> str:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(words, cwd=elsewhere, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    site = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # a plain path line: the .pth files over there, the editable install's among them, are not followed
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    package = run(str(python), "-c", "import medbench; print(medbench.__file__)")
    assert Path(package.strip()).is_relative_to(place), "the wheel's package, not the checkout's"
    medbench = str(place / "bin" / "medbench")
    for kind, folder in (("models", "model_zoo"), ("datasets", "datasets"), ("protocols", "protocols")):
        listed = run(medbench, "ls", kind)
        for path in (ROOT / folder).glob("*.yaml"):
            assert f"\n{path.stem} " in listed
    assert "_cards" in run(medbench, "show", "toy")
    plan = run(medbench, "run", "--model", "toy-vit", "--protocol", "knn", "--dataset", "toy", "--dry-run")
    assert "1 job, 1 unit, 0 done, 1 to do" in plan


def test_entry_point() -> None:
    (script,) = [e for e in metadata.entry_points(group="console_scripts") if e.name == "medbench"]
    assert script.value == "medbench.cli:main"


def pins() -> dict[str, str]:
    """The versions of constraints.txt that hold for this Python."""
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate():
                (clause,) = need.specifier
                assert clause.operator == "==", line
                assert canonicalize_name(need.name) not in found, f"{need.name} is pinned twice"
                found[canonicalize_name(need.name)] = clause.version
    return found


def declared() -> list[Requirement]:
    """The dependencies that pyproject.toml lists, those of the `dev` group included."""
    import tomllib

    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [Requirement(t) for t in (*content["project"]["dependencies"], *content["dependency-groups"]["dev"])]


def needed() -> Iterator[Requirement]:
    """Everything that installing the project and its `dev` group brings, as the installed packages say it."""
    waiting = declared()
    seen: set[tuple[str, str]] = set()
    while waiting:
        need = waiting.pop()
        yield need
        for extra in ("", *need.extras):
            if (need.name, extra) not in seen:
                seen.add((need.name, extra))
                more = (Requirement(text) for text in metadata.distribution(need.name).requires or [])
                waiting += [r for r in more if r.marker is None or r.marker.evaluate({"extra": extra})]


reads_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in Python 3.11")


@reads_toml
def test_every_dependency_names_its_lowest_version() -> None:
    """`make lowest` installs these versions; without a bound it would install the first release ever made."""
    for need in declared():
        operators = {clause.operator for clause in need.specifier}
        assert {">="} <= operators <= {">=", "<"}, f"{need}: write {need.name}>=VERSION"


@reads_toml
def test_constraints_pin_all_that_an_install_brings() -> None:
    known = pins()
    for need in needed():
        version = known.get(canonicalize_name(need.name))
        assert version is not None, f"{need.name} is not pinned: see the head of constraints.txt"
        assert need.specifier.contains(version, prereleases=True), f"{need} against its pin {version}"


@reads_toml
def test_the_setup_page_names_every_extra() -> None:
    import tomllib

    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    section = (ROOT / "docs" / "setup.md").read_text(encoding="utf-8").split("## Extras\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| \S", section, flags=re.M)
    assert sorted(rows) == sorted(content["project"]["optional-dependencies"])
