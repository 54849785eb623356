"""Every network of the shipped cards: a batch through medbench against what a person would write with its library.

Weights are noise. Cards of one network share a row, and their pooling rules differ by less than is seen here; only
those that leave out the last norm, which medbench reaches another way, have one of their own. The library's side is in
its default layout, medbench's in the layout that extraction gives it.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.row import Row, by_turns
from medbench import cards
from medbench.cards import ModelCard
from medbench.data.prepared.transforms import normalise
from medbench.features.extract import AUTOCAST, BATCH, exact
from medbench.models.load import load_model
from medbench.models.networks.builders import Undrawn

SIDE = 224  # of an image on a CPU, where the card's is larger
IMAGES, LARGE, FEW = 4, 200, 1  # in a batch on a CPU; from so many million parameters on, so few
SECONDS, ROUNDS = 5.0, (3, 12)  # spent on the turns of one network, within so many rounds
AIM = 0.98
SAME = {"deit_base_patch16_224": "vit_base_patch16_224"}  # timm's names of one network
ALIKE = 0.02  # relative difference of the two sides' features: they must be one feature, rounding (bf16's) aside
Forward = Callable[[Tensor], Tensor]


def run(folder: Path, device: str) -> list[Row]:
    place = torch.device(device)
    top = matmul_peak(place) if place.type == "cuda" else None
    rows = [] if top is None else [Row("zoo, matmul 8192³ bf16", f"{top / 1e12:.0f} TFLOP/s", "–", None, "–", True)]
    for size, group in distinct(place):
        rows.append(measure(group, size, place, top))
        gc.collect()  # networks hold themselves in circles
        if place.type == "cuda":
            torch.cuda.empty_cache()
    return rows


def distinct(place: torch.device) -> list[tuple[int, list[ModelCard]]]:
    """Return size and cards of each network."""
    found: dict[str, tuple[int, list[ModelCard]]] = {}
    for name in cards.names("models"):
        card = cards.find_model(name).resolved()
        size = min(card.input.size, SIDE) if place.type == "cpu" else card.input.size
        arch = SAME.get(card.arch, card.arch)
        key = json.dumps([card.library, arch, card.args, card.remove, size, card.features.norm], sort_keys=True)
        if not card.toy:
            found.setdefault(key, (size, []))[1].append(card)
    return list(found.values())


def measure(group: list[ModelCard], size: int, place: torch.device, top: float | None) -> Row:
    """One network: medbench and its library by turns; `top` is what the device can do, in FLOP/s."""
    card, precision = group[0], "fp32" if place.type == "cpu" else "bf16"
    with Undrawn():
        encoder = load_model(card, weights="random", image_size=size)
    fill(encoder.network)
    encoder.to(place)
    plain = library_forward(card, encoder.network if encoder.sequential else copy.deepcopy(encoder.network))
    ours = encoder.channels_last().pooled
    with running(place, precision):
        x, seconds = fitting(plain, ours, card, size, place)
        rounds = min(max(round(SECONDS / seconds), ROUNDS[0]), ROUNDS[1])
        theirs, mine = by_turns(lambda: forward(plain, x), lambda: forward(ours, x), rounds=rounds)
        peaks = [peak(side, x) for side in (plain, ours)]
    n = len(x)
    share = f", {work(plain, x, precision) * n / mine / top:.0%} of the matmul's FLOP/s" if top else ""
    return Row(
        f"zoo, {', '.join(card.name for card in group)}: {n} × {size} px, {precision}, noise weights",
        f"{rate(n / mine)}, {peaks[1]}{share}",
        f"{card.library}'s {card.arch} {rate(n / theirs)}, {peaks[0]}",
        theirs / mine,
        f"≥ {AIM}",
        theirs / mine >= AIM,
    )


def fill(network: nn.Module) -> None:
    """Fill undrawn parameters with repeated noise of about the usual spread: no NaN, nothing denormal, no waiting."""
    noise = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0))  # a prime: no two rows are the same
    with torch.no_grad():
        for name, value in network.named_parameters():
            spread = 0.02 if value.ndim < 2 else value[0].numel() ** -0.5
            base = 1.0 if value.ndim == 1 and name.endswith("weight") else 0.0  # a norm's
            for part in value.view(-1).split(len(noise)):
                torch.mul(noise[: len(part)], spread, out=part).add_(base)


def library_forward(card: ModelCard, network: nn.Module) -> Forward:
    """Return what a person would write to get the card's pooled feature from the library's network."""
    rule = card.features
    if card.library == "transformers":
        tower = network.get_submodule("inner")
        return lambda x: tower(pixel_values=x).pooler_output
    if (rule.pooled in ("head", "cls") and rule.norm) or card.library == "medbench":
        return network
    if rule.norm:
        return lambda x: pool(network.forward_features(x), card, network)

    def unnormed(x: Tensor) -> Tensor:
        options = {"norm": False, "return_prefix_tokens": True, "output_fmt": "NLC", "intermediates_only": True}
        [(patches, prefix)] = network.forward_intermediates(x, indices=1, **options)
        return pool(torch.cat([prefix, patches], dim=1), card, network)

    return unnormed


def pool(rows: Tensor, card: ModelCard, network: nn.Module) -> Tensor:
    """Return the pooled vector of tokens (b, n, d) or a map (b, d, h, w)."""
    if rows.ndim == 4:
        return rows.mean(dim=(2, 3))
    parts = {"cls": rows[:, 0], "mean": rows[:, network.num_prefix_tokens :].mean(dim=1)}
    found = torch.cat([parts[part] for part in card.features.pooled.split("+")], dim=1)
    epsilon = card.features.layer_norm
    return found if epsilon is None else layer_norm(found, found.shape[1:], eps=epsilon)


@contextlib.contextmanager
def running(place: torch.device, precision: str) -> Iterator[None]:
    """Run forwards as extraction does."""
    reduced = torch.autocast(place.type, dtype=AUTOCAST.get(precision), enabled=precision != "fp32")
    with torch.inference_mode(), exact(precision), reduced:
        yield


def forward(side: Forward, x: Tensor) -> Tensor:
    found = side(x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return found


def fitting(plain: Forward, ours: Forward, card: ModelCard, size: int, place: torch.device) -> tuple[Tensor, float]:
    """Return a batch that the device holds, and the seconds that both sides take together the first time."""
    n = BATCH["cuda"] if place.type == "cuda" else FEW if (card.parameters or 0) > LARGE else IMAGES
    pixels = torch.randint(256, (n, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    while True:
        x = normalise(pixels[:n].to(place), card.input.mean, card.input.std)
        start = time.perf_counter()
        try:
            theirs, mine = forward(plain, x).float(), forward(ours, x).float()
        except torch.cuda.OutOfMemoryError:
            n //= 2
            assert n, f"{card.name}: the device does not hold one image"
            torch.cuda.empty_cache()
            continue
        apart = ((mine - theirs).norm() / theirs.norm()).item()
        assert apart < ALIKE, f"{card.name}: the two sides are not the same feature: {apart:.1e} apart"  # or NaN
        return x, time.perf_counter() - start


def rate(images: float) -> str:
    return f"{images:.{2 if images < 10 else 1 if images < 100 else 0}f} images/s"


def peak(side: Forward, x: Tensor) -> str:
    """Return the memory that a forward takes above what is held before it: weights and batch."""
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        forward(side, x)
        return f"{(torch.cuda.max_memory_allocated() - held) / 2**20:.0f} MB"
    held = forget_peak()
    if held is None:
        return "–"
    side(x)
    return f"{(resident('VmHWM') - held) / 2**10:.0f} MB"


def forget_peak() -> int | None:
    """Make this process's peak what it holds now, and return that in kB; None where the system does not let it."""
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # else what lies freed is used again unseen
        libc.malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return resident("VmRSS")
    except (OSError, TypeError):  # no such file, no permission, no such line in it
        return None


def resident(field: str) -> int:
    return int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def work(side: Forward, x: Tensor, precision: str) -> float:
    """Return the floating-point operations of one image."""
    reduced = torch.autocast(x.device.type, dtype=AUTOCAST.get(precision), enabled=precision != "fp32")
    with torch.no_grad(), reduced, FlopCounterMode(display=False) as counter:
        side(x[:1])
    return counter.get_total_flops()


def matmul_peak(place: torch.device, side: int = 8192, times: int = 20) -> float:
    """Return the FLOP/s that a large bf16 matrix product reaches on a CUDA device."""
    a, b = (torch.randn(side, side, device=place, dtype=torch.bfloat16) for _ in range(2))

    def product() -> None:
        for _ in range(times):
            a @ b
        torch.cuda.synchronize()

    return 2 * side**3 * times / by_turns(product)[0]
