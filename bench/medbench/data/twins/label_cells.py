"""Label cells of made-up samples, in all forms that a card's table may have."""

from __future__ import annotations

from medbench.cards.dataset import CsvLayout, DatasetCard
from medbench.data.twins.image_names import Fake


def label_cells(card: DatasetCard, layout: CsvLayout, fake: Fake) -> dict[str, str]:
    """Return the cells of the label columns, as the release writes them."""
    if layout.labels is not None:
        return {column: _hot(card, layout, fake, index) for index, column in enumerate(layout.labels)}
    if layout.separator is not None:
        assert layout.label is not None
        assert isinstance(fake.target, list)
        raws = [_raw(card, layout, index) for index, hot in enumerate(fake.target) if hot]
        return {_column(layout, 0): layout.separator.join(raws) if raws else (layout.nothing or [""])[0]}
    assert isinstance(fake.target, int)
    raw = _raw(card, layout, fake.target)
    cell = repr([raw, "made up"]) if layout.listed else raw
    if isinstance(layout.label, list):  # in one of the columns; the others are empty
        return {
            name: cell if place == fake.number % len(layout.label) else "" for place, name in enumerate(layout.label)
        }
    return {_column(layout, 0): cell}


def _column(layout: CsvLayout, place: int) -> str:
    assert layout.label is not None
    return layout.label if isinstance(layout.label, str) else layout.label[place]


def _raw(card: DatasetCard, layout: CsvLayout, target: int) -> str:
    """Return the text of a class; one that `where` keeps, if `where` names the label's column."""
    texts = [text for text, index in layout.values.items() if index == target]
    if isinstance(layout.label, str) and (allowed := layout.where.get(layout.label)):
        texts = [text for text in texts if text in allowed] or texts
    if isinstance(layout.label, str) and (away := layout.leave_out.get(layout.label)):
        texts = [text for text in texts if text not in away] or texts
    if texts:
        return texts[0]
    named = layout.separator is not None or any(name.isdigit() for name in card.class_names)
    return card.class_names[target] if named else str(target)


def _hot(card: DatasetCard, layout: CsvLayout, fake: Fake, index: int) -> str:
    """Return the cell of one class's column; the samples use the texts for 0 and 1 in turn.

    Every other row of the class `none` has no 1, so that the reader must add it.
    """
    hot = fake.target[index] if isinstance(fake.target, list) else int(fake.target == index)
    if hot and layout.none == card.class_names[index] and fake.number % 2:
        hot = 0
    texts = [str(hot), *(text for text, value in layout.values.items() if value == hot)]
    return texts[(fake.number + index) % len(texts)]
