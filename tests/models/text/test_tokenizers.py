"""Token ids against those of the official tokenizers; wrong vocabularies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

from medbench.cards.model import Tokenizer as Rule
from medbench.errors import WeightsError
from medbench.models.text.tokenizers import Tokenizer
from medbench.models.weights.locate import WeightsFile

FILE = {"file": "vocab.txt"}
CASED, UNCASED = "bert_cased_recovered.txt", "bert_uncased.txt"
FAMILIES: dict[str, tuple[dict[str, Any], str | None]] = {
    "flair_ids": ({"kind": "bert", "source": FILE, "padding": "longest", "tokens": 28996}, CASED),
    "cased_ids_wrong_for_flair": ({"kind": "bert", "source": FILE, "padding": "longest", "lower": False}, CASED),
    "retfiner_ids": ({"kind": "bert", "source": FILE, "context": 30, "tokens": 30522}, UNCASED),
    "bert_uncased_256_ids": ({"kind": "bert", "source": FILE, "context": 256, "clean": "whitespace"}, UNCASED),
    "clip_ids_77": ({"kind": "clip"}, None),
    "coca_ids_76": ({"kind": "clip", "context": 76}, None),
}
"""Array of official ids -> the card's rule and the vocabulary."""
SMALL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "##s", "naive"]


def made(path: Path, **rule: Any) -> Tokenizer:
    return Tokenizer(Rule.model_validate({"kind": "bert", "source": FILE, **rule}), WeightsFile(path, "", "file"))


def vocabulary(tmp_path: Path, tokens: list[str] = SMALL) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return path


@pytest.mark.parametrize("array", FAMILIES)
def test_ids_are_those_of_the_official_tokenizer(array: str, shared: Path) -> None:
    folder = shared / "parity_vl" / "tokens"
    golden, texts = np.load(folder / "golden.npz"), json.loads((folder / "manifest.json").read_text())["texts"]
    rule, name = FAMILIES[array]
    file = WeightsFile(shared / "vocab" / name, "", "file") if name else None
    found = Tokenizer(Rule.model_validate(rule), file)(texts)
    np.testing.assert_array_equal(found.ids, golden[array])
    assert found.ids.dtype == found.mask.dtype == torch.int64
    if (mask := array.replace("ids", "mask")) in golden:
        np.testing.assert_array_equal(found.mask, golden[mask])
    print(f"tokens {array}: {len(texts)} texts, all ids equal")


def test_a_text_beyond_the_context_is_cut_and_told(shared: Path) -> None:
    long = " ".join(["macula"] * 100)
    found = Tokenizer(Rule(kind="clip"), None)([long, "a macula"])
    assert found.cut == (long,)
    assert found.ids.shape == (2, 77)
    assert found.ids[0, -1] == 49407, "the end token stays"
    assert found.mask.sum(1).tolist() == [77, 5], "macula has two tokens"
    folder = shared / "parity_vl" / "tokens"
    golden = np.load(folder / "golden.npz")
    np.testing.assert_array_equal(golden["clip_ids_77_truncated"], golden["clip_truncated_openai"])


def test_cleaning_is_open_clips(shared: Path, tmp_path: Path) -> None:
    told = json.loads((shared / "parity_vl" / "tokens" / "manifest.json").read_text())
    words = sorted({word for text in told["canonicalize"] for word in text.split()})
    path = vocabulary(tmp_path, [*SMALL[:4], *words])
    plain, cleaned = made(path, context=64, padding="fixed"), made(path, context=64, clean="canonicalize")
    texts = [text for text in told["texts"] if "naï" not in text]
    clean = [text for text in told["canonicalize"] if "naï" not in text]
    np.testing.assert_array_equal(cleaned(texts).ids, plain(clean).ids)
    assert (cleaned(texts).ids != plain(texts).ids).any()


def test_padding_is_fixed_or_to_the_longest_of_the_call(tmp_path: Path) -> None:
    path = vocabulary(tmp_path)
    longest = made(path, context=20, padding="longest")
    assert [longest(texts).ids.shape[1] for texts in (["a"], ["a", "a photos"])] == [3, 5]
    found = made(path, context=20, pad_id=1)(["a"])
    assert found.ids.tolist() == [[2, 4, 3, *[1] * 17]]
    assert found.mask.sum() == 3


def test_case_and_accents_are_the_rules_and_not_the_vocabularys(tmp_path: Path) -> None:
    path = vocabulary(tmp_path)
    assert made(path, padding="longest")(["NAÏVE"]).ids.tolist() == [[2, 7, 3]]
    assert made(path, padding="longest", lower=False)(["NAÏVE"]).ids.tolist() == [[2, 1, 3]]


def test_a_sentencepiece_tokenizer_is_padded_to_its_context(tmp_path: Path) -> None:
    # A stand-in: SigLIP's and Gemma's vocabularies are not at hand; the file's form is theirs.
    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁this", -1.0),
        ("▁is", -1.0),
        ("▁ret", -2.0),
        ("ina", -2.0),
    ]
    library = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=2))
    library.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    library.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    library.save(str(tmp_path / "tokenizer.json"))
    rule = {"kind": "sentencepiece", "context": 8, "pad_id": 1, "clean": "canonicalize", "tokens": 7}
    found = made(tmp_path / "tokenizer.json", **rule)(["This, is: RET-ina.", "this " * 9])
    assert found.ids.tolist() == [[3, 4, 5, 6, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3, 3, 1]]
    assert len(found.cut) == 1


@pytest.mark.parametrize(
    ("content", "rule", "said"),
    [
        ("[PAD]\n[UNK]\n[CLS]\na\n", {}, "is not the model's vocabulary"),
        ("[UNK]\n[CLS]\n[SEP]\na\n", {}, r"it has no token \[PAD\]"),
        ("\n".join(SMALL), {"tokens": 30522}, "it has 8 tokens, but the text tower has 30,522"),
        ("", {}, "is not the model's vocabulary"),
        ("{", {"kind": "sentencepiece"}, "cannot be read"),
    ],
)
def test_a_wrong_vocabulary_is_refused(content: str, rule: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text(content)
    with pytest.raises(WeightsError, match=said) as told:
        made(path, **rule)
    assert str(path) in told.value.message


def test_a_rule_names_a_file_where_it_needs_one() -> None:
    for rule in ({"kind": "bert"}, {"kind": "clip", "source": FILE}):
        with pytest.raises(ValueError, match="source"):
            Rule.model_validate(rule)
