"""The further inputs of a job that trains networks: new encoders, images, cached outputs of a frozen part."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from medbench.cards.recipes import Augment, DinoPretrain
from medbench.data.pairs import Pairs, pairs_of
from medbench.data.prepared.crops import Crops
from medbench.data.prepared.transforms import Clean, Drawn, InTurn, Still, Views, normalise
from medbench.errors import MedbenchError
from medbench.features.extract import Extraction, Outputs
from medbench.features.store import FeatureFolder
from medbench.models.encoder import Encoder
from medbench.models.load import load_model
from medbench.protocols.context import FeatureBank
from medbench.runs.inputs.features import VIEW_SEED, JobInputs
from medbench.storage import cache_folder, files, paths


class NetworkInputs(JobInputs):
    """A job's features, images and networks (`protocols.context.Inputs`)."""

    elsewhere: Sequence[NetworkInputs]

    @property
    def image_size(self) -> int:
        """Side of the network's input."""
        return self.job.image_size

    def encoder(self, units: int | None = None, drop_path: float | None = None, *, any_size: bool = False) -> Encoder:
        """Return a new copy of the job's encoder, frozen; with `units`, only its first ones.

        With `any_size` a transformer of timm takes images of other sizes too: timm resamples its position table.
        """
        job = self.job
        if units is None and drop_path is None and not any_size:
            return copy.deepcopy(self.encoders.get(job))
        args = dict(job.model.args)
        if drop_path is not None:
            args["drop_path_rate"] = drop_path
        if any_size:
            args["dynamic_img_size"] = True
        card = job.model.model_copy(update={"args": args})
        return load_model(
            card,
            job.weights,
            job.image_size,
            job.dataset.card.channels,
            channel_rule=job.settings.channel_rule,
            units=units,
            device=str(self.encoders.device),
        ).channels_last()

    def second(self) -> Encoder:
        """Return a new copy of the second model, at its own size: the stack resizes its position table."""
        for card, weights in self.job.others.values():
            return load_model(card, weights, card.input.size, device=str(self.encoders.device))
        raise MedbenchError(f"{self.job.name} needs a second model", "name a model card: --set classifier=NAME")

    def images(self, split: str) -> Dataset[Tensor]:
        """Return a split's images under the evaluation transform: list of indices -> (b, h, w, c) uint8.

        After the job's own test images come those of each further data set that it is tested on.
        """
        own = self._still(self.dataset.rows(split))
        if split != "test" or not self.elsewhere:
            return own
        return InTurn([own, *(inputs.images(split) for inputs in self.elsewhere)])

    def still(self) -> Dataset[Tensor]:
        """Return the training images under the evaluation transform: list of (epoch, index) -> (b, h, w, c) uint8."""
        return Still(self.store, self.dataset.rows("train"), self.side)

    def pairs(self, split: str) -> Pairs:
        """Return categories, attributes and texts of a split's images, in their order."""
        return pairs_of(self.dataset, split)

    def drawn(self, seed: int, views: int | None, augment: Augment) -> Dataset[Any]:
        """Return the training images in augmented views: list of (view, index) -> (b, h, w, c) uint8.

        Where the device makes the views, a batch is an `Undrawn`.

        Views that are drawn in every epoch depend on the seed; those of a bank are the same for all seeds.
        """
        rows = self.dataset.rows("train")
        if views == 0:
            return self.still()
        own = VIEW_SEED if views is not None else seed
        return self._placed(Drawn(self.store, rows, self.side, augment, own))

    def crops(self, seed: int, settings: DinoPretrain) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the training images in self-supervision's crops; an index is a pair (epoch, index)."""
        size = settings.global_size or self.job.image_size
        return Crops(self.store, self.dataset.rows("train"), size, settings, seed)

    def normalise(self, batch: Tensor) -> Tensor:
        """Return a network's input (b, c, h, w) float32 of uint8 images (b, h, w, c), on their device."""
        side = self.job.image_size if self.job.settings.fit == "centre" else None  # crops have sizes of their own
        return normalise(batch, self.mean, self.std, side)

    def bank(
        self, outputs: dict[str, Outputs], wanted: str, limit_gb: float, views: int | None, augment: Augment
    ) -> FeatureBank | None:
        """Return the bank of one of several outputs of the frozen encoder; None: a bank would not be cheaper."""
        if views is None:
            return None
        for chosen in (outputs, {wanted: self._alone(outputs, wanted)}):
            if self._fits(chosen, views, limit_gb):
                return self._bank(chosen, wanted, views, augment)
        return None

    def _alone(self, outputs: dict[str, Outputs], wanted: str) -> Outputs:
        at = list(outputs).index(wanted)
        return lambda encoder, x: [outputs[wanted](encoder, x)[at if len(outputs) > 1 else 0]]

    def _fits(self, outputs: dict[str, Outputs], views: int, limit_gb: float) -> bool:
        encoder = self.encoders.get(self.job)
        one = self.normalise(Clean(self.store, self.dataset.rows("val")[:1], self.side)[[0]])
        with torch.inference_mode():
            made = next(iter(outputs.values()))(encoder, one.to(self.encoders.device))
        numbers = sum(value[0].numel() for value in made)
        size = 4 if self.job.precision == "fp32" else 2
        images = sum(len(one._rows) for one in (self, *self.elsewhere))
        images += views * len(self.dataset.rows("train"))
        free = shutil.disk_usage(_existing(paths.home())).free
        return numbers * size * images <= min(limit_gb * 2**30, free / 2)

    def _bank(self, outputs: dict[str, Outputs], wanted: str, views: int, augment: Augment) -> FeatureBank:
        names, make = list(outputs), next(iter(outputs.values()))
        at, size = names.index(wanted), self.side
        what = self._named(outputs)
        specs = [self._spec().of_output(name) for name in names]
        clean = self._clean(outputs, at)
        rows, tasks = self.dataset.rows("train"), []
        marked = files.digest(rows.tolist())
        for view in range(views):
            images = self._placed(Views(self.store, rows, size, augment, VIEW_SEED, view))
            own = [spec.of_view(view, marked, augment, VIEW_SEED) for spec in specs]
            tasks.append(Extraction(own, images, len(rows), f"{what}, view {view + 1}/{views}", make))
        drawn = [found[at] for found in self._made(tasks)]
        splits = {split: clean[self.dataset.rows(split)] for split in ("val", "test")}
        if self.elsewhere:
            further = [one._clean(outputs, at)[one._at("test")] for one in self.elsewhere]
            splits["test"] = np.concatenate([splits["test"], *further])
        return FeatureBank(splits, drawn or [clean[rows]])

    def _clean(self, outputs: dict[str, Outputs], at: int) -> NDArray[np.float32]:
        """Return one of several outputs of the frozen encoder for all images under the evaluation transform."""
        specs = [self._spec().of_output(name) for name in outputs]
        every = self._still(self._rows)
        what = f"{self._named(outputs)}, {self.dataset.corruption or 'clean'}"
        [found] = self._made([Extraction(specs, every, len(every), what, next(iter(outputs.values())))])
        return found[at]

    def _named(self, outputs: dict[str, Outputs]) -> str:
        more = " …" if len(outputs) > 1 else ""
        return f"{self.job.model.name} on {self.dataset.card.name}: {next(iter(outputs))}{more}"

    def _made(self, tasks: Sequence[Extraction]) -> list[list[NDArray[np.float32]]]:
        for bank in (made := [FeatureFolder(spec, task.n) for task in tasks for spec in task.specs]):
            cache_folder.mark(bank.path)  # another process with the same bank may end first
        self.banks += made
        return self._features(tasks)


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
