"""Which image sizes an encoder takes besides the one that it was built for."""

from __future__ import annotations

import torch

from medbench.models.encoder import Encoder
from medbench.models.libraries import REFUSED


def refusal(encoder: Encoder, size: int) -> str:
    """Return why an encoder takes no square images of `size` pixels, or an empty text; one is tried."""
    place = next(encoder.parameters())
    image = torch.zeros((1, encoder.in_chans, size, size), dtype=place.dtype, device=place.device)
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval()
    try:
        with torch.no_grad():
            encoder.pooled(image)
    except REFUSED as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    finally:
        for module, mode in modes.items():
            module.training = mode
    return ""


def whole_patches(encoder: Encoder, size: int) -> int | None:
    """Return the next size from `size` on that is a whole number of patches; None where that is no question."""
    patch = getattr(getattr(encoder.network, "patch_embed", None), "patch_size", None)
    side = max(patch) if isinstance(patch, tuple) else 0
    return -(-size // side) * side if side and size % side else None
