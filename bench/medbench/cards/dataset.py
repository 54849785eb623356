"""The data set card: where the data come from, their files, what the labels mean and how they are split."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from medbench.cards.base import Card, Name, Pattern, Replacements, Strict, has_part
from medbench.cards.example import Example, ExampleError, Named, captured, check_all, filled

Task = Literal["binary", "multiclass", "ordinal", "multilabel"]
Split = Literal["train", "val", "test"]
Method = Literal["official", "stratified", "grouped", "kfold", "fewshot", "holdout", "shuffle", "contiguous"]
METHODS: tuple[Method, ...] = get_args(Method)

LabelPattern = Annotated[str, has_part("label")]
GroupPattern = Annotated[str, has_part("group")]
IndexPattern = Annotated[str, has_part("index")]


class ClassInfo(Strict):
    """One class (or, for multilabel tasks, one finding)."""

    name: str
    prompts: list[str] = Field(
        default_factory=list, description="Texts for zero-shot classification, the most common first."
    )


Class = Annotated[ClassInfo, BeforeValidator(lambda v: {"name": str(v)} if isinstance(v, (str, int)) else v)]


class Join(Strict):
    """A second table with further columns of the same rows."""

    file: str = Field(description="Path below the data folder.")
    by: str = Field(description="The column that both tables have; its cells are unique in the second one.")


class LabelTable(Strict):
    """One table of labels: a CSV file, or a workbook (.xlsx), of which the first sheet is read."""

    file: str | list[str] = Field(description="Path below the data folder; of several names, the first that exists.")
    split: Split | None = Field(None, description="Split of all its rows, if the release has a file per split.")
    image: str | None = Field(None, description="Image template of this table, if it differs from the layout's.")
    header: int = Field(1, gt=0, description="Line of the column names, from 1; lines above it are ignored.")
    unnamed: str | None = Field(None, description="Name for a column without a name in the header.")
    join: Join | None = Field(None, description="A table with further columns (ISIC's lesions).")


class Slices(Strict):
    """A second input of each sample: an image, or a folder of images that are the slices of a volume."""

    image: str = Field(description="Template of the image, or of the folder, below the data folder.")
    slices: IndexPattern | None = Field(
        None, description="Regular expression on the file name with a named part `index`; none: `image` is one image."
    )
    example: str | None = Field(None, description="File name of one slice; it must match `slices`.")
    channels: Literal[1, 3] | None = Field(None, description="Channels, if not those of the card.")

    @model_validator(mode="after")
    def _example_matches(self) -> Slices:
        if self.example and not re.fullmatch(self.slices or "", self.example):
            raise ValueError(f"the example '{self.example}' does not match `slices`")
        return self


class CsvLayout(Strict):
    """Labels in one or more tables; templates like `train_images/{id_code}.png` name columns in braces."""

    kind: Literal["csv"]
    tables: list[LabelTable] = Field(min_length=1)
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    image: str = Field(description="Template of the image path below the data folder.")
    replace: Replacements = Field(
        default_factory=dict, description="Regular expression -> replacement in the filled image path, in order."
    )
    match: Literal["exact", "stem"] = Field(
        "exact", description="`stem`: the file's ending may differ from the one in the table."
    )
    id: str | None = Field(None, description="Template of the sample's id; default: the image path.")
    label: str | list[str] | None = Field(
        None,
        description="Column of the class (index, name or key of `values`); of several, the first that is not empty.",
    )
    listed: bool = Field(False, description="The label cell is a list in Python's notation; its first element is used.")
    labels: list[str] | None = Field(None, description="One column per class, in the order of `classes` (0 or 1).")
    none: str | None = Field(None, description="Multilabel: the class of rows in which no class is 1 (CheXpert).")
    separator: str | None = Field(
        None, description="Multilabel: the cell of `label` lists a row's classes with this text between them."
    )
    nothing: list[str] = Field(default_factory=list, description="With `separator`: words that mean no class.")
    pad: dict[str, int] = Field(default_factory=dict, description="Column -> width: cells get zeros on the left.")
    input: str = Field("image", description="Name of the input at `image`, if a sample has several inputs.")
    inputs: dict[str, Slices] = Field(default_factory=dict, description="Further inputs of each sample, by name.")
    values: dict[str, int] = Field(default_factory=dict, description="Raw text -> class index.")
    where: dict[str, list[str]] = Field(
        default_factory=dict, description="Column -> texts: rows with another text in it are left out."
    )
    group: str | None = Field(None, description="Template of what a split must keep together: patient, lesion, eye.")
    group_pattern: GroupPattern | None = Field(
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
    def _examples_match(self) -> CsvLayout:
        check_all(self.examples, self._found)
        return self

    def _found(self, example: Example) -> Named:
        templates = [table.image or self.image for table in self.tables]
        return self.named(example.cells, next((one for one in templates if self.shows(example, one)), templates[0]))

    def shows(self, example: Example, template: str) -> bool:
        """Tell whether an example is a row of a table with this image template."""
        try:
            return self.named(example.cells, template).image == example.image
        except ExampleError:
            return False

    def named(self, cells: Mapping[str, str], template: str) -> Named:
        """Return what the card finds in a row: the image's path by the template of its table, and the group in that.

        Raises:
            ExampleError: A cell is missing or a pattern finds nothing.
        """
        text = filled(template, self.padded(cells))
        for pattern, new in self.replace.items():
            text = re.sub(pattern, new, text)
        image = posixpath.normpath(text.replace("\\", "/"))
        return Named(image, group=captured(self.group_pattern, "group", image))

    def padded(self, cells: Mapping[str, str]) -> dict[str, str]:
        """Return the cells with the zeros of `pad` on their left."""
        return {name: cell.zfill(self.pad.get(name, 0)) for name, cell in cells.items()}


class FolderLayout(Strict):
    """Class folders, below one folder per split if the release has a split; or images with the class in their names."""

    kind: Literal["folders"]
    splits: dict[Split, str] = Field(
        default_factory=dict, description="Split -> folder; none: the class folders are at the top."
    )
    folders: dict[str, int] = Field(default_factory=dict, description="Folder -> class index; default: class names.")
    label: LabelPattern | None = Field(
        None,
        description="Regular expression on the path below the data folder with a named part `label`, a key of"
        " `folders`: then there are no class folders.",
    )
    only: Pattern | None = Field(None, description="Regular expression: images whose path does not match are left out.")
    first: int | None = Field(
        None, gt=0, description="Take only this many images of each class, in the order of the paths."
    )
    group: GroupPattern | None = Field(None, description="Regular expression on the path with a named part `group`.")
    extensions: list[str] = Field(default=[".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"])
    examples: list[Example] = Field(
        default_factory=list, description="Images as the release names them. Give one if the card has patterns."
    )

    @model_validator(mode="after")
    def _examples_match(self) -> FolderLayout:
        check_all(self.examples, lambda example: self.named(example.image))
        return self

    def named(self, path: str) -> Named:
        """Return what the card finds in the path of an image.

        Raises:
            ExampleError: The card leaves the image out, or a pattern finds nothing or an unknown class.
        """
        if not path.lower().endswith(tuple(map(str.lower, self.extensions))) or not re.search(self.only or "", path):
            raise ExampleError(f"`extensions` or `only` leave out '{path}'")
        label = captured(self.label, "label", path)
        if label and self.folders and label not in self.folders:
            raise ExampleError(f"'{path}' has the unknown label '{label}'")
        return Named(path, label, captured(self.group, "group", path))


class NpzLayout(Strict):
    """A MedMNIST file: arrays `train_images` (n, h, w[, 3]) uint8 and `train_labels` (n, 1 or classes), and so on."""

    kind: Literal["npz"]
    file: str = Field(description="The .npz file below the data folder.")


class ListLayout(Strict):
    """Official text files with one image name per line; the label is part of the name."""

    kind: Literal["lists"]
    lists: dict[Split, str] = Field(min_length=1, description="Split -> text file below the data folder.")
    image: str = Field("{name}", description="Template of the image path; `{name}` is the line.")
    label: LabelPattern = Field(description="Regular expression on the name with a named part `label`.")
    values: dict[str, int] = Field(min_length=1, description="Raw label -> class index.")
    group: GroupPattern | None = Field(None, description="Regular expression on the name with a named part `group`.")
    examples: list[Example] = Field(
        default_factory=list, description="Lines of the lists, as `cells: {name: LINE}`, and the images that they name."
    )

    @model_validator(mode="after")
    def _examples_match(self) -> ListLayout:
        check_all(self.examples, lambda example: self.named(example.cells.get("name", "")))
        return self

    def named(self, name: str) -> Named:
        """Return what the card finds in a line of a list.

        Raises:
            ExampleError: A pattern finds nothing or an unknown class.
        """
        label = captured(self.label, "label", name)
        if label not in self.values:
            raise ExampleError(f"'{name}' has the unknown label '{label}'")
        return Named(filled(self.image, {"name": name}), label, captured(self.group, "group", name))


class ToyLayout(Strict):
    """Images that medbench draws. Results on them say nothing about medicine."""

    kind: Literal["toy"]
    recipe: Literal["grades", "binary", "shapes", "findings"]
    n: int = Field(600, gt=0)
    size: int = Field(64, gt=0)
    seed: int = 0


Layout = Annotated[CsvLayout | FolderLayout | ListLayout | NpzLayout | ToyLayout, Field(discriminator="kind")]


class SplitRule(Strict):
    """How one named split is made.

    - `official` takes the release's own split (and draws `val` from train if the release has none);
    - `stratified` draws samples and `grouped` draws complete groups; both keep the class shares;
    - `kfold` draws complete groups into `folds` parts with equal class shares: part `fold` is test, the next val;
    - `fewshot` draws `shots` training and `shots` validation samples of each class, no group in both, from the training
      part of the rule `base`; its test part stays the same;
    - `holdout` is FLAIR's: rows shuffled by `random.seed(seed)`, then per class the first `int(test * n)` are test, the
      next `int(train * n)` train; we draw `val` from train, because every choice here needs one;
    - `shuffle` is the WACV 2024 rule: `random.Random(seed)` shuffles the row numbers, the first `int(held_out * n)` are
      val then test by halves, the rest is train;
    - `contiguous` is its rule for CheXpert: rows by path, the first `int(held_out * n) + extra` are val then test
      by halves, the rest is train. With `disjoint: false` its slices are copied exactly, but the row in both val and
      test is val here, and the row in both test and train is train (a row has one split).
    """

    method: Method
    seed: int = 0
    val: float = Field(
        0.15, ge=0, lt=1, description="Share of validation (`official`: of train, if the release has none)."
    )
    test: float = Field(0.15, ge=0, lt=1, description="Share of test; unused by `official`.")
    train: float | None = Field(None, gt=0, le=1, description="`holdout`: share of train; none: all that is not test.")
    folds: int = Field(5, gt=2, description="`kfold`: number of parts.")
    fold: int = Field(0, ge=0, description="`kfold`: the part that is test.")
    shots: int = Field(10, gt=0, description="`fewshot`: samples of each class.")
    base: Name | None = Field(None, description="`fewshot`: the rule that gives the training and test parts.")
    held_out: float = Field(0.3, gt=0, lt=1, description="`shuffle`, `contiguous`: share of val and test together.")
    extra: int = Field(0, ge=0, description="`contiguous`: rows that val and test have beyond that share.")
    disjoint: bool = Field(
        True, description="`contiguous`: complete groups, no row twice; false: exact rows, as the WACV code cuts."
    )
    check: dict[Split, list[int]] = Field(
        default_factory=dict, description="`shuffle`: published first row numbers of each split; checked on reading."
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
    """One file that anyone can download."""

    urls: list[str] = Field(min_length=1, description="Its addresses; mirrors are tried in this order.")
    name: str = Field(description="Its name in the data folder.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(None, gt=0)
    unpack: bool = Field(True, description="Whether a zip or tar archive is unpacked in the data folder.")


class Access(Strict):
    """How to get the data."""

    kind: Literal["open", "kaggle", "form", "generated", "own"] = "open"
    url: str = ""
    steps: str = Field("", description="What to do, command by command; shown if the data are missing.")
    files: list[Download] = Field(default_factory=list, description="Files that anyone can download, in this order.")


class Counts(Strict):
    """What a complete copy contains."""

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
    channels: Literal[1, 3] = Field(3, description="1: images are decoded to grey, 3: to RGB.")
    dicom_window: bool = Field(False, description="Apply the first display window (VOI) of DICOM files that have one.")
    metric: str = Field(description="Id of the primary metric, e.g. `kappa_quadratic`; all choices use it.")
    mean: list[float] | None = Field(None, description="Published mean on [0, 1]; none: computed from train.")
    std: list[float] | None = Field(None, description="Published deviation on [0, 1]; none: computed from train.")
    splits: Splits
    counts: Counts = Field(default_factory=Counts)
    verified: bool = Field(True, description="False: counts are from memory or a third party; runs carry a warning.")
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
        """Return what can change a number, apart from the samples and the split, which have their own digests."""
        return {
            "task": self.task,
            "classes": self.class_names,
            "channels": self.channels,
            **({"dicom_window": True} if self.dicom_window else {}),
            "metric": self.metric,
            "mean": self.mean,
            "std": self.std,
        }
