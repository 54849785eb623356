"""Zero-shot classification: the class whose texts are nearest to an image. Nothing is trained, nothing is chosen.

One class of several: the softmax of scaled cosines (Radford et al. 2021). Its AUROC over several classes depends on the
scale; that of the cosines, which does not, is reported as well. Findings: the softmax over the pair of texts that say
that it is there or not, or SigLIP's sigmoid if the model has a bias (Zhai et al. 2023). Grades in order have a further
number: the kappa of the expected grade sum_c c p_c, rounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medbench import metrics
from medbench.cards.prompts.sets import Prompts
from medbench.cards.recipes import ZeroShot
from medbench.models.prototypes import cosines, logits
from medbench.protocols.context import Context, Further, Outcome

Array = NDArray[np.float64]


def run(context: Context[ZeroShot]) -> dict[int, Outcome]:
    """Score validation and test by the chosen texts, and test by each further set of texts."""
    words, test = context.words, context.inputs.clean("test")
    near, absent = _near(context, test, words.prompts)
    on_test = _log_odds(context, near, absent)
    outcome = Outcome(
        log_odds_val=_log_odds(context, *_near(context, context.inputs.clean("val"), words.prompts)),
        log_odds_test=on_test,
        chosen={
            "prompts": words.prompts.source,
            "prototype": words.rule,
            "scale": words.scale,
            "score": _score_of(context),
        },
        further=_further(context, near, on_test),
        spread={one.source: _log_odds(context, *_near(context, test, one)) for one in words.others},
        counts={"texts": float(sum(map(len, words.prompts.texts)))},
        arrays={"cosines": near} | ({} if absent is None else {"cosines_absent": absent}),
    )
    return {context.seeds[0]: outcome}


def _near(context: Context[ZeroShot], images: NDArray[np.float32], prompts: Prompts) -> tuple[Array, Array | None]:
    """Return the cosines of images to classes, (n, c), and those to the absence of findings where they are needed."""
    words = context.words
    near = cosines(images, words.prototypes(prompts.texts), words.rule)
    if not context.multilabel or words.bias is not None:
        return near, None
    assert prompts.negatives is not None
    return near, cosines(images, words.prototypes(prompts.negatives), words.rule)


def _log_odds(context: Context[ZeroShot], near: Array, absent: Array | None) -> Array:
    found = logits(near, context.words.scale, absent=absent, bias=context.words.bias if context.multilabel else None)
    return metrics.log_odds(found, multilabel=context.multilabel)


def _score_of(context: Context[ZeroShot]) -> str:
    """Name the score behind the probabilities and the rankings by them."""
    if not context.multilabel:
        return "softmax of scale * cosine over the classes"
    if context.words.bias is not None:
        return "sigmoid of scale * cosine + bias"
    return "softmax of scale * cosine over the pair of texts (there, not there)"


def _further(context: Context[ZeroShot], near: Array, log_odds: Array) -> dict[str, Further]:
    """Return what else a record's metrics should have of the test images."""
    found = {}
    if context.multilabel or context.classes > 2:
        found["auroc_macro_cosine"] = Further("auroc_macro", near)
    if context.ordinal:
        found["kappa_quadratic_expected"] = Further("kappa_quadratic", one_hot(expected(log_odds), context.classes))
    return found


def expected(log_odds: Array) -> NDArray[np.int64]:
    """Return the expected grade sum_c c p_c of each image, rounded to the nearest (halves up), (n,).

    Args:
        log_odds: Of each grade against the others, (n, c).
    """
    shares = metrics.probabilities(log_odds)
    mean = shares @ np.arange(shares.shape[1]) / shares.sum(axis=1)
    found: NDArray[np.int64] = np.floor(mean + 0.5).astype(np.int64)
    return found


def one_hot(classes: NDArray[np.int64], number: int) -> Array:
    """Return log-odds (n, c) that are certain of the given classes, (n,)."""
    found = np.full((len(classes), number), -metrics.MOST)
    found[np.arange(len(classes)), classes] = metrics.MOST
    return found
