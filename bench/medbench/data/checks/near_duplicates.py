"""Near duplicates: pictures that are one but for recompression, size, brightness or what was drawn over them.

Pictures of 32 x 32 grey pixels (`RULE`) are compared in what is their own:

1. The detail: each pixel less its surroundings, over the contrast there.
2. What many images of the data set have in common (the round edge of a fundus, ribs, a scale burnt in) would make all
   of them alike. So the mean detail is taken off, and directions of great variance are weakened (softly whitened).
3. A hash: the signs on 256 random axes. Two hashes differ in about 256 angle / pi bits, 70 at a correlation of 0.65.
   All pairs within the radius are found, by matrix products, block by block: in a time that does not depend on the
   data, and a memory that does not depend on their number.
4. Of these pairs, those whose own details correlate by at least `ALIKE`.

Nearly flat pictures have no detail to compare and are left out. On 32 x 32 pixels two images that differ in a small
mark alone are one: this is meant. Turned and mirrored images are others; cropped ones too, beyond a pixel in a hundred.

Own code, because it is better than pHash: on images with known copies its recall is 1.000 with 0 wrong pairs, that of
pHash 0.995 with 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medbench.cards.dataset import DatasetCard
from medbench.data.dataset import Dataset, content_digests
from medbench.data.images.square import SquareRule
from medbench.data.prepared.store import Store, prepare, take
from medbench.progress import bar

if TYPE_CHECKING:
    import pandas as pd

SIDE = 32
RULE = SquareRule(SIDE, "squash", "bilinear", draft=True, channels=1)
BITS = 256
RADIUS = 80
"""Bits in which hashes may differ: some more than the 70 that are expected at the least correlation."""
ALIKE = 0.65
"""Least correlation. Of 7 million pairs of different children's chest X-rays, the most alike reach 0.51."""

BLUR = 1.0  # pixels: standard deviation of the surroundings
FLOOR = 4.0  # grey levels: contrast below which detail is noise and is not blown up
LEVEL, LIVELY = 1.0, 0.1  # a picture is flat if less than a tenth of it departs from its surroundings by a level
PRIOR = 32  # pictures without detail that mean and variance begin with: a small set is taken for itself, not for common
SOFT = 4.0  # a direction of this many times the average variance, or more in small sets, is weakened by sqrt(2)
BLOCK = 2048  # pictures compared at once with as many others
MANY = 1 << 20  # pairs held before they are made fewer

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Sketches:
    """What pictures are compared by.

    Attributes:
        images: (n, 32, 32, 1) uint8, of `RULE`.
        rows: (k,) positions of those that can be compared, ascending.
        common: (1024,) mean detail.
        weaken: (1024, 1024) what weakens the directions in which many differ.
        codes: (k, 32) uint8: the hashes, eight bits a byte.
    """

    images: NDArray[np.uint8]
    rows: Rows
    common: Floats
    weaken: Floats
    codes: NDArray[np.uint8]

    def own(self, which: Rows) -> Floats:
        """Return (len(which), 1024) details of `rows[which]` without what is common, of length 1."""
        details, _ = detail(take(self.images, self.rows[which]))
        own: Floats = np.matmul(details - self.common, self.weaken, dtype=np.float32)
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return own


@lru_cache(1)
def _blur() -> Floats:
    """Return the (1024, 1024) matrix that blurs pictures; at the borders the weights still sum to 1.

    One large product is faster than many small ones over rows and columns.
    """
    at = np.arange(SIDE)
    apart = np.abs(at[:, None] - at)
    weights = np.exp(-(apart**2) / (2 * BLUR**2)) * (apart <= 4 * BLUR)  # tiny weights would be slow: denormal numbers
    weights /= weights.sum(1, keepdims=True)
    return np.ascontiguousarray(np.kron(weights, weights).T, np.float32)


@lru_cache(1)
def _axes() -> Floats:
    return np.random.default_rng(0).standard_normal((SIDE * SIDE, BITS)).astype(np.float32)


