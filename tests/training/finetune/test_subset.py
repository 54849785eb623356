"""Which parameters are trained: biases, or normalisation layers, in every family of encoders."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from segment_anything.modeling.common import LayerNorm2d
from torch import nn

from medbench.errors import CardError
from medbench.models.encoder import Encoder
from medbench.training.finetune.subset import thaw_biases, thaw_norms

from ...models.small import small

NAMES = [
    ("toy-vit", None, None), ("toy-cnn", None, None), ("dinov2", None, None), ("eva02", None, None),
    ("clip", "open_clip", "tiny-vit"), ("blip", "transformers", None), ("sam", "segment_anything", None),
    ("seem", None, None),
]  # fmt: skip
NORMS = (nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm, nn.RMSNorm, LayerNorm2d)


@pytest.mark.parametrize(("name", "library", "arch"), NAMES)
def test_biases_and_norms_are_found_by_name_and_by_type(name: str, library: str | None, arch: str | None) -> None:
    made = small(name, library, arch)
    thaw_biases(made)
    trained = {name for name, value in made.network.named_parameters() if value.requires_grad}
    assert trained == {name for name, _ in made.network.named_parameters() if re.search(r"bias$", name)}
    made.requires_grad_(False)
    thaw_norms(made)
    trained = {name for name, value in made.network.named_parameters() if value.requires_grad}
    norms = [name for name, module in made.network.named_modules() if isinstance(module, NORMS)]
    own = {f"{name}.{part}" for name in norms for part in ("weight", "bias")}
    assert trained == own & dict(made.network.named_parameters()).keys()
    assert trained
    assert all(value.ndim == 1 for value in made.parameters() if value.requires_grad)


@pytest.mark.parametrize(("thaw", "what"), [(thaw_biases, "biases"), (thaw_norms, "normalisation parameters")])
def test_an_encoder_without_any_is_refused(thaw: Callable[[Encoder], None], what: str) -> None:
    made = small("toy-cnn")
    made.network = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    with pytest.raises(CardError, match=f"toy-cnn has no {what} to train") as caught:
        thaw(made)
    assert "linear-frozen" in caught.value.hint
