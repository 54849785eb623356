"""The recipes of containers copy what a build needs, install declared extras, and name a supported Python.

Nothing here builds an image: that needs Docker or Apptainer, and a network.
"""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "containers"
RECIPES = ("Dockerfile", "apptainer.def")
PLACE = "/opt/medbench"


def text(recipe: str) -> str:
    """Return a recipe, with continued lines joined."""
    return (FOLDER / recipe).read_text(encoding="utf-8").replace("\\\n", " ")


def copied(recipe: str) -> Iterator[tuple[str, str]]:
    """Yield each copied path, with its path below the folder in which the image installs the package."""
    if recipe == "Dockerfile":
        for line in re.findall(r"^COPY (.+)$", text(recipe), flags=re.M):
            *sources, target = shlex.split(line)
            yield from ((source, source if target == "./" else target) for source in sources)
    else:
        block = text(recipe).split("%files\n")[1].split("\n%")[0]
        for line in filter(None, map(str.strip, block.splitlines())):
            source, target = shlex.split(line)
            yield source, target.removeprefix(f"{PLACE}/")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_wheel_built_from_the_copied_files_is_that_of_the_checkout(recipe: str, tmp_path: Path) -> None:
    checkout = tmp_path / "image"
    for source, target in copied(recipe):
        assert (ROOT / source).exists(), source
        (checkout / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, checkout / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, checkout / target)
    names = []
    for place in (checkout, ROOT):
        out = tmp_path / f"wheel-{place.name}"
        build = ["-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(place)]
        done = subprocess.run([sys.executable, *build], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
            names.append(sorted(name for name in wheel.namelist() if "__pycache__" not in name))
    assert names[0] == names[1]
    assert "medbench/_cards/model_zoo/dinov2.yaml" in names[0]


def test_docker_gets_cards_and_code_and_nothing_else() -> None:
    """Images or tables of patients in `datasets/` must not reach an image."""
    cards = runpy.run_path(str(ROOT / "hatch_build.py"))["CARDS"]
    folders = {card.rpartition("/")[0] for card in cards}
    plain = {source for source, _ in copied("Dockerfile") if source not in folders}
    lines = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == plain | set(cards)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in Python 3.11")
@pytest.mark.parametrize("recipe", RECIPES)
def test_python_extras_and_pins_are_those_of_the_project(recipe: str) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (python,) = re.findall(r"^(?:FROM |From: )python:([\d.]+)-slim$", text(recipe), flags=re.M)
    assert SpecifierSet(project["requires-python"]).contains(python)
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]
    (extras,) = re.findall(r'"\.\[([a-z,]+)\]"', text(recipe))
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    installs = [line for line in re.split(r"\n|&&", text(recipe)) if "pip install" in line]
    assert installs
    assert all("constraint constraints.txt" in line for line in installs), "every install uses the pins"
