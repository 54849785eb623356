"""Data sets on the Hugging Face hub: `hf://OWNER/NAME[@REVISION]` becomes a labels file and images on this machine.

The library `datasets` reads the repository at a pinned commit. Its images are written as they are, next to a labels.csv
with the other columns; from there on it is a CSV of one's own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from medbench.cards.find import HUB_DATA
from medbench.data.layouts.own.table import card_from_csv
from medbench.data.layouts.own.taken import Own
from medbench.data.layouts.own_columns import OwnColumns
from medbench.errors import DataError, MissingDataError, first_line
from medbench.progress import bar
from medbench.storage import files, paths
from medbench.storage.fetch import ask_hub

LABELS = "labels.csv"
COMMIT = 40
"""Characters of a commit's full id."""


def card_from_hub(name: str, columns: OwnColumns | None = None) -> Own:
    """Return the card of a data set on the hub, inferred as that of a CSV; its images are downloaded once.

    Args:
        name: `hf://OWNER/NAME`, or `hf://OWNER/NAME@REVISION`.
        columns: What the user says of its columns.

    Raises:
        MissingDataError: There is no such data set, it cannot be reached, or the library `datasets` is missing.
        DataError: It has no image column, or several.
    """
    repo, _, revision = name.removeprefix(HUB_DATA).partition("@")
    home = paths.home() / "hub" / repo.replace("/", "--")
    commit = _commit(repo, revision, home)
    place = home / commit
    if not (place / LABELS).is_file():
        own = files.own_folder(place)
        _download(repo, commit, own)
        own.replace(place)
    found = card_from_csv(place / LABELS, None, columns)
    source = {"source": f"https://huggingface.co/datasets/{repo}/tree/{commit}"}
    card = found.card.model_copy(update={"name": f"hf--{repo.replace('/', '--')}", "links": source})
    return replace(found, card=card)


def _commit(repo: str, revision: str, home: Path) -> str:
    """Return the full id of the commit; without a network, of the one that is here."""
    from huggingface_hub import HfApi

    here = sorted(path.name for path in home.glob("*") if (path / LABELS).is_file())
    if len(revision) == COMMIT and revision in here:
        return revision
    hint = f"check the name: {HUB_DATA}OWNER/NAME; for a private or gated one: hf auth login"
    return ask_hub(
        lambda: str(HfApi().dataset_info(repo, revision=revision or None).sha),
        repo,
        hint,
        MissingDataError,
        lambda: here[0] if len(here) == 1 and not revision else None,
    )


def _download(repo: str, commit: str, to: Path) -> None:
    """Write images and labels of a data set to a folder."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDataError(
            f"{HUB_DATA}{repo} needs the library datasets, which is not installed", "pip install 'medbench[hub]'"
        ) from error
    try:
        found = datasets.load_dataset(repo, revision=commit)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the library datasets cannot read {repo}: {first_line(error)}", "see its page on the hub"
        ) from error
    write_folder(found, to, repo)


def write_folder(found: Any, to: Path, repo: str) -> None:
    """Write what `datasets.load_dataset` returns as images and a labels.csv.

    Args:
        found: A `DatasetDict`: split -> rows.
        to: The folder.
        repo: The data set's name, for messages.

    Raises:
        DataError: It has no image column, or several; or an image has no bytes.
    """
    import datasets

    features = next(iter(found.values())).features
    images = [name for name, one in features.items() if isinstance(one, datasets.Image)]
    if len(images) != 1:
        has = f"several image columns: {', '.join(images)}" if images else f"no image column: {', '.join(features)}"
        raise DataError(
            f"{repo} has {has}", "medbench reads data sets with one image per row; otherwise write your own CSV"
        )
    plain = [name for name, one in features.items() if isinstance(one, (datasets.Value, datasets.ClassLabel))]
    head = ["image", *(name for name in plain if name not in ("image", "split")), "split"]
    to.mkdir(parents=True, exist_ok=True)
    with (to / LABELS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, head, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(_rows(found, images[0], features, to, repo))


def _rows(found: Any, image: str, features: Any, to: Path, repo: str) -> Iterator[dict[str, Any]]:
    """Write each image and yield its row."""
    import datasets

    names = {name: one.names for name, one in features.items() if isinstance(one, datasets.ClassLabel)}
    with bar(repo, sum(len(rows) for rows in found.values()), "images") as advance:
        for split, rows in found.items():
            for i, row in enumerate(rows.cast_column(image, datasets.Image(decode=False))):
                told = {name: _text(value, names.get(name)) for name, value in row.items() if name != image}
                own = {"split": split} if len(found) > 1 else {}
                yield {**told, **own, "image": _written(row[image], to, f"{split}-{i:06d}", repo)}
                advance()


def _written(image: dict[str, Any] | None, to: Path, stem: str, repo: str) -> str:
    """Write an image's bytes as they are and return its path in the folder."""
    content, path = (image or {}).get("bytes"), (image or {}).get("path")
    if content is None and path is not None and Path(path).is_file():
        content = Path(path).read_bytes()
    if content is None:
        raise DataError(f"{repo}: the image {stem} has no bytes", "see its page on the hub")
    name = f"images/{stem}{Path(path or '').suffix.lower() or '.png'}"
    (to / name).parent.mkdir(exist_ok=True)
    (to / name).write_bytes(content)
    return name


def _text(value: Any, names: list[str] | None) -> Any:
    if value is None:
        return ""
    return names[value] if names is not None and value >= 0 else value
