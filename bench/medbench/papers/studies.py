"""Studies as papers: their cells are run, filled and picked by the same rules."""

from __future__ import annotations

from medbench import cards
from medbench.cards import PaperCard, StudyCard
from medbench.cards.study import RANKS
from medbench.errors import MedbenchError, unknown
from medbench.metrics import get


def paper_of(study: StudyCard) -> PaperCard:
    """Return a study as a paper whose one table, of the study's name, has no printed numbers.

    Raises:
        CardError: A metric is unknown, or not for the task of its data set; or a column names no metric, and its data
            set has no card.
    """
    metrics = {}
    for column in study.data:
        known = column.metric is None or column.dataset in cards.names("datasets")
        card = cards.find_dataset(column.dataset) if known else None
        metric = column.metric or (card.metric if card else "")
        try:
            get(metric, card.task if card else None)
        except MedbenchError as error:
            raise type(error)(f"study {study.name}: {column.dataset}: {error.message}", error.hint) from error
        metrics[column.head] = metric
    return study.as_paper(metrics)


def placed(name: str) -> tuple[PaperCard, str]:
    """Return the card and the place in it of a table: a paper's `PAPER/TABLE`, or a study's `ranks/NAME`.

    Raises:
        CardError: There is no such paper, study or table.
    """
    kind, _, rest = name.partition("/")
    if kind == RANKS:
        return paper_of(cards.find_study(rest)), rest
    paper = cards.find_paper(kind)
    if rest not in paper.tables:
        raise unknown("table", name, [f"{kind}/{table}" for table in paper.tables], "All: medbench table")
    return paper, rest
