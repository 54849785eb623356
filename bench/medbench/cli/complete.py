"""What the shell completes: names of cards, tables and figures. In a comma list it is the last name."""

from __future__ import annotations

from collections.abc import Iterable


def models(incomplete: str) -> list[str]:
    """Return the models that a comma list may go on with."""
    return _listed(_names("models"), incomplete)


def protocols(incomplete: str) -> list[str]:
    """Return the protocols that a comma list may go on with."""
    return _listed(_names("protocols"), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Return the data sets that a comma list may go on with; where none fits, the shell offers files."""
    return _listed(_names("datasets"), incomplete)


def corruptions(incomplete: str) -> list[str]:
    """Return the corruptions that a comma list may go on with."""
    from medbench.data.images.corruption import ALL, STRENGTHS

    return _listed([ALL, *STRENGTHS], incomplete)


def papers(incomplete: str) -> list[str]:
    """Return the papers that a word may become."""
    return _starting(_names("papers"), incomplete)


def studies(incomplete: str) -> list[str]:
    """Return the studies that a word may become."""
    return _starting(_names("studies"), incomplete)


def cards(incomplete: str) -> list[str]:
    """Return the cards of all kinds that a word may become."""
    return _starting([*_names("models", "protocols", "datasets", "papers", "studies", "prompts"), "card"], incomplete)


def rows(incomplete: str) -> list[str]:
    """Return what `MODEL/PROTOCOL` may become: models, behind the first `/` protocols."""
    model, slash, start = incomplete.partition("/")
    if slash:
        return [f"{model}/{name}" for name in _starting(_names("protocols"), start)]
    return _starting(_names("models"), incomplete)


def tables(incomplete: str) -> list[str]:
    """Return the tables that a word may become."""
    from medbench.cli import listing

    return _starting((row["name"] for row in listing.table_rows()), incomplete)


def figures(incomplete: str) -> list[str]:
    """Return the figures that a word may become."""
    from medbench.cli import listing

    return _starting((row["name"] for row in listing.figure_rows()), incomplete)


def parts(incomplete: str) -> list[str]:
    """Return the parts of `medbench doctor` that a word may become."""
    from medbench.doctor import PARTS

    return _starting(PARTS, incomplete)


def _names(*kinds: str) -> list[str]:
    from medbench.cards import names

    return sorted({name for kind in kinds for name in names(kind)})


def _starting(names: Iterable[str], start: str) -> list[str]:
    return [name for name in names if name.startswith(start)]


def _listed(names: list[str], incomplete: str) -> list[str]:
    """Return the comma lists that a list with an unfinished last name may become; no name comes twice."""
    head, comma, start = incomplete.rpartition(",")
    given = head.split(",")
    return [f"{head}{comma}{name}" for name in _starting(names, start) if name not in given]
