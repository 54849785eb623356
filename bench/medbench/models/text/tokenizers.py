"""From texts to token ids, by the library that has the model's tokenizer and a vocabulary file on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medbench.cards.model import Tokenizer as TokenizerRule
from medbench.errors import WeightsError, first_line
from medbench.models.weights.locate import WeightsFile

NEEDED = {"bert": ("[CLS]", "[SEP]", "[PAD]", "[UNK]"), "sentencepiece": ()}
"""Tokens that a vocabulary of this kind must have."""


class Ids(NamedTuple):
    """Token ids of texts.

    Attributes:
        ids: (n, t) int64.
        mask: 1 for tokens and 0 for padding, (n, t) int64.
        cut: Texts that were longer than the context and lost their end.
    """

    ids: Tensor
    mask: Tensor
    cut: tuple[str, ...]


class Tokenizer:
    """The tokenizer of one text tower.

    Attributes:
        rule: The card's.
        file: The vocabulary's file; None: CLIP's, which open_clip holds.
    """

    def __init__(self, rule: TokenizerRule, file: WeightsFile | None) -> None:
        self.rule, self.file = rule, file
        self._encoder: Any = _clip(rule) if file is None else _from_file(rule, file)

    def __call__(self, texts: Sequence[str]) -> Ids:
        """Return the ids of texts; where the rule pads to the longest, they depend on all texts of the call."""
        if not texts:
            raise ValueError("no texts")
        return self._clip_ids(texts) if self.rule.kind == "clip" else self._library_ids(texts)

    def _clip_ids(self, texts: Sequence[str]) -> Ids:
        """Two of the ids of a text mark its start and end."""
        ids = self._encoder(list(texts), context_length=self.rule.context).long()
        lengths = torch.tensor([min(len(self._encoder.encode(text)) + 2, self.rule.context) for text in texts])
        cut = tuple(text for text in texts if len(self._encoder.encode(text)) + 2 > self.rule.context)
        return Ids(ids, (torch.arange(self.rule.context) < lengths[:, None]).long(), cut)

    def _library_ids(self, texts: Sequence[str]) -> Ids:
        from open_clip.tokenizer import get_clean_fn

        clean = (lambda text: text) if self.rule.clean == "none" else get_clean_fn(self.rule.clean)
        found = self._encoder.encode_batch([clean(text) for text in texts])
        ids, mask = (torch.tensor([getattr(one, name) for one in found]) for name in ("ids", "attention_mask"))
        return Ids(ids, mask, tuple(text for text, one in zip(texts, found, strict=True) if one.overflowing))


def _clip(rule: TokenizerRule) -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=rule.context, clean="lower" if rule.lower else "whitespace")


def _from_file(rule: TokenizerRule, file: WeightsFile) -> Any:
    """Return the library's tokenizer of a file, which cuts and pads as the rule says.

    Raises:
        WeightsError: The file is no vocabulary, or one of another size than the tower's.
    """
    import tokenizers

    path = str(file.path)
    try:
        if rule.kind == "bert":
            with open(path, encoding="utf-8") as lines:  # noqa: PTH123
                count = sum(1 for line in lines if line.strip())
            found = tokenizers.BertWordPieceTokenizer(path, lowercase=rule.lower)
        else:
            found = tokenizers.Tokenizer.from_file(path)
            count = found.get_vocab_size()
    except Exception as error:  # the library's own, of no common kind
        raise _wrong(file, f"it cannot be read: {first_line(error)[:200]}") from error
    if lacking := [token for token in NEEDED[rule.kind] if found.token_to_id(token) is None]:
        raise _wrong(file, f"it has no token {lacking[0]}")
    if rule.tokens is not None and count != rule.tokens:
        raise _wrong(file, f"it has {count:,} tokens, but the text tower has {rule.tokens:,}")
    found.enable_truncation(rule.context)
    length = rule.context if rule.padding == "fixed" else None
    found.enable_padding(pad_id=rule.pad_id, length=length)
    return found


def _wrong(file: WeightsFile, what: str) -> WeightsError:
    return WeightsError(f"{file.path} is not the model's vocabulary: {what}", "get the file that the card names")
