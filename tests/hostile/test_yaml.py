"""Cards and values that YAML cannot make anything of, or that have no end."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.hostile.conftest import CARD, knn

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
CARDS = {
    "int abc": ("channels: !!int abc\n", ":1: not YAML"),
    "float x": ("mean: [!!float x]\n", ":1: not YAML"),
    "bool maybe": ("verified: !!bool maybe\n", ":1: not YAML"),
    "timestamp x": ("title: !!timestamp x\nmetricc: auroc\n", "metricc: unknown field"),
    "a date that is none": ("channels: 2020-13-45\n", ":1: channels: "),
    "5000 digits": (f"channels: {'9' * 5000}\n", ":1: not YAML"),
    "a list as key": ("? [a, b]\n: 1\n", ":1: not YAML: a key must be one text"),
    "a mapping as key": ("? {a: b}\n: 1\n", ":1: not YAML: a key must be one text"),
    "10,000 lists": ("links: " + "[" * 10_000 + "]" * 10_000 + "\n", "nested brackets"),
    "3,000 mappings": ("links: " + "{a: " * 3000 + "1" + "}" * 3000 + "\n", "nested brackets"),
    "not closed": ("links: " + "[" * 10_000, "nested brackets"),
    "aliases of aliases": (LAUGHS, "200,000 values"),
    "an unknown alias": ("title: *.png\n", ":1: not YAML: "),
    "in itself": ("links: &a [*a]\n", "200,000 values"),
    "a million fields": ("".join(f"f{n}: 1\n" for n in range(1_000_000)), "it is longer than"),
    "many fields": ("".join(f"f{n}: 1\n" for n in range(3_000)), "more errors"),
    "bytes": ("title: !!binary aGVsbG8=\n", "could not determine a constructor"),
    "a set": ("links: !!set {a, b}\n", "could not determine a constructor"),
    "an escape": ('title: "\\e[31mred"\n', r"\u001b[31mred' contains a control character"),
    "nan": ("mean: [.nan, 0, 0]\n", "not a finite number"),
    "infinity": ("std: [.inf, 1, 1]\n", "not a finite number"),
    "1e999": ("std: [1e999, 1, 1]\n", "std.0: "),
    "a deviation below 0": ("std: [-1, 1, 1]\n", "std.0: Input should be greater than 0"),
}


@pytest.mark.parametrize("case", CARDS)
@pytest.mark.parametrize("command", ["validate", "run"])
def test_cards_are_refused(place: Path, refused, case: str, command: str) -> None:
    text, words = CARDS[case]
    (place / "own.yaml").write_text(text + CARD)
    assert words in refused(*(knn("own.yaml") if command == "run" else ("validate", "own.yaml")))


@pytest.mark.parametrize("kind", ["model_zoo", "protocols", "results"])
def test_deep_cards_of_every_kind(place: Path, refused, kind: str) -> None:
    (place / kind).mkdir()
    (place / kind / "x.yaml").write_text("rows: " + "[" * 10_000 + "]" * 10_000)
    assert "nested brackets" in refused("validate", f"{kind}/x.yaml")


def test_a_name_that_steers_the_terminal(place: Path, refused) -> None:
    (place / "model_zoo").mkdir()
    (place / "model_zoo" / "\x1b[31m.yaml").write_text("arch: resnet18\n")
    assert r"model_zoo/\u001b[31m.yaml" in refused("ls", "models")


def test_a_card_that_is_a_pipe_or_a_device(place: Path, refused) -> None:
    (place / "zero.yaml").symlink_to("/dev/zero")
    assert "no card file" in refused("validate", "zero.yaml")


@pytest.mark.parametrize(
    "change",
    [
        "views=1000000000", "views=1e9", "learning_rates=[.inf]", "weight_decay=.inf", "clip=.inf", "clip=1e999",
        "augment.brightness=.inf", "augment.brightness=.nan", "resize_ratio=.inf", "epochs=1000000000",
        "image_size=1000000000", "batch_size=99999999999999999999", "views=!!int x", "clip=" + "[" * 3000,
        "clip={[1]: 2}", "clip=!!binary aGVsbG8=", "a.b=1", ".=1", "clip.x=1",
    ],
)  # fmt: skip
def test_settings_are_refused(refused, change: str) -> None:
    words = ("run", "--model", "toy-cnn", "--protocol", "linear-frozen", "--dataset", "toy-binary", "--set", change)
    assert "--set" in refused(*words, "--dry-run")


@pytest.mark.parametrize("change", ["C=[.inf]", "C=[1e999]", "C=[0]", "max_iter=1e12"])
def test_settings_of_the_probe(refused, change: str) -> None:
    words = ("run", "--model", "toy-cnn", "--protocol", "linear-probe", "--dataset", "toy-binary", "--set", change)
    assert "--set" in refused(*words, "--dry-run")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--seeds", "1000000000"), "at most 1,000 seeds"),
        (("--seeds", "99999999999999999999999"), "at most 1,000 seeds"),
        (("--seeds", "0,99999999999999999999999"), "each below 2^32"),
        (("--seeds", "9" * 5000), "not a number"),
        (("--out", "x" * 5000), "too long"),
        (("--runs", "x/" * 5000), "too long"),
        (("--model", "toy-cnn\x1b[31m"), r"toy-cnn\u001b[31m"),
        (("--modl\x1b[31m",), r"--modl\u001b[31m"),
        (("--dataset", "/"), "belongs to the operating system"),
        (("--dataset", "/proc"), "belongs to the operating system"),
        (("--dataset", "/proc/self"), "belongs to the operating system"),
        (("--dataset", "x" * 5000 + ".csv"), "too long"),
        (("--weights", "x" * 5000), "too long"),
        (("--data-root", "x" * 5000), ""),
    ],
)
def test_words_of_the_command_line(place: Path, refused, more: tuple[str, ...], words: str) -> None:
    assert words in refused(*knn("own.yaml"), *more)
