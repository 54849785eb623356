"""A paper of a few cells on cards that come with medbench."""

from __future__ import annotations

import pytest
import yaml

from medbench.cards import PaperCard

PAPER = """
name: mini
title: A paper of a few cells
tables:
  t1:
    title: Two models on two data sets
    source: Table 1
    heads: [Model, Protocol]
    seeds: 2
    splits: {aptos: grouped}
    columns:
      - {dataset: aptos, metric: kappa_quadratic, title: A}
      - {dataset: ddsm, metric: auroc, title: D}
    rows:
      - {labels: [dino, frozen], model: dino, protocol: linear-frozen}
      - {labels: [dino, near], model: dino, protocol: knn, seeds: 3, set: {split: stratified, k: 7}}
  t2:
    title: Gains of another size
    source: Table 2
    heads: [Model, Protocol]
    gain_over: t1
    preset: fixed
    columns: [{dataset: aptos, metric: kappa_quadratic, title: A}]
    rows: [{labels: [dino, frozen], model: dino, protocol: linear-frozen, set: {image_size: 448}}]
figures:
  bars:
    kind: bars
    title: Neighbours
    source: Figure 1
    panels: [{dataset: ddsm, title: D, metric: f1_macro}]
    rows:
      - {label: dino, model: dino, protocol: linear-frozen}
      - {label: sam, model: sam, protocol: knn}
  curves:
    kind: curves
    title: Depths
    source: Figure 2
    option: frozen
    x_title: Frozen units
    seeds: 1
    panels: [{dataset: aptos, title: A, metric: auroc, protocol: freeze, first: linear-unfrozen, last: linear-frozen}]
    lines: [{label: dino, model: dino, units: 3}]
"""


@pytest.fixture
def paper() -> PaperCard:
    return PaperCard.model_validate(yaml.safe_load(PAPER))
