"""Groups joined with what else must not be cut, such as clusters of near-duplicate images."""

from __future__ import annotations

from collections.abc import Sequence


def merge_groups(groups: Sequence[str], clusters: Sequence[Sequence[int]]) -> list[str]:
    """Return groups so coarse that no cluster lies in two of them.

    Groups that share a cluster become one, and so do those that are linked by others in between. It bears the first
    of their names in sorted order, so the outcome does not depend on the order of the clusters.

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
