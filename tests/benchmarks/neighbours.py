"""k-NN against scikit-learn's brute force: 20,000 queries, 20,000 images, 768 numbers each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.row import Row

SIDE = """
import json, re, time
from pathlib import Path
import numpy as np
def peak():  # of this program alone: getrusage would carry the parent's over
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
source = np.random.default_rng(0)
bank, query = (source.standard_normal((20000, 768), dtype=np.float32) for _ in range(2))
labels = source.integers(5, size=20000)
{imports}
before = peak()
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
after = peak()
print(json.dumps([seconds, (after - before) / 1024]))
np.save({out!r}, index)
"""
OURS = (
    "import torch\nfrom medbench.protocols.knn import nearest",
    "with torch.inference_mode():\n"
    "    q, b = (torch.nn.functional.normalize(torch.from_numpy(x), dim=1) for x in (query, bank))\n"
    "    index = np.concatenate([i.numpy() for _, _, i in nearest(q, b, 200)])",
)
THEIRS = (
    "from sklearn.neighbors import NearestNeighbors",
    "search = NearestNeighbors(n_neighbors=200, metric='cosine', algorithm='brute').fit(bank)\n"
    "index = search.kneighbors(query, return_distance=False)",
)


def run(folder: Path, device: str) -> list[Row]:
    import numpy as np

    found = {}
    for name, (imports, work) in {"ours": OURS, "theirs": THEIRS}.items():
        out = folder / f"{name}.npy"
        code = SIDE.format(imports=imports, work=work, out=str(out))
        pairs = [
            json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
            for _ in range(2)
        ]
        found[name] = (min(p[0] for p in pairs), max(p[1] for p in pairs), np.load(out))
    (t1, m1, i1), (t2, m2, i2) = found["ours"], found["theirs"]
    shared = float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(i1[::100], i2[::100], strict=True)])) / 200
    return [
        Row(
            "k-NN 20,000 × 20,000 × 768, k = 200, time",
            f"{t1:.1f} s",
            f"scikit-learn {t2:.1f} s",
            t2 / t1,
            "≥ 2",
            t2 / t1 >= 2,
        ),
        Row(
            "k-NN, memory above the data's",
            f"{m1:.0f} MB",
            f"scikit-learn {m2:.0f} MB",
            m1 / m2,
            "≤ 1/6",
            m1 / m2 <= 1 / 6,
        ),
        Row("k-NN, neighbours shared with scikit-learn's", f"{shared:.5f}", "1", shared, "≥ 0.9999", shared >= 0.9999),
    ]
