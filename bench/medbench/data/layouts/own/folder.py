"""A card for a user's folder of class folders, which may lie below the folders of a split, with the account of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medbench.cards.dataset import ENDINGS, FolderLayout
from medbench.cards.dataset.splits import Split
from medbench.data.layouts import class_folders
from medbench.data.layouts.own.card import card_of, grey_of
from medbench.data.layouts.own.images import PEEK
from medbench.data.layouts.own.labels import MOST_CLASSES, spelled
from medbench.data.layouts.own.spelling import natural, usual_split
from medbench.data.layouts.own.taken import Own, Taken, card_lines, classes_line, paired, turned
from medbench.data.layouts.own_columns import OwnColumns, task_of
from medbench.errors import DataError, few

EXPECTED = "expected a folder of images per class (perhaps below train/, val/, test/), a CSV of labels, or a card"


@dataclass
class Found:
    """What the folders are.

    Attributes:
        splits: Split -> its folder; empty if the class folders are at the top.
        classes: Names of the class folders.
        left: Folders that are left out.
        note: What is to be said of the split.
    """

    splits: dict[Split, str]
    classes: list[str]
    left: list[str] = field(default_factory=list)
    note: str = "drawn at random, by image"

    @property
    def bases(self) -> list[str]:
        """The folders that hold the class folders."""
        return list(self.splits.values()) or [""]


def card_from_folder(path: Path, columns: OwnColumns | None = None) -> Own:
    """Return the card of a folder of class folders, which may lie below the folders of a split, and its account.

    Args:
        path: The folder; one that holds nothing but one folder stands for that.
        columns: The task and the metric that the user says.

    Raises:
        DataError: There are no two folders with images, or folders of which it is not clear what they are.
    """
    root = _unwrapped(path)
    found = _found(root)
    files = [f"{base}/{name}" if base else name for base, name in _files(root, found)]
    images = [name for name in files if name.lower().endswith(ENDINGS)]
    if len(found.classes) < 2 or not images:
        raise _unclear(path, found.classes, files)
    given = columns or OwnColumns()
    labels = spelled(found.classes, negative_first=given.negative_first)
    task = task_of(given, labels.task, labels.names, path)
    folders = {name: labels.values[name] for name in found.classes} if labels.notes else {}
    layout = FolderLayout(kind="folders", splits=found.splits, folders=folders)
    sample = sorted(images)[:: max(1, len(images) // PEEK)][:PEEK]
    grey, looked = grey_of([root / name for name in sample])
    official = bool(found.splits)
    card = card_of(path.resolve().name, task, labels.names, layout, given, grey=grey, official=official, grouped=False)
    inside = f" in {root.relative_to(path)}" if root != path else ""
    left = [*found.left, *_other_files(root, files)]
    lines = [
        ("image", f"{len(images)} files{inside} ({_endings(images)})"),
        ("label", "; ".join([f"the folder, {classes_line(labels.names, task)}", *labels.notes])),
        ("group", "unknown: each image counts as a separate patient"),
        ("split", found.note),
        *card_lines(card, looked),
        *([("not used", few(left, 12))] if left else []),
    ]
    doubts = filter(None, (turned(labels.names, task), paired(images, labels.names)))
    return Own(card, root, Taken(tuple(lines), tuple(doubts)))


def _unwrapped(path: Path) -> Path:
    """Return the folder, or the one alone in it, as archives are often packed."""
    for _ in range(3):
        tops, rest = _folders(path), [entry for entry in path.iterdir() if entry.is_file()]
        if len(tops) != 1 or any(entry.name.lower().endswith(ENDINGS) for entry in rest):
            break
        if len(_folders(path / tops[0])) < 1:
            break
        path /= tops[0]
    return path


def _folders(path: Path) -> list[str]:
    names = [entry.name for entry in path.iterdir() if entry.is_dir() and not class_folders.hidden(entry.name)]
    return sorted(names, key=natural)


def _found(root: Path) -> Found:
    tops = _folders(root)
    hidden = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and class_folders.hidden(entry.name))
    named: dict[str, list[str]] = {}
    for name in tops:
        if split := usual_split(name):
            named.setdefault(split, []).append(name)
    if named:
        found = _by_split(root, tops, named)
    else:
        below = {name for top in tops[:MOST_CLASSES] for name in _folders(root / top)}
        if below and all(map(usual_split, below)):
            raise DataError(
                f"{root}: the folders {few(tops, 8)} hold folders of a split: {few(sorted(below), 8)}",
                "put the split above the class, as in train/benign and test/benign, or write a card",
            )
        copies = [name for name in tops if name == root.name and set(tops) - {name} <= set(_folders(root / name))]
        found = Found({}, [name for name in tops if name not in copies], copies)
    found.left += hidden
    return found


def _by_split(root: Path, tops: Sequence[str], named: dict[str, list[str]]) -> Found:
    """Return the classes below the folders of a split; other folders next to them are left out.

    Raises:
        DataError: Two folders are one split, none is for training or none for testing, or one has no class folders.
    """
    if double := next((names for names in named.values() if len(names) > 1), None):
        raise DataError(
            f"{root}: the folders {' and '.join(double)} both mean one split",
            "put their images into one folder, or remove one of them",
        )
    folders = {split: names[0] for split, names in named.items()}
    others = [name for name in tops if name not in folders.values()]
    if "train" not in folders or len(folders) < 2:
        beside = f"; unclear: {few(others, 8)}" if others else ""
        raise DataError(
            f"{root}: the folders {', '.join(folders.values())} are of a split, which needs train and test{beside}",
            "add the missing folder, or put all class folders into one folder; then medbench draws the split",
        )
    held = {name: _folders(root / name) for name in folders.values()}
    if bare := next((name for name, below in held.items() if not below), None):
        raise DataError(f"{root / bare} contains no class folders", EXPECTED)
    classes = sorted({name for below in held.values() for name in below}, key=natural)
    if any(map(usual_split, classes)):
        raise DataError(f"{root}: folders of a split are inside folders of a split: {few(classes, 8)}", EXPECTED)
    order: tuple[Split, ...] = ("train", "val", "test")
    note = "by folder: " + ", ".join(f"{split} = {folders[split]}" for split in order if split in folders)
    if "test" not in folders:
        folders["test"] = folders.pop("val")
        note += "; there is no test folder, so val is used as test"
    if "val" not in folders:
        note += "; val is cut from train"
    return Found({split: folders[split] for split in order if split in folders}, classes, others, note)


def _files(root: Path, found: Found) -> Iterator[tuple[str, str]]:
    """Yield (folder of the split, path below it) of every file in a class folder."""
    for base in found.bases:
        for name in found.classes:
            for path in class_folders.files_below(root / base / name):
                yield base, f"{name}/{path}"


def _endings(names: Sequence[str]) -> str:
    counts = Counter(PurePosixPath(name).suffix.lower() or "without an ending" for name in names)
    return ", ".join(f"{n} {ending}" for ending, n in counts.most_common(6))


def _other_files(root: Path, files: Sequence[str]) -> list[str]:
    """Return what is said of files that are not images, and of images outside the folders."""
    odd = [name for name in files if not name.lower().endswith(ENDINGS)]
    beside = [entry.name for entry in root.iterdir() if entry.is_file() and entry.name.lower().endswith(ENDINGS)]
    found = [f"{len(odd)} files that are not images ({_endings(odd)})"] if odd else []
    return found + ([f"{len(beside)} images outside the folders"] if beside else [])


def _unclear(path: Path, classes: Sequence[str], files: Sequence[str]) -> DataError:
    held = f"it contains {few(classes, 8)}" if classes else "it contains no folders"
    if len(classes) > 1 and files:
        return DataError(
            f"{path}: no file in the class folders {few(classes, 8)} has an image extension: {_endings(files)}",
            f"extensions that are read: {' '.join(ENDINGS)}",
        )
    return DataError(f"{path} is not a folder of class folders: {held}", EXPECTED)
