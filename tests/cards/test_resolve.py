"""Settings: the layers in their order, and a clear word on each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench import cards
from medbench.cards import ProtocolCard, Settings, find_protocol
from medbench.cards.load import read_yaml
from medbench.cards.recipes import KINDS, Knn, LinearFrozen
from medbench.cards.resolve import fitting, native, parse_changes, resolve
from medbench.errors import CardError, MedbenchError

from ..data.made import INPUTS, model_card, own

CARD = ProtocolCard.model_validate(
    {
        "name": "p",
        "kind": "linear-frozen",
        "defaults": {"epochs": 10, "batch_size": 8, "clip": 2.0, "augment": {"hue": 0.3}},
        "presets": {"paper": {}, "fixed": {"batch_size": 16, "clip": 3.0}},
        "datasets": {"aptos": {"clip": 4.0}},
    }
)


def test_layers_go_defaults_preset_dataset_changes() -> None:
    found = resolve(CARD, "fixed", "aptos", {"views": 3})
    assert isinstance(found, LinearFrozen)
    assert (found.epochs, found.batch_size, found.clip, found.views) == (10, 16, 4.0, 3)
    assert resolve(CARD, "paper", "other", {}).clip == 2.0


def test_nested_fields_are_changed_one_at_a_time() -> None:
    found = resolve(CARD, "paper", "x", {"augment.jitter": 0.0})
    assert (found.augment.jitter, found.augment.hue, found.augment.brightness) == (0.0, 0.3, 0.2)


def test_values_are_read_as_they_look() -> None:
    words = ["epochs=5", "learning_rates=[1e-4, 0.001]", "plateau=false", "k=auto", "split=null"]
    assert parse_changes(words) == {
        "epochs": 5,
        "learning_rates": [1e-4, 0.001],  # YAML 1.1 would take 1e-4 for a text, and the record would show it
        "plateau": False,
        "k": "auto",
        "split": None,
    }
    found = resolve(CARD, "paper", "x", parse_changes(words[:3]))
    assert found.learning_rates == [1e-4, 1e-3]


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-03", "1.e-3", "1.0e-3", "10e-4"])
def test_a_number_with_an_exponent_is_a_number(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(f"learning_rates: [{text}]")
    for found in (parse_changes([f"learning_rates=[{text}]"]), read_yaml(tmp_path / "card.yaml")):
        assert found == {"learning_rates": [1e-3]}, "a record and a paper's cell hold the same value"
        assert type(found["learning_rates"][0]) is float


@pytest.mark.parametrize("text", ["12345e67", "1e234567", "1e", "e5", "0x1e5g", "v1e3", "'1e-3'"])
def test_a_text_stays_a_text(text: str) -> None:
    assert parse_changes([f"pooled={text}"]) == {"pooled": text.strip("'")}


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(MedbenchError, match="cannot be read"):
        parse_changes(["augment={hue: 0, hue: 1}"])


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"epoch": 5}, "unknown field 'epoch'", "epochs"),
        ({"epochs": "many"}, "epochs='many'", "medbench show p"),
        ({"epochs": 0}, "epochs=0", "medbench show p"),
        ({"augment.hu": 1}, "unknown field 'augment.hu'", "did you mean: augment.hue?"),
        ({"zzz": 1}, "unknown field 'zzz'", "medbench show p"),
    ],
)
def test_a_wrong_change_names_the_field(changes: dict, message: str, hint: str) -> None:
    with pytest.raises(CardError) as caught:
        resolve(CARD, "paper", "x", changes)
    assert message in caught.value.message
    assert "--set" in caught.value.message
    assert hint in caught.value.hint


def test_a_wrong_number_in_the_card_is_the_cards_fault() -> None:
    broken = CARD.model_copy(update={"defaults": {"epochs": -1}})
    with pytest.raises(CardError, match="protocol card p"):
        resolve(broken, "paper", "x", {})


def test_unknown_presets_name_the_known_ones() -> None:
    with pytest.raises(CardError) as caught:
        resolve(CARD, "papers", "x", {})
    assert "did you mean: paper" in caught.value.hint


@pytest.mark.parametrize("word", ["epochs", "=5", "a=[1"])
def test_words_that_are_no_assignment(word: str) -> None:
    with pytest.raises(MedbenchError, match="--set"):
        parse_changes([word])


@pytest.mark.parametrize("name", ["linear-frozen", "knn"])
@pytest.mark.parametrize("preset", ["paper", "wacv-code", "fixed"])
@pytest.mark.parametrize("dataset", ["aptos", "ddsm", "isic2019", "chexpert", "toy"])
def test_every_shipped_protocol_resolves(name: str, preset: str, dataset: str) -> None:
    resolve(find_protocol(name), preset, dataset, {})


def test_presets_differ_in_the_quirks_they_are_for() -> None:
    paper, code, fixed = (
        resolve(find_protocol("linear-frozen"), p, "aptos", {}) for p in ("paper", "wacv-code", "fixed")
    )
    assert isinstance(paper, LinearFrozen)
    assert isinstance(code, LinearFrozen)
    assert (paper.plateau, paper.warmup_overshoot, paper.round_metric, paper.val_drop, paper.val_half) == (
        True,
        False,
        None,
        False,
        False,
    )
    assert (code.plateau, code.warmup_overshoot, code.round_metric, code.val_drop, code.val_half) == (
        False,
        True,
        3,
        True,
        True,
    )
    assert (paper.channel_rule, code.channel_rule, fixed.channel_rule) == ("slice", "slice", "sum")


def test_with_several_protocols_each_takes_the_changes_of_its_own_fields() -> None:
    changes = {"views": 4, "augment.hue": 0, "k": 5, "split": "paper", "epoch": 3}
    both = ["linear-frozen", "knn"]
    assert set(fitting("linear-frozen", changes, both)) == {"views", "augment.hue", "split", "epoch"}
    assert set(fitting("knn", changes, both)) == {"k", "split", "epoch"}
    assert fitting("knn", {"views": 4}, ["knn"]) == {"views": 4}, "resolve must see it and name it"


@pytest.mark.parametrize("kind", INPUTS)
def test_native_takes_the_whole_way_from_the_card(kind: str) -> None:
    asked = LinearFrozen(transform="native", draft=True, views=3, fill=[9], foreground=True, image_size=96)
    found = native(asked, model_card(kind))
    assert isinstance(found, LinearFrozen)
    assert native(found, model_card(kind)) == found
    assert LinearFrozen.model_validate(found.model_dump()) == found
    told = INPUTS[kind]
    assert (found.fit, found.interpolation) == (told["fit"], told["interpolation"])
    assert found.foreground is told.get("foreground", False)
    assert found.resize_ratio == {"retfound": 1 / 0.875}.get(kind, 1.0)
    assert found.fill == {"sam": [124, 116, 104]}.get(kind)
    assert (found.normalise, found.draft) == ("model", False)
    changed = {"fit", "interpolation", "foreground", "resize_ratio", "fill", "normalise", "draft"}
    assert found.model_dump(exclude=changed) == asked.model_dump(exclude=changed)
    assert asked.draft, "the settings given are not changed"


def test_padding_leaves_nothing_to_crop() -> None:
    assert own("flair", crop=0.875).resize_ratio == own("sam", crop=0.875).resize_ratio == 1.0


@pytest.mark.parametrize("kind", INPUTS)
def test_a_protocols_own_preprocessing_is_left_alone(kind: str) -> None:
    settings = Knn(fit="shortest", draft=True, fill=[1, 2, 3], foreground=True)
    assert native(settings, model_card(kind)) is settings


def test_protocols_agree_on_what_precedes_the_network() -> None:
    for preset in ("paper", "wacv-code", "fixed"):
        expected = Settings(channel_rule="sum", draft=True) if preset == "fixed" else Settings()
        for name in cards.names("protocols"):
            protocol = cards.find_protocol(name)
            said = protocol.defaults | protocol.presets.get(preset, {})
            trains = (
                {"image_size", "resize_ratio", "fit", "normalise", "interpolation"}
                if KINDS[protocol.kind].pairs
                else set()
            )  # its model takes other sizes afterwards
            for field, value in expected.model_dump(exclude={"precision", *trains}).items():
                assert said.get(field, value) == value, f"{name}, {preset}: {field}"
