"""The vocabulary of a BERT with random weights: word pieces made from the training texts."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_vocabulary(texts: Iterable[str]) -> str:
    """Return the content of a vocabulary file: special tokens, letters and signs, pieces of one letter, whole words.

    Every word of the texts, in lower case, is one token; other words are spelled by letters. The order depends only on
    the set of words.

    Args:
        texts: All training texts.
    """
    words = sorted({word for text in texts for word in re.findall(r"[^\W_]+|[^\w\s]|_", _bare(text))})
    letters = sorted({*string.ascii_lowercase, *string.digits, *string.punctuation, *"".join(words)})
    pieces = [f"##{letter}" for letter in letters if letter.isalnum()]
    return "\n".join(dict.fromkeys([*SPECIAL, *letters, *pieces, *words])) + "\n"


def _bare(text: str) -> str:
    """Return a text in lower case without accents, as BERT's own tokenizer does."""
    parts = unicodedata.normalize("NFD", text.lower())
    return "".join(letter for letter in parts if unicodedata.category(letter) != "Mn")
