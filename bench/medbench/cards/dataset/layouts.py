"""How the files of a release lie: class folders, lists, MedMNIST files, toy sets, or label tables (`csv_layout`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medbench.cards.base import Cell, ClassNumber, Pattern, Strict, has_part
from medbench.cards.dataset.csv_layout import CsvLayout, GroupPattern, Slices
from medbench.cards.dataset.example import Example, ExampleError, Named, captured, check_all, filled
from medbench.cards.dataset.splits import Split
from medbench.storage.patterns import Expression

LabelPattern = Annotated[str, has_part("label")]

ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".jp2", ".j2k", ".tga", ".avif", ".dcm", ".dicom"),
)
"""What image files end in; a text like `0001.2` keeps its dot."""


class FolderLayout(Strict):
    """Class folders, below one folder per split if the release has a split; or images with the class in their names."""

    kind: Literal["folders"] = Field(description="Class folders.")
    splits: dict[Split, str] = Field(
        default_factory=dict, description="Split -> folder; default: the class folders are at the top."
    )
    folders: dict[Cell, ClassNumber] = Field(
        default_factory=dict,
        description="Folder -> class, by name or number; default: folders have the names of the classes.",
    )
    label: LabelPattern | None = Field(
        None,
        description="Regular expression for the path below the data folder with a group `label`, which is a key of "
        "`folders`; used if there are no class folders.",
    )
    only: Pattern | None = Field(None, description="Regular expression: images whose path does not match are left out.")
    first: int | None = Field(
        None, gt=0, description="Use only this many images of each class, in the order of the paths."
    )
    group: GroupPattern | None = Field(None, description="Regular expression for the path with a group `group`.")
    extensions: list[str] = Field(
        default_factory=lambda: list(ENDINGS), description="Extensions of image files; default: all that can be read."
    )
    examples: list[Example] = Field(
        default_factory=list,
        description="Example images, as the release names them. Give one if the card has patterns.",
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
        if not path.lower().endswith(tuple(map(str.lower, self.extensions))) or not Expression(self.only or "").search(
            path
        ):
            raise ExampleError(f"`extensions` or `only` leave out '{path}'")
        label = captured(self.label, "label", path)
        if label and self.folders and label not in self.folders:
            raise ExampleError(f"'{path}' has the unknown label '{label}'")
        return Named(path, label, captured(self.group, "group", path))


class NpzLayout(Strict):
    """A MedMNIST file: arrays `train_images` (n, h, w[, 3]) uint8 and `train_labels` (n, 1 or classes), and so on."""

    kind: Literal["npz"] = Field(description="A MedMNIST file.")
    file: str = Field(description="The .npz file below the data folder.")
    volume: bool = Field(
        False,
        description="True: images are volumes (n, d, h, w), with the inputs `slice` (the middle one) and `volume`.",
    )

    @property
    def input(self) -> str:
        """Name of the first input, if there are several."""
        return "slice" if self.volume else "image"

    @property
    def inputs(self) -> dict[str, Slices]:
        """Further inputs by name."""
        return {"volume": Slices(image="{volume}", slices=r"(?P<index>\d+)\.png")} if self.volume else {}


class ListLayout(Strict):
    """Official text files with one image name per line; the label is part of the name."""

    kind: Literal["lists"] = Field(description="Text files of image names.")
    lists: dict[Split, str] = Field(min_length=1, description="Split -> text file below the data folder.")
    image: str = Field("{name}", description="Template of the image path; `{name}` stands for the line.")
    label: LabelPattern = Field(description="Regular expression for the name with a group `label`.")
    values: dict[Cell, ClassNumber] = Field(min_length=1, description="Label -> class, by name or number.")
    group: GroupPattern | None = Field(None, description="Regular expression for the name with a group `group`.")
    examples: list[Example] = Field(
        default_factory=list,
        description="Example lines of the lists, as `cells: {name: LINE}`, and the images that they name.",
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
    """Images that medbench generates. Results on them say nothing about medicine."""

    kind: Literal["toy"] = Field(description="Images that medbench generates.")
    recipe: Literal["grades", "binary", "shapes", "findings"] = Field(description="Kind of images.")
    n: int = Field(600, gt=0, le=100_000, description="Number of images.")
    size: int = Field(64, gt=0, le=4_096, description="Side of an image in pixels.")
    seed: int = Field(0, description="Random seed of the images.")


Layout = Annotated[CsvLayout | FolderLayout | ListLayout | NpzLayout | ToyLayout, Field(discriminator="kind")]
