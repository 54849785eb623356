"""What the texts and categories of image-text pairs are: how many rows have them, and how many are equal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from medbench.data.checks.findings import Finding
from medbench.data.layouts.own.pairs_table import split_list

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 60  # characters of a text


def of_texts(samples: pd.DataFrame) -> list[Finding]:
    """Return the shares of pairs with text and with categories, equal texts, and what training cannot use.

    Args:
        samples: As `read_pairs` returns them, with the column `split`; rows in no split do not count.
    """
    used = samples[samples["split"] != ""]
    n = len(used)
    texts = Counter(text for text in used["text"] if text)
    categories = Counter(name for cell in used["categories"] for name in split_list(cell))
    found = [Finding("texts", "note", _have(texts.total(), n, "a text"))]
    if texts:
        text, most = texts.most_common(1)[0]
        found[0] = Finding("texts", "note", f"{found[0].text}; {_equal(len(texts), most, text)}")
    some = int((used["categories"] != "").sum())
    found.append(Finding("categories", "note", _have(some, n, "a category")))
    for split in ("train", "val"):
        own = used[used["split"] == split]
        if len(own) == 1 or (len(own) > 1 and len(set(zip(own["categories"], own["text"], strict=True))) == 1):
            says = "has one row" if len(own) == 1 else "has the same text and categories in all rows"
            found.append(Finding(f"alike-{split}", "error", f"{split} {says}, so images cannot be matched to texts"))
    if rare := [name for name, count in categories.items() if count == 1]:
        ids = [one for one, cell in zip(used["id"], used["categories"], strict=True) if set(split_list(cell)) & {*rare}]
        what = "category has" if len(rare) == 1 else "categories have"
        found.append(Finding("rare-categories", "warning", f"{len(rare)} {what} one row: {', '.join(rare[:3])}", ids))
    return found


def _have(count: int, n: int, what: str) -> str:
    return f"{count} of {n} rows have {what} ({100 * count / n:.0f} %)" if n else f"no row has {what}"


def _equal(different: int, most: int, text: str) -> str:
    short = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    if most == 1:
        return "no two are equal"
    return f"{different} are different, and {most} rows have the most frequent one: {short}"
