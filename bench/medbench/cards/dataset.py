"""The data set card: where it comes from, how it lies on disk, what its labels mean and how it is split."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from medbench.cards.base import Card, Name, Strict
from medbench.cards.example import Example, ExampleError, Named, captured, filled, matched, replaced

Task = Literal["binary", "multiclass", "ordinal", "multilabel"]
Split = Literal["train", "val", "test"]
Method = Literal["official", "stratified", "grouped", "kfold", "fewshot", "holdout", "shuffle", "contiguous"]
METHODS: tuple[Method, ...] = get_args(Method)


class ClassInfo(Strict):
    """One class (or, for multilabel tasks, one finding)."""

    name: str
    prompts: list[str] = Field(default_factory=list, description="Texts for zero-shot, most usual first.")


Class = Annotated[ClassInfo, BeforeValidator(lambda v: {"name": str(v)} if isinstance(v, (str, int)) else v)]


class Join(Strict):
    """A second table with further columns of the same rows."""

    file: str = Field(description="Path below the data folder.")
    by: str = Field(description="The column that both tables have; its cells are unique in the second one.")


class LabelTable(Strict):
    """One table of labels: a CSV file, or a workbook (.xlsx), of which the first sheet is read."""

    file: str | list[str] = Field(description="Path below the data folder; of several names the first that is there.")
    split: Split | None = Field(None, description="Split of all its rows, where a release has a file per split.")
    image: str | None = Field(None, description="Image template of this table, where it differs from the layout's.")
    header: int = Field(1, gt=0, description="Line of the column names, from 1; lines above it are skipped.")
    unnamed: str | None = Field(None, description="Name for a column that has none in the header.")
    join: Join | None = Field(None, description="A table with further columns (ISIC's lesions).")


class Slices(Strict):
    """A second input of each sample: an image, or a folder of images that are the slices of a volume."""

    image: str = Field(description="Template of the image, or of the folder, below the data folder.")
    slices: str | None = Field(
        None,
        description="Regular expression on the file name with a named part `index`, an integer; none: one image.",
    )
    example: str | None = Field(None, description="File name of one slice; it must match `slices`.")
    channels: Literal[1, 3] | None = Field(None, description="Channels, if they differ from the card's.")

    @model_validator(mode="after")
    def _example_matches(self) -> Slices:
        if self.example:
            captured(self.slices, "index", self.example, full=True)
        return self


class CsvLayout(Strict):
    """Labels in one or more tables; templates like `train_images/{id_code}.png` name columns in braces."""

    kind: Literal["csv"]
    tables: list[LabelTable] = Field(min_length=1)
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    image: str = Field(description="Template of the image path below the data folder.")
    replace: dict[str, str] = Field(
        default_factory=dict, description="Regular expression -> replacement in the filled image path, in order."
    )
    match: Literal["exact", "stem"] = Field(
        "exact", description="`stem`: the file may have another ending than the table says, in upper or lower case."
    )
    id: str | None = Field(None, description="Template of the sample's id; default: the image path.")
    label: str | list[str] | None = Field(
        None,
        description="Column with the class (index, name, or a key of `values`); of several, the first not empty.",
    )
    listed: bool = Field(False, description="The label cell is a Python list; its first element is the label.")
    labels: list[str] | None = Field(None, description="One column per class, in the order of `classes` (0 or 1).")
    none: str | None = Field(None, description="Multilabel: the class of rows in which no class is 1 (CheXpert).")
    separator: str | None = Field(
        None, description="Multilabel: the cell of `label` lists a row's classes with this text between them."
    )
    nothing: list[str] = Field(default_factory=list, description="With `separator`: words that mean no class.")
    pad: dict[str, int] = Field(default_factory=dict, description="Column -> width: cells get zeros on the left.")
    input: str = Field("image", description="Name of the images at `image`, where a sample has several inputs.")
    inputs: dict[str, Slices] = Field(default_factory=dict, description="Further inputs of each sample, by name.")
    values: dict[str, int] = Field(default_factory=dict, description="Raw text -> class index.")
    where: dict[str, list[str]] = Field(
        default_factory=dict, description="Column -> texts: rows with another text in it are left out."
    )
    group: str | None = Field(
        None, description="Template of the unit that a split keeps together: patient, lesion, eye."
    )
    group_pattern: str | None = Field(
        None, description="Regular expression on the image path with a named part `group`, instead of `group`."
    )
    split: str | None = Field(None, description="Column with the official split.")
    split_values: dict[str, Split] = Field(default_factory=dict, description="Raw text -> train, val or test.")
    examples: list[Example] = Field(
        default_factory=list,
        description="Rows of the tables and the images that they name. Give one if the card has patterns.",
    )

    @model_validator(mode="after")
    def _one_label_form(self) -> CsvLayout:
        if (self.label is None) == (self.labels is None):
            raise ValueError("give either `label` (one column) or `labels` (one column per class)")
        if self.group and self.group_pattern:
            raise ValueError("give either `group` (a template) or `group_pattern` (on the image path)")
        return self

    @model_validator(mode="after")
    def _examples_hold(self) -> CsvLayout:
        templates = [table.image or self.image for table in self.tables]
        for example in self.examples:
            template = next((one for one in templates if self.shows(example, one)), templates[0])
            example.check(self.named(example.cells, template))
        return self

    def shows(self, example: Example, template: str) -> bool:
        """Tell whether an example is a row of a table with this image template."""
        try:
            return self.named(example.cells, template).image == example.image
        except ExampleError:
            return False

    def named(self, cells: Mapping[str, str], template: str) -> Named:
        """Return what the card finds in a row of its label file: the image's path and, from that, its group.

        Args:
            cells: Column -> cell.
            template: Image template of the row's table.

        Raises:
            ExampleError: A cell is missing, or a pattern is malformed or finds nothing.
        """
        text = replaced(filled(template, self.padded(cells)), self.replace)
        image = posixpath.normpath(text.replace("\\", "/"))
        return Named(image, group=captured(self.group_pattern, "group", image))

    def padded(self, cells: Mapping[str, str]) -> dict[str, str]:
        """Return the cells with the zeros of `pad` on their left."""
        return {name: cell.zfill(self.pad.get(name, 0)) for name, cell in cells.items()}


class FolderLayout(Strict):
    """Class folders, below one folder per split if the release has a split; or images whose names hold the class."""

    kind: Literal["folders"]
    splits: dict[Split, str] = Field(default_factory=dict, description="Split -> folder; none: classes on top.")
    folders: dict[str, int] = Field(default_factory=dict, description="Folder -> class index; default: class names.")
    label: str | None = Field(
        None,
        description="Regular expression on the path below the data folder with a named part `label`, a key of"
        " `folders`: then there are no class folders.",
    )
    only: str | None = Field(None, description="Regular expression: images whose path does not match are left out.")
    first: int | None = Field(
        None, gt=0, description="Number of images of each class to take, in the order of their paths."
    )
    group: str | None = Field(None, description="Regular expression on the path with a named part `group`.")
    extensions: list[str] = Field(default=[".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"])
    examples: list[Example] = Field(
        default_factory=list, description="Images as the release names them. Give one if the card has patterns."
    )

    @model_validator(mode="after")
    def _examples_hold(self) -> FolderLayout:
        for example in self.examples:
            example.check(self.named(example.image))
            if self.folders and self.below(example.image, ()) is None:
                raise ExampleError(f"example '{example.image}' is in none of the folders {', '.join(self.folders)}")
        return self

    def named(self, path: str) -> Named:
        """Return what the card finds in the path of an image.

        Raises:
            ExampleError: The card leaves the image out, or a pattern is malformed or finds nothing, or no known class.
        """
        if not path.lower().endswith(tuple(ending.lower() for ending in self.extensions)):
            raise ExampleError(f"example '{path}' has none of the extensions {' '.join(self.extensions)}")
        if self.only and not matched(self.only, path):
            raise ExampleError(f"`only` leaves out '{path}'")
        label = captured(self.label, "label", path)
        if self.folders and label and label not in self.folders:
            raise ExampleError(f"example '{path}': the label '{label}' is none of {', '.join(self.folders)}")
        return Named(path, label, captured(self.group, "group", path))

    def below(self, path: str, classes: Sequence[str]) -> str | None:
        """Return the part of a path below the folders of its split and class; None: it is in none of them.

        Args:
            path: Path of an image below the data folder.
            classes: Names of the class folders where `folders` is empty.
        """
        tops = [""] if self.label else list(self.folders or classes)
        for split in self.splits.values() or [""]:
            for top in tops:
                base = "".join(f"{part}/" for part in (split.strip("/"), top) if part)
                if path.startswith(base):
                    return path.removeprefix(base)
        return None


class NpzLayout(Strict):
    """A MedMNIST file: arrays `train_images` (n, h, w[, 3]) uint8 and `train_labels` (n, 1 or classes), and so on."""

    kind: Literal["npz"]
    file: str = Field(description="The .npz file below the data folder.")


class ListLayout(Strict):
    """Official text files with one image name a line, the label being part of the name."""

    kind: Literal["lists"]
    lists: dict[Split, str] = Field(min_length=1, description="Split -> text file below the data folder.")
    image: str = Field("{name}", description="Template of the image path; `{name}` is the line.")
    label: str = Field(description="Regular expression on the name with a named part `label`.")
    values: dict[str, int] = Field(min_length=1, description="Raw label -> class index.")
    group: str | None = Field(None, description="Regular expression on the name with a named part `group`.")
    examples: list[Example] = Field(
        default_factory=list,
        description="Lines of the lists, as `cells: {name: LINE}`, and the images that they name; see the layout csv.",
    )

    @model_validator(mode="after")
    def _examples_hold(self) -> ListLayout:
        for example in self.examples:
            example.check(self.named(example.cells.get("name", "")))
        return self

    def named(self, name: str) -> Named:
        """Return what the card finds in a line of a list.

        Raises:
            ExampleError: A pattern is malformed or finds nothing, or no known class.
        """
        label = captured(self.label, "label", name)
        if label not in self.values:
            raise ExampleError(f"example '{name}': the label '{label}' is none of {', '.join(self.values)}")
        return Named(filled(self.image, {"name": name}), label, captured(self.group, "group", name))


class ToyLayout(Strict):
    """Images that medbench draws itself. They say nothing about medicine."""

    kind: Literal["toy"]
    recipe: Literal["grades", "binary", "shapes", "findings"]
    n: int = Field(600, gt=0)
    size: int = Field(64, gt=0)
    seed: int = 0


Layout = Annotated[CsvLayout | FolderLayout | ListLayout | NpzLayout | ToyLayout, Field(discriminator="kind")]


class SplitRule(Strict):
    """How one named split is made.

    - `official` takes the release's own (and cuts `val` from train where it has none);
    - `stratified` draws samples and `grouped` draws whole groups, both keeping class shares;
    - `kfold` draws whole groups into `folds` parts, keeping class shares: part `fold` is test, the next one val;
    - `fewshot` draws `shots` training and `shots` validation samples of each class, no group in both, from the training
      part of the rule `base`, whose test part stays;
    - `holdout` is FLAIR's: rows shuffled by `random.seed(seed)`, then per class the first `int(test * n)` are test, the
      next `int(train * n)` train; `val` is cut from train by us, since every choice here needs one;
    - `shuffle` is the WACV 2024 rule: `random.Random(seed)` shuffles the row numbers, the first `int(held_out * n)` are
      val then test by halves, the rest is train;
    - `contiguous` is its rule for CheXpert: rows by path, the first `int(held_out * n) + extra` are val then test
      by halves, the rest is train. With `disjoint: false` its slices are taken to the row; the row that it has in val
      and test counts as val, the one in test and train as train (a row has one split).
    """

    method: Method
    seed: int = 0
    val: float = Field(0.15, ge=0, lt=1, description="Share of validation (for `official`: of train, if it has none).")
    test: float = Field(0.15, ge=0, lt=1, description="Share of test; unused by `official`.")
    train: float | None = Field(None, gt=0, le=1, description="`holdout`: share of train; none: what is not test.")
    folds: int = Field(5, gt=2, description="`kfold`: number of parts.")
    fold: int = Field(0, ge=0, description="`kfold`: the part that is test.")
    shots: int = Field(10, gt=0, description="`fewshot`: samples of each class.")
    base: Name | None = Field(None, description="`fewshot`: the rule whose training part is drawn from.")
    held_out: float = Field(0.3, gt=0, lt=1, description="`shuffle`, `contiguous`: share of val and test together.")
    extra: int = Field(0, ge=0, description="`contiguous`: rows that val and test have beyond that share.")
    disjoint: bool = Field(
        True,
        description="`contiguous`: groups stay together, no row twice; false: cut at the row, as the WACV code does.",
    )
    check: dict[Split, list[int]] = Field(
        default_factory=dict,
        description="`shuffle`: the first row numbers of each split, published; checked when the split is read.",
    )
    source: str = Field("", description="Source of the split.")


class Splits(Strict):
    """The named splits of a data set."""

    default: Name
    rules: dict[Name, SplitRule] = Field(min_length=1)

    @model_validator(mode="after")
    def _default_known(self) -> Splits:
        if self.default not in self.rules:
            raise ValueError(f"default split '{self.default}' is not among rules: {', '.join(self.rules)}")
        return self


class Download(Strict):
    """One file that anyone may download."""

    urls: list[str] = Field(min_length=1, description="Its URLs: mirrors are tried in this order.")
    name: str = Field(description="Its name in the data folder.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(None, gt=0)
    unpack: bool = Field(True, description="Whether a zip or tar archive is unpacked in the data folder.")


class Access(Strict):
    """How to get the data."""

    kind: Literal["open", "kaggle", "form", "generated", "own"] = "open"
    url: str = ""
    steps: str = Field("", description="What to do, command by command; shown when the data are missing.")
    files: list[Download] = Field(
        default_factory=list, description="Files that can be downloaded directly, in this order."
    )


class Counts(Strict):
    """The contents of a complete copy."""

    images: int | None = Field(None, ge=0)
    classes: list[int] | None = Field(None, description="Images per class, in the order of `classes`.")
    splits: dict[Split, int] = Field(default_factory=dict, description="Images per official split.")


class DatasetCard(Card):
    """One data set with one task."""

    modality: str = Field("", description="E.g. `colour fundus`, `chest X-ray`, `dermoscopy`.")
    licence: str = ""
    access: Access = Field(default_factory=Access)
    layout: Layout
    task: Task
    classes: list[Class] = Field(min_length=1)
    channels: Literal[1, 3] = Field(3, description="1: decoded to grey, 3: to RGB.")
    metric: str = Field(description="Primary metric id, e.g. `kappa_quadratic`; used for every choice.")
    mean: list[float] | None = Field(None, description="Published mean on [0, 1]; none: computed from train.")
    std: list[float] | None = Field(None, description="Published deviation on [0, 1]; none: computed from train.")
    splits: Splits
    counts: Counts = Field(default_factory=Counts)
    verified: bool = Field(True, description="False: the counts were not verified on the files; runs carry a warning.")
    also: list[str] = Field(default_factory=list, description="Other names, for contamination lists.")

    @property
    def toy(self) -> bool:
        """Whether the images are drawn by medbench."""
        return self.layout.kind == "toy"

    @property
    def class_names(self) -> list[str]:
        """The classes' names, in index order."""
        return [c.name for c in self.classes]

    @model_validator(mode="after")
    def _consistent(self) -> DatasetCard:
        n = len(self.classes)
        if self.task == "binary" and n != 2:
            raise ValueError(f"a binary task has 2 classes, not {n}")
        if isinstance(self.layout, CsvLayout) and self.layout.labels is not None and len(self.layout.labels) != n:
            raise ValueError(f"layout.labels names {len(self.layout.labels)} columns for {n} classes")
        several = getattr(self.layout, "labels", None) or getattr(self.layout, "separator", None)
        if self.task == "multilabel" and not several and self.layout.kind not in ("toy", "npz"):
            raise ValueError("a multilabel task needs layout.labels, one column per class, or layout.separator")
        if (self.mean is None) != (self.std is None):
            raise ValueError("give both mean and std, or neither")
        for stat in (self.mean, self.std):
            if stat is not None and len(stat) != self.channels:
                raise ValueError(f"mean and std need {self.channels} numbers each")
        return self

    def material(self) -> dict[str, Any]:
        """Return the fields that can change a number; samples and split have their own digests."""
        return {
            "task": self.task,
            "classes": self.class_names,
            "channels": self.channels,
            "metric": self.metric,
            "mean": self.mean,
            "std": self.std,
        }