def detail(pictures: NDArray[np.uint8]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return (n, 1024) details of (n, 32, 32, 1) pictures and whether each is lively, which is to say not nearly flat.

    The detail is what stands out of its surroundings, by their contrast.
    """
    planes = pictures.reshape(-1, SIDE * SIDE).astype(np.float32)
    rest: Floats = planes - planes @ _blur()
    lively: NDArray[np.bool_] = (np.abs(rest) > LEVEL).mean(1) >= LIVELY
    rest /= np.sqrt((rest * rest) @ _blur() + FLOOR**2)
    return rest, lively


def sketches(images: NDArray[np.uint8], rows: Rows) -> Sketches:
    """Return what the pictures `images[rows]` are compared by; `images` are (n, 32, 32, 1), of `RULE`."""
    kept = [np.zeros(0, np.intp)]
    total = np.zeros(SIDE * SIDE)
    squares = np.zeros((SIDE * SIDE, SIDE * SIDE))
    for chunk in _chunks(rows):
        details, lively = detail(take(images, chunk))
        details = details[lively]
        kept.append(chunk[lively])
        total += details.sum(0, dtype=np.float64)
        squares += details.T @ details
    rows = np.concatenate(kept)
    common, weaken = _common(len(rows), total, squares)
    found = Sketches(images, rows, common, weaken, np.zeros((len(rows), BITS // 8), np.uint8))
    for chunk in _chunks(np.arange(len(rows))):
        found.codes[chunk] = np.packbits(found.own(chunk) @ _axes() > 0, axis=1)
    return found


def _common(n: int, total: NDArray[np.float64], squares: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return mean and weakening matrix of `n` details from their sum and the sum of their outer products."""
    mean = total / (n + PRIOR)
    crossed = np.outer(total, mean)
    variances = (squares - crossed - crossed.T + n * np.outer(mean, mean)) / (n + PRIOR)
    average = np.trace(variances) / len(mean)
    if average <= 0:  # nothing to compare
        return mean.astype(np.float32), np.eye(len(mean), dtype=np.float32)
    values, directions = np.linalg.eigh(variances.astype(np.float32))  # in single precision some come out below 0
    soft = SOFT * (1 + len(mean) / n)  # in n pictures even one of its own kind has 1024 / n times the average
    scales = 1 / np.sqrt(np.maximum(values, 0) / (soft * average) + 1)
    return mean.astype(np.float32), ((directions * scales) @ directions.T).astype(np.float32)


def _chunks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


def close_pairs(codes: NDArray[np.uint8], radius: int, what: str = "comparing") -> Iterator[tuple[Rows, Rows]]:
    """Yield all pairs of hashes that differ in at most `radius` bits, block by block, as (i, j) with i < j.

    Hashes of signs +1 and -1 have the product 256 - 2 d, d the number of bits in which they differ: whole numbers, and
    therefore exact.

    Args:
        codes: (k, 32) uint8.
        radius: 0..256.
        what: Text of the progress bar.
    """
    starts = range(0, len(codes), BLOCK)
    least = BITS - 2 * radius
    buffer = np.empty(min(BLOCK, len(codes)) ** 2, np.float32)
    with bar(what, len(codes)) as advance:
        for start in starts:
            left = _signs(codes[start : start + BLOCK])
            for other in range(start, len(codes), BLOCK):
                right = left if other == start else _signs(codes[other : other + BLOCK])
                product = buffer[: len(left) * len(right)].reshape(len(left), len(right))
                np.matmul(left, right.T, out=product)
                if other > start and product.max() < least:
                    continue
                i, j = np.divmod(np.flatnonzero(product >= least), len(right))
                i, j = i + start, j + other
                yield i[i < j], j[i < j]
            advance(len(left))


def _signs(codes: NDArray[np.uint8]) -> Floats:
    return np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1


def alike_pairs(found: Sketches, radius: int, what: str = "comparing") -> Iterator[tuple[Rows, Rows]]:
    """Yield the pairs (i, j) of places in `found.rows` that are near duplicates, block by block."""
    for first, second in close_pairs(found.codes, radius, what):
        for start in range(0, len(first), BLOCK):
            i, j = first[start : start + BLOCK], second[start : start + BLOCK]
            which, place = np.unique(np.concatenate([i, j]), return_inverse=True)
            own = found.own(which)
            correlation = np.einsum("ij,ij->i", own[place[: len(i)]], own[place[len(i) :]])
            alike = correlation >= ALIKE
            yield i[alike], j[alike]


def components(n: int, pairs: Iterable[tuple[Rows, Rows]]) -> NDArray[np.int32]:
    """Return a number for each of n things, the same for those that pairs join, directly or through others."""
    labels: NDArray[np.int32] = np.arange(n, dtype=np.int32)
    held: list[tuple[Rows, Rows]] = []
    waiting = 0
    for i, j in pairs:
        held.append((i, j))
        waiting += len(i)
        if waiting > MANY:
            labels, held, waiting = _joined(labels, held), [], 0
    return _joined(labels, held)


def _joined(labels: NDArray[np.int32], pairs: list[tuple[Rows, Rows]]) -> NDArray[np.int32]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = (np.concatenate([labels[pair[side]] for pair in pairs] or [labels[:0]]) for side in (0, 1))
    graph = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(labels), len(labels)))
    joined: NDArray[np.int32] = connected_components(graph, directed=False)[1][labels]
    return joined


