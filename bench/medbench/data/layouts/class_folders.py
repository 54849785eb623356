"""Class folders on disk, and which of the named images are there."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.cards.dataset import DatasetCard, FolderLayout
from medbench.data.layouts import image_paths
from medbench.errors import DataError, MissingDataError, few
from medbench.storage.patterns import Expression


def walk(card: DatasetCard, layout: FolderLayout, root: Path) -> tuple[list[str], npt.NDArray[np.int64], list[str]]:
    """List the images of a folder layout: (paths below `root`, class of each, official split of each or empty).

    Folders below a class folder belong to it. The order is that of the splits in the card, the classes and the
    sorted paths; `first` counts within a split and class. Hidden files, and files of other extensions, are no images.

    Raises:
        DataError: A split's folder is missing, a folder is not a class, a name has no class, a class has no images.
    """
    classes = layout.folders or {name: index for index, name in enumerate(card.class_names)}
    found: list[tuple[str, int, str]] = []
    for split, folder in ({str(k): v for k, v in layout.splits.items()} or {"": ""}).items():
        labelled = _by_name if layout.label else _by_folder
        by_class: dict[int, list[str]] = defaultdict(list)
        for path, target in labelled(layout, root, folder, classes):
            by_class[target].append(path)
        for target in dict.fromkeys(classes.values()):
            found += [(path, target, split) for path in sorted(by_class[target])[: layout.first]]
    paths = [path for path, _, _ in found]
    targets = np.asarray([target for _, target, _ in found], np.int64)
    if odd := next((path for path in paths if not path.isascii() and _undecodable(path)), None):
        raise DataError(f"below {root} the file name {odd!r} is not UTF-8", "rename the file")
    _require_all(layout, root, classes, set(targets.tolist()))
    return paths, targets, [split for _, _, split in found]


def _require_all(layout: FolderLayout, root: Path, classes: dict[str, int], there: set[int]) -> None:
    what = "names that tell one of the classes" if layout.label else "the class folders"
    only = f", names match {layout.only}" if layout.only else ""
    if not there:
        raise DataError(
            f"no images in {what} {', '.join(classes)} below {root}", f"extensions: {' '.join(layout.extensions)}{only}"
        )
    empty = [name for name, target in classes.items() if target not in there]
    if empty:
        raise DataError(
            f"no images of class {', '.join(empty)} below {root}", "put them there, or remove the class from the card"
        )


def _by_folder(layout: FolderLayout, root: Path, folder: str, classes: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield (path below `root`, class) of the images in class folders; `only` allows others next to them."""
    _check_folders(root / folder, classes, beside=layout.only is not None)
    only = Expression(layout.only or "")
    for name, target in classes.items():
        prefix = "/".join(filter(None, (folder.strip("/"), name)))
        for path in images_below(root / folder / name, layout.extensions):
            if only.search(f"{prefix}/{path}"):
                yield f"{prefix}/{path}", target


