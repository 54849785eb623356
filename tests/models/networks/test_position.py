"""Position tables at another grid, against resampling written out as matrices."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from medbench.cards import ModelCard, find_model, names
from medbench.cards.model import Position
from medbench.errors import WeightsError
from medbench.models.load import load_model
from medbench.models.networks.position import adapt_position, resize_line, resize_table
from medbench.models.weights.read import fill

OFFSET = "dino dinov2 dinov2-small dinov2-large dinov2-giant rad-dino visionfm- retfiner-v"
PLAIN = "imagenet blip mae- retfound retfound-oct retfound-dinov2 urfound retfiner- medsiglip"
SMOOTH = "openclip clip biomedclip sam siglip2 eva02 eva02-large pe-core pe-core-large aimv2 dinov2-reg retfound-green"
TIMM = "aimv2-huge vit-base clip-in1k eva02-clip"
RULES = {
    **{name: {"antialias": False, "offset": 0.1} for name in OFFSET.split()},  # scale factor (g + 0.1) / side
    **{name: {"antialias": False, "offset": 0.0} for name in PLAIN.split()},  # to a size
    **{
        name: {"antialias": True, "offset": 0.0}
        for name in [*SMOOTH.split(), *TIMM.split(), *["coca", "coca-large", "toy-vit", "toy-clip"]]
    },  # as timm and open_clip
}
"""Card, or beginning of the names of several -> how its official code resizes."""
NO_TABLE = (
    "flair seem resnet18 resnet50 resnet152 toy-cnn dinov3 dinov3-small dinov3-large sam2 sam2-base-plus sam2-large "
    "alexnet vgg16 densenet121 efficientnet-b4"
)


def rule_of(name: str) -> dict[str, Any]:
    return RULES.get(name) or RULES[next(start for start in RULES if start.endswith("-") and name.startswith(start))]


def cubic(distance: float, a: float) -> float:
    d = abs(distance)
    if d < 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def matrix(old: int, new: int, antialias: bool, offset: float = 0.0) -> Tensor:
    """Return the (new, old) weights of bicubic resampling along one axis.

    Without antialiasing four taps with Keys' a = -0.75, the border repeated; with it a = -0.5 over a support that grows
    as the grid shrinks, cut at the border and normalised.
    """
    scale = (new + offset) / old
    found = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        centre = (i + 0.5) / scale - 0.5
        if antialias:
            stretch = max(1 / scale, 1.0)
            weights = [cubic((j - centre) / stretch, -0.5) for j in range(old)]
            found[i] = torch.tensor(weights, dtype=torch.float64) / sum(weights)
            continue
        for tap in range(math.floor(centre) - 1, math.floor(centre) + 3):
            found[i, min(max(tap, 0), old - 1)] += cubic(tap - centre, -0.75)
    return found


def resampled(cells: Tensor, new: int, **how: Any) -> Tensor:
    """Return cells (g, g, d) as (new, new, d)."""
    one = matrix(cells.shape[0], new, **how)
    return torch.einsum("ai,bj,ijd->abd", one, one, cells.double())


def network_of(name: str, *shape: int) -> nn.Module:
    """Return a module whose one parameter has this name and shape."""
    net = nn.Module()
    *folders, last = name.split(".")
    place = net
    for folder in folders:
        place.add_module(folder, nn.Module())
        place = place.get_submodule(folder)
    place.register_parameter(last, nn.Parameter(torch.zeros(shape)))
    return net


def adapted(given: Tensor, name: str, *shape: int, **rule: Any) -> Tensor:
    state = {name: given}
    adapt_position(state, network_of(name, *shape), Position(**rule))
    assert list(state) == [name]
    return state[name]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found.double(), wanted.double(), rtol=0, atol=5e-5)


FORMS = {  # form -> (shape of a table for a grid, its prefix rows)
    "pos_embed": (lambda g: (1, 1 + g * g, 4), 1),
    "visual.positional_embedding": (lambda g: (1 + g * g, 4), 1),
    "inner.embeddings.position_embedding.weight": (lambda g: (g * g, 4), 0),
    "visual.trunk.pos_embed": (lambda g: (1, 5 + g * g, 4), 5),
    "cells": (lambda g: (1, g, g, 4), 0),
}


@pytest.mark.parametrize("grid", [3, 6, 13])
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("how", [{"antialias": False}, {"antialias": True}, {"antialias": False, "offset": 0.1}])
def test_tables_of_every_form(how: dict[str, Any], name: str, grid: int) -> None:
    shape, prefix = FORMS[name]
    table = torch.randn(shape(7), generator=torch.Generator().manual_seed(grid))
    found = adapted(table, name, *shape(grid), table=name, **how)
    assert found.shape == shape(grid)
    rows, old = found.reshape(-1, 4), table.reshape(-1, 4)
    assert torch.equal(rows[:prefix], old[:prefix])
    close(rows[prefix:].reshape(grid, grid, 4), resampled(old[prefix:].reshape(7, 7, 4), grid, **how))


def test_rows_and_columns_are_not_mixed_up() -> None:
    ramp = torch.arange(6.0).repeat(6, 1)  # grows along a row
    table = torch.stack([ramp, ramp.T], dim=-1).reshape(1, 36, 2)
    cells = adapted(table, "pos_embed", 1, 9, 2, antialias=True).reshape(3, 3, 2)
    assert (cells[:, 1:, 0] > cells[:, :-1, 0]).all()
    assert (cells[1:, :, 1] > cells[:-1, :, 1]).all()
    close(cells[..., 0], cells[..., 1].T)


@pytest.mark.parametrize("name", names("models"))
def test_every_card_resizes_as_its_official_code(name: str) -> None:
    card = find_model(name)
    if card.position is None:
        assert name in NO_TABLE.split()
        return
    rule = rule_of(name)
    for library in (None, *card.libraries):
        position = card.resolved(library=library).position
        assert position is not None
        assert position.interpolation == "bicubic"
        table = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0))
        for grid in (4, 9):
            found = adapted(table, "pos_embed", 1, 1 + grid * grid, 3, **position.model_dump() | {"table": "pos_embed"})
            close(found[0, 1:].reshape(grid, grid, 3), resampled(table[0, 1:].reshape(7, 7, 3), grid, **rule))


def test_the_rule_of_open_clip_is_its_own() -> None:
    from open_clip.model import resize_pos_embed

    table = torch.randn(1 + 49, 6)
    for grid in (4, 12):
        state = {"visual.positional_embedding": table}
        resize_pos_embed(state, SimpleNamespace(visual=SimpleNamespace(grid_size=(grid, grid))))
        rule = find_model("open_clip/ViT-B-16/laion2b_s34b_b88k").position
        assert rule is not None
        found = adapted(table, rule.table, 1 + grid * grid, 6, **rule.model_dump())
        assert torch.equal(found, state[rule.table])


def test_pairs_of_open_clip_name_their_table() -> None:
    pairs = [
        ("ViT-B-16", "openai"),
        ("RN50", "openai"),
        ("ViT-B-16-SigLIP2", "webli"),
        ("EVA02-B-16", "merged2b_s8b_b131k"),
    ]
    for arch, tag in pairs:
        card = find_model(f"open_clip/{arch}/{tag}")
        assert card.position is not None
        config = open_clip.get_model_config(arch)
        with torch.device("meta"):
            pair = open_clip.CustomTextCLIP(
                config["embed_dim"],
                {**config["vision_cfg"], "timm_model_pretrained": False},
                {"layers": 1, "width": 64, "context_length": 1, "vocab_size": 8},
            )
        assert card.position.table in pair.state_dict(), arch


def test_registers_and_the_class_row_are_timms_conversion(tmp_path: Path) -> None:
    """The official table of DINOv2 with registers has a row for the class token, which timm adds to that token."""
    fields = find_model("dinov2-reg").model_dump(exclude_unset=True)
    fields |= {"args": {"embed_dim": 16, "depth": 1, "num_heads": 2}, "features": {"pooled": "cls"}}
    card = ModelCard.model_validate(fields)
    net: Any = load_model(card, "random", image_size=70).network
    state = net.state_dict()
    table, token, registers = torch.randn(1, 26, 16), torch.randn(1, 1, 16), torch.randn(1, 4, 16)
    state |= {"pos_embed": table, "cls_token": token, "mask_token": torch.zeros(1, 16)}
    del state["reg_token"]
    torch.save(state | {"register_tokens": registers}, tmp_path / "w.pth")
    for size, grid in ((70, 5), (42, 3), (98, 7)):
        net = load_model(card, tmp_path / "w.pth", image_size=size).network
        close(net.cls_token, token + table[:, :1])
        assert torch.equal(net.reg_token, registers)
        cells = resampled(table[0, 1:].reshape(5, 5, 16), grid, antialias=True)
        close(net.pos_embed, cells.reshape(1, grid * grid, 16))


def test_a_table_that_fits_is_the_files_own() -> None:
    table = torch.randn(1, 17, 4)
    assert adapted(table, "pos_embed", 1, 17, 4, offset=0.1) is table
    assert adapted(table, "other", 1, 26, 4) is table, "a table by another name is not the rule's"
    state: dict[str, Tensor] = {}
    adapt_position(state, network_of("pos_embed", 1, 26, 4), Position())
    assert not state


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((1, 17, 4), (1, 26, 6)),  # another width
        ((17, 4), (1, 26, 4)),  # another form
        ((1, 16, 4), (1, 26, 4)),  # no class row
        ((1, 4, 5, 4), (1, 7, 7, 4)),  # no square
    ],
)
def test_a_table_of_another_kind_is_named(given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    state, net = {"pos_embed": torch.ones(given)}, network_of("pos_embed", *wanted)
    adapt_position(state, net, Position())
    with pytest.raises(WeightsError, match=r"1 of another shape: pos_embed \("):
        fill(net, state, Path("w.pth"))


def test_half_precision_is_resized_in_single() -> None:
    table = torch.randn(1, 50, 4)
    found = adapted(table.half(), "pos_embed", 1, 17, 4)
    assert found.dtype == torch.float32
    close(found, adapted(table.half().float(), "pos_embed", 1, 17, 4))


def linear(old: int, new: int) -> Tensor:
    """Return the (new, old) weights of linear resampling along one axis, the border repeated."""
    found = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        centre = min(max((i + 0.5) * old / new - 0.5, 0.0), old - 1.0)
        low = math.floor(centre)
        found[i, low] += 1 - (centre - low)
        found[i, min(low + 1, old - 1)] += centre - low
    return found


RELATIVE = "blocks.3.attn.rel_pos_h"


@pytest.mark.parametrize("grid", [14, 20, 100])
def test_relative_tables(grid: int) -> None:
    table, length = torch.randn(127, 8), 2 * grid - 1
    close(adapted(table, RELATIVE, length, 8, relative="linear"), linear(127, length) @ table.double())
    nearest = torch.tensor([i * 127 // length for i in range(length)])
    assert torch.equal(adapted(table, RELATIVE, length, 8, relative="nearest"), table[nearest])
    if grid == 14:
        assert nearest[13] == 61, "not the middle row, 63: as in the code of WACV 2024"


def test_relative_tables_are_left_where_no_rule_says_how() -> None:
    table = torch.randn(127, 8)
    assert adapted(table, RELATIVE, 27, 8) is table
    for name, shape in (
        (RELATIVE, (127, 8)),
        (RELATIVE, (27, 4)),
        ("attn.rel_pos_bias", (27, 8)),
        ("xrel_pos_h", (27, 8)),
    ):
        assert adapted(table, name, *shape, relative="linear") is table, (name, shape)
    for name in ("rel_pos_w", "image_encoder.blocks.11.attn.rel_pos_w"):
        assert adapted(table, name, 27, 8, relative="linear").shape == (27, 8)


def test_relative_tables_are_as_segment_anything_reads_them() -> None:
    from segment_anything.modeling.image_encoder import get_rel_pos

    table = torch.randn(27, 8)
    for grid in (5, 14, 30):
        line = resize_line(table, 2 * grid - 1, "linear")
        torch.testing.assert_close(get_rel_pos(grid, grid, table), get_rel_pos(grid, grid, line))


def sampled(cells: Tensor, grid: int, scale: float) -> Tensor:
    """Bicubic resampling (1, d, G, G) -> (1, d, g, g) at the points that a scale factor means, by another routine."""
    centres = (torch.arange(grid, dtype=torch.float64) + 0.5) / scale  # in cells of the old grid
    line = centres * 2 / cells.shape[-1] - 1
    points = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)[None]
    return grid_sample(cells.double(), points, mode="bicubic", padding_mode="border", align_corners=False)


@pytest.mark.parametrize(("side", "grid"), [(37, 16), (37, 73), (14, 16), (14, 28), (14, 7)])
def test_the_official_resize_of_dino(side: int, grid: int) -> None:
    table = torch.randn(1, 1 + side * side, 8)
    found = resize_table(table, grid, Position(antialias=False, offset=0.1))
    cells = table[:, 1:].reshape(1, side, side, 8).permute(0, 3, 1, 2)
    expected = sampled(cells, grid, (grid + 0.1) / side).permute(0, 2, 3, 1).reshape(1, grid * grid, 8)
    torch.testing.assert_close(found[:, 1:].double(), expected, rtol=0, atol=5e-5)
    plain = sampled(cells, grid, grid / side).permute(0, 2, 3, 1).reshape(1, grid * grid, 8)
    assert (found[:, 1:].double() - plain).abs().max() > 1e-3, "the offset matters"
    assert torch.equal(found[:, 0], table[:, 0])


def test_without_offset_the_resize_is_timms() -> None:
    from timm.layers import resample_abs_pos_embed

    table = torch.randn(1, 1 + 14 * 14, 8)
    for antialias in (True, False):
        expected = resample_abs_pos_embed(table, [9, 9], antialias=antialias)
        torch.testing.assert_close(resize_table(table, 9, Position(antialias=antialias)), expected)


def test_all_prefix_rows_are_kept() -> None:
    table = torch.randn(1, 5 + 64, 8)
    assert torch.equal(resize_table(table, 4, Position())[:, :5], table[:, :5])
    assert resize_table(table[:, 5:], 4, Position()).shape == (1, 16, 8)


def test_a_table_without_a_square_grid_is_refused() -> None:
    with pytest.raises(WeightsError, match="not a square grid"):
        resize_table(torch.zeros(1, 8 * 10, 4), 4, Position())
