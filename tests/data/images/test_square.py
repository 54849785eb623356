"""The rule of the stored square, from a protocol's settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from medbench.cards import Settings
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule, rule_of

from ..made import own


def test_the_padding_of_one_channel_is_the_mean_of_the_colour() -> None:
    rule = rule_of(own("sam"), 64, 1)
    assert rule.fill == (115,)
    square = np.asarray(fitted(Image.new("L", (64, 10), 255), rule))
    assert (square[:10] == 255).all()
    assert (square[10:] == 115).all()
    assert rule_of(Settings(fit="longest", fill=[7]), 64, 3).fill == (7, 7, 7)


def test_the_stored_side_is_cut_off_but_whole_numbers_stay() -> None:
    # 224 / .9 = 248.9: timm stores 248; 1 / crop is rounded, 224 / .875 is 256 all the same
    assert rule_of(own("retfound", crop=0.9), 224, 3).size == 248
    for size in range(7, 2000, 7):
        assert rule_of(own("retfound"), size, 3).size == size * 8 // 7


def test_new_settings_are_off_and_reach_the_rule() -> None:
    assert rule_of(Settings(), 224, 3) == SquareRule(256, "squash", "bilinear", False, 3, False, ())
    settings = Settings(fit="longest", foreground=True, fill=[1, 2, 3], resize_ratio=1)
    assert rule_of(settings, 64, 3) == SquareRule(64, "longest", "bilinear", False, 3, True, (1, 2, 3))


def test_rule_of_settings() -> None:
    assert rule_of(Settings(), 224, 3) == SquareRule(256, "squash", "bilinear", False, 3)
    assert rule_of(Settings(), 1024, 1).size == 1170
    other = Settings(resize_ratio=1, fit="shortest", interpolation="bicubic", draft=True)
    assert rule_of(other, 64, 1) == SquareRule(64, "shortest", "bicubic", True, 1)


def test_a_crop_is_of_the_whole_image_and_not_of_a_draft() -> None:
    # a draft would leave 20 pixels of a small disc in a large file
    rule = SquareRule(36, "canvas", "bicubic", True, 3, True, (3, 200, 90))
    assert rule.draft
    assert rule.draft_size is None
    assert replace(rule, foreground=False).draft_size == 36
    assert replace(rule, foreground=False, draft=False).draft_size is None
