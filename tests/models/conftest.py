from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are quicker on one thread: on a busy machine threads wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def fake(shared: Path) -> Any:
    """Return the module that writes files laid out as the official ones, and the images behind the golden outputs."""
    path = shared / "parity" / "fake_checkpoint.py"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    spec = importlib.util.spec_from_file_location("fake_checkpoint", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
