"""What the shell completes, asked for as bash does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medbench.cli import complete


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("show toy-v", ["toy-vit"]),
        ("show wacv", ["wacv2024"]),
        ("show nearest", ["nearest-mean"]),
        ("weights download rad-d", ["rad-dino"]),
        ("data check acr", ["acrima"]),
        ("data check toy,acr", ["toy,acrima"]),
        ("compare toy-v", ["toy-vit"]),
        ("compare toy-vit/linear-p", ["toy-vit/linear-probe"]),
        ("compare toy-vit toy-cnn --dataset toy,toy-b", ["toy,toy-binary"]),
        ("table wacv2024/table1", ["wacv2024/table1"]),
        ("figure wacv2024/figure4", ["wacv2024/figure4"]),
        ("doctor mo", ["models"]),
        ("doc", ["doctor"]),
        ("show nothing-like-it", []),
    ],
)
def test_names_are_completed(medbench, monkeypatch: pytest.MonkeyPatch, words: str, expected: list[str]) -> None:
    monkeypatch.setenv("_MEDBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"medbench {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert medbench().out.split() == expected


def test_a_comma_list_has_no_name_twice() -> None:
    assert complete.models("toy-vit,toy-") == ["toy-vit,toy-clip", "toy-vit,toy-cnn"]
    assert complete.protocols("kn") == ["knn"]
    assert complete.papers("wacv") == ["wacv2024"]


def test_completion_imports_nothing_heavy() -> None:
    code = (
        "import sys; from medbench.cli import complete as c; "
        "c.models(''), c.cards(''), c.rows('a/'), c.tables(''), c.figures(''), c.parts(''); "
        "print({'torch', 'pandas'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