def _by_name(layout: FolderLayout, root: Path, folder: str, classes: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield (path below `root`, class) of the images whose path has their class."""
    base = root / folder
    if not base.is_dir():
        raise DataError(
            f"the folder {base} does not exist", "it should contain the images; give its parent folder with --data-root"
        )
    only = Expression(layout.only or "")
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    paths = [f"{prefix}{path}" for path in images_below(base, layout.extensions)]
    paths = sorted(path for path in paths if only.search(path))
    raws = image_paths.parts(paths, layout.label or "", "label", [str(root / path) for path in paths])
    strange = Counter(raw for raw in raws if raw not in classes)
    if strange:
        first = paths[next(at for at, raw in enumerate(raws) if raw in strange)]
        listed = ", ".join(f"'{raw}' ({n})" for raw, n in strange.most_common(40))
        raise DataError(
            f"{root / first}: the card does not know the class in the file name; the file names have {listed}",
            f"known: {', '.join(classes)}. Add it to layout.folders, or exclude the files with layout.only",
        )
    for path, raw in zip(paths, raws, strict=True):
        yield path, classes[raw]


def _undecodable(path: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in path)


def _check_folders(base: Path, classes: dict[str, int], *, beside: bool) -> None:
    if not base.is_dir():
        raise DataError(
            f"the folder {base} does not exist", f"it should contain the class folders {', '.join(classes)}"
        )
    tops = {name.split("/")[0] for name in classes}
    extra = sorted(d.name for d in base.iterdir() if d.is_dir() and not hidden(d.name) and d.name not in tops)
    if extra and not beside:
        raise DataError(
            f"{base} contains folders that are not classes of the card: {', '.join(extra[:5])}",
            f"classes: {', '.join(classes)}. Move the other folders away, or map them to a class in layout.folders",
        )
    if not any((base / name).is_dir() for name in classes):
        raise DataError(
            f"{base} contains none of the class folders {', '.join(classes)}",
            "give the folder that contains them with --data-root",
        )


def hidden(name: str) -> bool:
    """Tell whether a folder's name means that it holds no data of ours (`.git`, `__MACOSX`)."""
    return name.startswith((".", "__"))


def images_below(folder: Path, extensions: Sequence[str]) -> Iterator[str]:
    """Yield the posix paths, relative to `folder`, of the images in it and below it; see `files_below`."""
    endings = tuple(extension.lower() for extension in extensions)
    return (path for path in files_below(folder) if path.lower().endswith(endings))


def files_below(folder: Path) -> Iterator[str]:
    """Yield the posix paths, relative to `folder`, of the files in it and below it; hidden ones are passed over.

    Links to folders are followed once, and not where they lead to a folder that is walked anyway: there are no circles.
    """
    followed = {os.path.realpath(folder)}
    for where, below, names in os.walk(folder, followlinks=True):
        below[:] = [name for name in below if not hidden(name) and _enter(os.path.join(where, name), followed)]  # noqa: PTH118
        inner = os.path.relpath(where, folder).replace(os.sep, "/")
        for name in names:
            if not name.startswith("."):
                yield name if inner == "." else f"{inner}/{name}"


def _enter(folder: str, followed: set[str]) -> bool:
    """Tell whether a folder is to be walked: any but a link to what is walked, or to a folder around that."""
    if not os.path.islink(folder):  # noqa: PTH114 - 200,000 Path objects would cost seconds
        return True
    real = os.path.realpath(folder)
    known = any(f"{real}/".startswith(f"{one}/") or f"{one}/".startswith(f"{real}/") for one in followed)
    followed.add(real)
    return not known


def missing_files(root: Path, paths: Sequence[str]) -> list[int]:
    """Return the positions of the paths that are no file below `root`.

    Each folder is listed once, which is many times faster than asking for every file on a network disk.
    """
    folders: dict[str, list[int]] = defaultdict(list)
    for position, path in enumerate(paths):
        folders[os.path.dirname(path)].append(position)  # noqa: PTH120 - 200,000 Path objects would cost seconds
    missing: list[int] = []
    for folder, positions in folders.items():
        place = root / folder
        try:
            with os.scandir(place) as entries:
                there = {entry.name for entry in entries if not entry.is_dir()}
        except OSError:
            there = set()
        # what the listing does not show may still be found by a file system that folds case
        missing += [
            p for p in positions if paths[p].rpartition("/")[2] not in there and not (root / paths[p]).is_file()
        ]
    return sorted(missing)


def require_files(card: DatasetCard, root: Path, paths: Sequence[str], command: str) -> None:
    """Refuse a data set with images missing.

    Args:
        card: Its card.
        root: The data folder.
        paths: The images, below `root`.
        command: The command that lists all that are missing.

    Raises:
        MissingDataError: None of them is there.
        DataError: How many are missing, and the first three.
    """
    missing = missing_files(root, paths)
    if not missing:
        return
    first = few(paths[at] for at in missing)
    if len(missing) == len(paths):
        raise MissingDataError(f"none of the {len(paths)} images of {card.name} is below {root} (looked for {first})")
    raise DataError(
        f"{len(missing)} of the {len(paths)} images of {card.name} are missing below {root}: {first}",
        f"for the complete list: {command} --list missing.csv; to run without them: --missing leave-out",
    )
