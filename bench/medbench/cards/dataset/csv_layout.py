"""How a label table is read: which columns hold the image, the label, the group and the split."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Cell, ClassNumber, Replacements, Strict, has_part
from medbench.cards.dataset.example import Example, ExampleError, Named, captured, check_all, filled
from medbench.cards.dataset.splits import Split
from medbench.storage.patterns import Expression

GroupPattern = Annotated[str, has_part("group")]
IndexPattern = Annotated[str, has_part("index")]
SubgroupName = Annotated[str, Field(pattern=r"^[^,:*]+$")]
"""`--by` gives `,`, `:` and `*` a meaning."""
SUBGROUP = "subgroup_"
"""How the columns of subgroups begin in tables of samples and of predictions."""


class Join(Strict):
    """A second table with further columns of the same rows."""

    file: str = Field(description="Path of the file below the data folder.")
    by: str = Field(description="Column that both tables have; its values are unique in the second table.")


class LabelTable(Strict):
    """One table of labels: a CSV file, or a workbook (.xlsx), of which the first sheet is read."""

    file: str | list[str] = Field(
        description="Path of the file below the data folder; of several paths, the first that exists is used."
    )
    split: Split | None = Field(
        None, description="Split of all rows of this table, if the release has one file per split."
    )
    image: str | None = Field(None, description="Image template of this table, if it differs from the layout's.")
    header: int = Field(
        1, gt=0, le=100_000, description="Number of the header line, from 1; lines above it are ignored."
    )
    unnamed: str | None = Field(None, description="Name for a column without a header.")
    join: Join | None = Field(None, description="A second table with further columns (such as ISIC's lesions).")


class Slices(Strict):
    """A second input of each sample: an image, or a folder of images that are the slices of a volume."""

    image: str = Field(description="Template of the image, or of the folder, below the data folder.")
    slices: IndexPattern | None = Field(
        None,
        description="Regular expression for the file names of slices, with a group `index`; default: `image` "
        "is one image.",
    )
    example: str | None = Field(None, description="File name of one slice, as an example; it must match `slices`.")
    channels: Literal[1, 3] | None = Field(None, description="Number of channels, if different from the card's.")

    @model_validator(mode="after")
    def _example_matches(self) -> Slices:
        if self.example and not Expression(self.slices or "").fullmatch(self.example):
            raise ValueError(f"the example '{self.example}' does not match `slices`")
        return self


Width = Annotated[int, Field(ge=0, le=100)]
"""Characters of a padded cell."""


class CsvLayout(Strict):
    """Labels in one or more tables; templates like `train_images/{id_code}.png` name columns in braces."""

    kind: Literal["csv"] = Field(description="Label tables.")
    tables: list[LabelTable] = Field(min_length=1, description="The tables; their rows are concatenated.")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Character that separates the cells.")
    encoding: str = Field("utf-8-sig", description="Text encoding, such as `latin-1`.")
    image: str = Field(
        "",
        description="Template of the image path below the data folder; default: the column called image, path, file "
        "or filename.",
    )
    replace: Replacements = Field(
        default_factory=dict, description="Regular expression -> replacement in the image path, applied in order."
    )
    match: Literal["exact", "stem"] = Field(
        "exact", description="`stem`: the file extension may differ from the one in the table."
    )
    id: str | None = Field(None, description="Template of the sample id; default: the image path.")
    label: str | list[str] | None = Field(
        None,
        description="Column of the class (number, name or key of `values`); of several columns, the first non-empty "
        "cell is used.",
    )
    listed: bool = Field(
        False, description="True: the label cell is a list in Python notation; its first element is used."
    )
    labels: list[str] | None = Field(None, description="One column (0 or 1) per class, in the order of `classes`.")
    none: str | None = Field(
        None, description="Multilabel: class that rows get in which no other class is 1 (CheXpert)."
    )
    separator: str | None = Field(
        None, description="Multilabel: text that separates the classes in the cell of `label`."
    )
    nothing: list[Cell] = Field(default_factory=list, description="With `separator`: words that mean `no class`.")
    pad: dict[str, Width] = Field(
        default_factory=dict, description="Column -> width: cells are padded with zeros on the left."
    )
    input: str = Field("image", description="Name of the input that `image` gives, if a sample has several inputs.")
    inputs: dict[str, Slices] = Field(default_factory=dict, description="Further input images of each sample, by name.")
    values: dict[Cell, ClassNumber] = Field(
        default_factory=dict,
        description="Text of the cell -> class, by name or number (`labels`: -> 0 or 1); `'*'`: every other text.",
    )
    where: dict[str, list[Cell]] = Field(
        default_factory=dict, description="Column -> texts: only rows with one of these texts are kept."
    )
    leave_out: dict[str, list[Cell]] = Field(
        default_factory=dict, description="Column -> texts: rows with one of these texts are left out."
    )
    group: str | None = Field(
        None, description="Template of the group whose images a split must keep together: patient, lesion, eye."
    )
    group_pattern: GroupPattern | None = Field(
        None, description="Instead of `group`: regular expression for the image path with a group `group`."
    )
    split: str | None = Field(None, description="Column of the official split.")
    subgroups: dict[SubgroupName, str] = Field(
        default_factory=dict,
        description="For `medbench table --by`: name -> column that describes the patient or image, such as `sex: "
        "Patient Gender`. Its values are stored with the predictions. The column may be absent from a release.",
    )
    split_values: dict[Cell, Split] = Field(
        default_factory=dict, description="Text in the split column -> train, val or test."
    )
    examples: list[Example] = Field(
        default_factory=list,
        description="Example rows of the tables and the images that they name. Give one if the card has patterns.",
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
            text = Expression(pattern).sub(new, text)
        image = posixpath.normpath(text.replace("\\", "/"))
        return Named(image, group=captured(self.group_pattern, "group", image))

    def padded(self, cells: Mapping[str, str]) -> dict[str, str]:
        """Return the cells with the zeros of `pad` on their left."""
        return {name: cell.zfill(self.pad.get(name, 0)) for name, cell in cells.items()}
