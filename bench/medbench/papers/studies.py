"""Studies as papers: their cells are run, filled and picked by the same rules."""

from __future__ import annotations

from collections.abc import Sequence

from medbench import cards
from medbench.cards import PaperCard, StudyCard
from medbench.cards.study import RANKS, StudyData
from medbench.errors import CardError, MedbenchError, unknown
from medbench.metrics import METRICS, get
from medbench.metrics.measures import higher_is_better, measure, spellings


def paper_of(study: StudyCard) -> PaperCard:
    """Return a study as a paper whose one table, of the study's name, has no printed numbers.

    Raises:
        CardError: A metric is unknown, has no best value, or is not for the task of its data set; or a column names no
            metric, and its data set has no card.
    """
    metrics = {}
    for column in study.data:
        known = column.metric is None or column.dataset in cards.names("datasets")
        card = cards.find_dataset(column.dataset) if known else None
        metric = column.metric or (card.metric if card else "")
        try:
            metrics[column.head] = _metric_of(metric, card.task if card else None)
        except MedbenchError as error:
            raise type(error)(f"study {study.name}: {column.dataset}: {error.message}", error.hint) from error
    return study.as_paper(metrics)


def _metric_of(name: str, task: str | None) -> str:
    """Return the id of a metric by which entrants can be ranked: one that records hold, or else one on demand.

    Raises:
        CardError: It is unknown, not for the task, or neither higher nor lower values are better.
    """
    found = get(name, task).id if name in METRICS else measure(name, task).id
    if higher_is_better(found) is None:
        raise CardError(f"the metric '{name}' has no best value, so it ranks nothing", "choose another metric")
    return found


def under(study: StudyCard, names: Sequence[str]) -> StudyCard:
    """Return a study with other metrics: each of its data sets under each of them, in the spelling of its task.

    Args:
        study: The study.
        names: The metrics, in any spelling; none: the study's own.

    Raises:
        CardError: A metric is unknown, or not for the task of a data set.
    """
    if not names:
        return study
    data: dict[str, StudyData] = {}
    for dataset, model in dict.fromkeys((column.dataset, column.model) for column in study.data):
        task = cards.find_dataset(dataset).task if dataset in cards.names("datasets") else None
        for name in map(str.lower, names):
            fitting = [m for m in sorted({name} | spellings(name)) if m in METRICS and task in METRICS[m].tasks]
            metric = name if name in fitting else next(iter(fitting), name)
            title = " · ".join(filter(None, (dataset, model))) + f" {metric}"
            data.setdefault(title, StudyData(dataset=dataset, metric=metric, model=model, title=title))
    return study.model_copy(update={"data": [*data.values()]})


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
