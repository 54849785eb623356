"""Named draws: the name alone is the seed."""

from __future__ import annotations

import numpy as np
import pytest

from medbench.seeding import generator, seed_of


def test_the_seed_is_the_first_63_bits_of_the_names_sha256() -> None:
    # printf linear-frozen/order/3/0 | sha256sum
    assert seed_of("linear-frozen", "order", 3, 0) == 0x0114BC620C96C2F3 >> 1
    assert 0 <= seed_of() < 2**63


def test_other_names_give_other_seeds_and_numbers_count_as_their_digits() -> None:
    names = [("order", seed, epoch) for seed in range(20) for epoch in range(20)]
    assert len({seed_of(*one) for one in names}) == 400
    assert seed_of("order", 1) == seed_of("order", "1")
    assert seed_of("order", 1) != seed_of(1, "order")


def test_a_draw_depends_on_its_name_and_not_on_earlier_draws() -> None:
    first = generator("views", 0).random(5)
    np.random.default_rng().random(3)
    generator("other").random(7)
    assert np.array_equal(generator("views", 0).random(5), first)
    assert not np.array_equal(generator("views", 1).random(5), first)
    assert first == pytest.approx(np.random.Generator(np.random.PCG64(seed_of("views", 0))).random(5), abs=0)