def near_clusters(
    images: NDArray[np.uint8], content: Sequence[str], radius: int = RADIUS, what: str = "comparing"
) -> list[list[int]]:
    """Return the clusters of near duplicates, as ascending positions, by their first one.

    Members are joined by pairs, so the first and the last of a long cluster may differ by more. Byte-identical images
    are in it together, but those that have no other near duplicate are no cluster here.

    Args:
        images: (n, 32, 32, 1) uint8, of `RULE`.
        content: Digest of each image's bytes.
        radius: See `close_pairs`.
        what: Text of the progress bar.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for position, sha in enumerate(content):
        same[sha].append(position)
    found = sketches(images, np.array([positions[0] for positions in same.values()], np.intp))
    labels = components(len(found.rows), alike_pairs(found, radius, what))
    joined: dict[int, list[int]] = defaultdict(list)
    for place in np.flatnonzero(np.bincount(labels, minlength=1)[labels] > 1).tolist():
        joined[int(labels[place])] += same[content[found.rows[place]]]
    return sorted(sorted(cluster) for cluster in joined.values())


def pictures(card: DatasetCard, root: Path, samples: pd.DataFrame, content: Sequence[str]) -> Store:
    """Return the store of `RULE`, made now if it does not exist.

    Raises:
        DataError: There are no images, or a file has gone or changed since it was digested.
        OutputError: The cache is full or cannot be written.
    """
    grouped = bool((samples["group"] != samples["id"]).any())
    whole = samples.reset_index(drop=True)
    return prepare(Dataset(card, root, whole, "", "", "", tuple(content), grouped), RULE)


def near_groups(card: DatasetCard, root: Path, samples: pd.DataFrame, radius: int = RADIUS) -> list[str]:
    """Return the samples' groups, those joined that hold copies or near duplicates of one image.

    Args:
        card: The data set.
        root: Its folder.
        samples: What `read_samples` returns; all files are there.
        radius: See `close_pairs`.

    Raises:
        DataError: A file cannot be read.
        OutputError: The cache is full or cannot be written.
    """
    content = content_digests(card, root, samples["path"])
    same: dict[str, list[int]] = defaultdict(list)
    for position, sha in enumerate(content):
        same[sha].append(position)
    store = pictures(card, root, samples, content)
    clusters = near_clusters(store.images, content, radius, f"comparing {card.name}")
    return merge_groups(samples["group"].tolist(), [*same.values(), *clusters])


def merge_groups(groups: Sequence[str], clusters: Sequence[Sequence[int]]) -> list[str]:
    """Return groups so coarse that no cluster lies in two of them.

    Groups that share a cluster become one, and so do those that are linked by others in between. It bears the first
    of their names in sorted order, so the outcome does not depend on the order of the clusters. Own
    union-find: scipy's DisjointSet takes twice the time on 100,000 groups.

    Args:
        groups: (n,) group of each sample.
        clusters: Row numbers that belong together, each from 0 to n - 1; a row may be in several clusters, or in none.

    Raises:
        IndexError: A row number is not among the rows.
    """
    head = {name: name for name in groups}

    def find(name: str) -> str:
        while head[name] != name:
            head[name] = name = head[head[name]]  # halve the path, or long chains become slow
        return name

    for cluster in clusters:
        if cluster and not 0 <= min(cluster) <= max(cluster) < len(groups):
            raise IndexError(f"rows {min(cluster)} to {max(cluster)} are not all among the {len(groups)} samples")
        roots = {find(groups[row]) for row in cluster}
        for root in roots:
            head[root] = min(roots)
    return [find(name) for name in groups]
