"""Progressive freezing: the first f units are frozen, the rest and a linear head trained (WACV 2024, Figure 4, Q16).

f = 0 is `linear-unfrozen` and f = n is `linear-frozen`: the plan runs those protocols for the two ends. With
`train_stem` off, f = 0 is run here: all units are trained, but not what precedes and follows them, as in the published
code.
"""

from __future__ import annotations

from torch import Tensor

from medbench.cards.recipes import Freeze
from medbench.features.extract import Outputs
from medbench.models.encoder import Encoder
from medbench.models.networks.units import outputs
from medbench.protocols.context import Context, Outcome
from medbench.protocols.tuning import Built, checkpointed, pictures, sample, tune
from medbench.training.finetune.cached import cached_views
from medbench.training.finetune.networks import Classifier, Resumed, leave_out_unused, linear_head, thaw


def run(context: Context[Freeze]) -> dict[int, Outcome]:
    """Train the units from f on; the frozen ones run once per image and view where that is cheaper."""
    settings = context.settings
    assert context.depth is not None  # the plan makes one job of each depth
    f = context.depth
    if f == 0:
        return tune(context, lambda seed: Built(_partly(context, seed, f), pictures(context, seed)))
    made: dict[str, Outputs] = {f"unit:{f}": lambda encoder, x: [raw_output(encoder, x, f)]}
    bank = context.inputs.bank(made, f"unit:{f}", settings.cache_gb, settings.views, settings.augment)
    if bank is None:
        return tune(context, lambda seed: Built(_partly(context, seed, f), pictures(context, seed)))
    source = cached_views(bank.views, bank.splits["val"], bank.splits["test"])
    return tune(context, lambda seed: Built(Resumed(_partly(context, seed, f), f).to(context.device), source))


def raw_output(encoder: Encoder, x: Tensor, f: int) -> Tensor:
    """Return the raw output of unit f - 1, (b, …)."""
    return outputs(encoder._features, [encoder.blocks[f - 1]], x)[0]


def _partly(context: Context[Freeze], seed: int, f: int) -> Classifier:
    settings, inputs = context.settings, context.inputs
    encoder = inputs.encoder(drop_path=settings.drop_path)
    encoder.set_grad_checkpointing(checkpointed(context, inputs.image_size))
    thaw(encoder, f, final_norm=settings.train_final_norm, stem=settings.train_stem)
    head = linear_head(encoder.dim, context.classes, seed, settings.head_std)
    network = Classifier(encoder, head, still=True).to(context.device)
    leave_out_unused(network, sample(context))
    return network
