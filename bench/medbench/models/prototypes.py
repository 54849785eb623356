"""One vector for each class, made of its texts, and how near images are to it.

Three rules make one vector of a class's texts t_p. `unit` is CLIP's (its notebook, open_clip, Tip-Adapter): unit(mean
unit(t_p)). `flair` is FLAIR's (Silva-Rodríguez et al. 2025): mean unit(t_p), shorter than 1 where the texts disagree; a
unit vector's product with it is the mean of the texts' cosines. `raw` is CLAP's (Silva-Rodríguez et al. 2024): mean
t_p, where long vectors weigh more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rule = Literal["unit", "flair", "raw"]
Floats = NDArray[np.floating]


def unit(vectors: Floats) -> NDArray[np.float64]:
    """Return vectors (…, d) at length 1; those of length 0 stay."""
    found = np.asarray(vectors, np.float64)
    length = np.linalg.norm(found, axis=-1, keepdims=True)
    return found / np.where(length == 0, 1.0, length)


def prototypes(vectors: Sequence[Floats], rule: Rule) -> NDArray[np.float32]:
    """Return one vector for each class, (c, d).

    Args:
        vectors: Of each class the vectors of its texts as the tower gives them, (p, d), p > 0.
        rule: `unit`: of length 1; `flair`: of length 1 at most; `raw`: of any length.
    """
    parts = [np.asarray(one, np.float64) if rule == "raw" else unit(one) for one in vectors]
    means = np.stack([part.mean(axis=0) for part in parts])
    return (unit(means) if rule == "unit" else means).astype(np.float32)


def cosines(images: Floats, classes: Floats, rule: Rule) -> NDArray[np.float64]:
    """Return how near images are to classes, (n, c), from -1 to 1.

    Args:
        images: Features in the space of the texts, (n, d), of any length.
        classes: Vectors of `prototypes`, (c, d).
        rule: Theirs: FLAIR's keep their length, all others have length 1.
    """
    return unit(images) @ (np.asarray(classes, np.float64) if rule == "flair" else unit(classes)).T


def logits(
    near: Floats, scale: float, *, absent: Floats | None = None, bias: float | None = None
) -> NDArray[np.float64]:
    """Return the logits of classes, (n, c).

    Without `absent` and `bias`, their softmax is the probability of one class of several. With `absent`, their sigmoid
    is the probability of a finding: the softmax over the pair of texts that say that it is there or not. With `bias`,
    their sigmoid is SigLIP's probability of a finding.

    Args:
        near: Cosines to the classes, (n, c).
        scale: Factor on cosines.
        absent: Cosines to the absence of each finding, (n, c).
        bias: Added to scaled cosines.
    """
    difference = near if absent is None else near - absent
    return scale * np.asarray(difference, np.float64) + (bias or 0.0)
