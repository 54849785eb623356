from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from .families import TABLE, TINY, Family, family_of
from .noise import PIECE, noise


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quicker on one thread: on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def fake(shared: Path) -> Any:
    """Return the module that writes files with the official layouts, and the images of the golden outputs."""
    path = shared / "parity" / "fake_checkpoint.py"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    spec = importlib.util.spec_from_file_location("fake_checkpoint", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for count in (0, 1, PIECE, 2 * PIECE + 5):
        assert np.array_equal(noise("some", count), module.noise("some", count))
    module.noise = noise  # type: ignore[attr-defined]
    return module


@pytest.fixture(scope="session")
def tiny_pairs() -> Iterator[None]:
    """Make open_clip know the tiny architectures."""
    with pytest.MonkeyPatch.context() as patch:
        for name, vision in TINY.items():
            config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": {}}
            patch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
        yield


@pytest.fixture(scope="session", params=TABLE, ids=lambda row: "-".join(filter(None, row)).replace("/", "-"))
def family(request: pytest.FixtureRequest, tiny_pairs: None, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Return each family of the zoo in turn: a tiny network with weights in a file."""
    return family_of(tmp_path_factory.mktemp("family"), *request.param)
