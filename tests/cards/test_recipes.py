"""The settings of each kind of protocol."""

from __future__ import annotations

from typing import Any

import pytest

from medbench.cards import Settings


@pytest.mark.parametrize("fill", [[256, 0, 0], [-1], [], [0.5]])
def test_a_fill_that_is_no_colour_is_refused(fill: Any) -> None:
    with pytest.raises(ValueError, match="fill"):
        Settings(fill=fill)
