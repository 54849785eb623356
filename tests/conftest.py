from __future__ import annotations

import ctypes
import http.server
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medbench.cards.dataset import DatasetCard, ToyLayout
from medbench.storage import files

if TYPE_CHECKING:
    from .hub import Hub
    from .parity_vl import Parity

REPO = Path(__file__).resolve().parents[1]
CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks


def keep_memory() -> None:
    """Let freed memory be used again: asking the kernel for new pages costs up to a third of a large network's test."""
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")  # heeded by the first import of numpy
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**31 - 1))  # of child processes, too; `kept_buffers` heeds it
    m_trim_threshold, m_mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(m_mmap_max, 0)
        mallopt(m_trim_threshold, 2**31 - 1)


keep_memory()


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the toy sets lie that some test has drawn."""
    return tmp_path_factory.mktemp("toys")


@pytest.fixture(autouse=True)
def drawn_once(toys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw each toy set once, and give every test that asks for it a copy: drawing takes a second."""
    from medbench.data.layouts import toy

    plain = toy.draw_into

    def copied(card: DatasetCard, layout: ToyLayout, folder: Path) -> None:
        kept = toys / files.digest([layout.model_dump(mode="json"), card.class_names])
        if not kept.is_dir():
            plain(card, layout, kept.with_suffix(".part"))
            kept.with_suffix(".part").rename(kept)
        shutil.copytree(kept, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)

    monkeypatch.setattr(toy, "draw_into", copied)


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test a cache and a run store of its own, and none of the person's data or cards."""
    place = tmp_path_factory.mktemp("isolated")
    monkeypatch.setenv("MEDBENCH_HOME", str(place / "home"))
    monkeypatch.setenv("MEDBENCH_RUNS", str(place / "runs"))
    for name in ("MEDBENCH_DATA", "MEDBENCH_CARDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no test cuts the power, and waiting for the disk takes seconds
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread: two only wait for each other where tests run side by side, and sums keep their order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and weights that may lie beside the checkout."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


PARITY = pytest.StashKey["Parity"]()


@pytest.fixture(scope="session")
def parity(request: pytest.FixtureRequest, shared: Path) -> Parity:
    """Return the official results of vision-language methods that may lie beside the checkout."""
    from .parity_vl import Parity

    folder = shared / "parity_vl"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return request.config.stash.setdefault(PARITY, Parity(folder))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how far ours are from the official results, with -v."""
    found = config.stash.get(PARITY, None)
    if found is not None and found.rows and config.get_verbosity() > 0:
        terminalreporter.write_line(found.table())


@dataclass
class Server:
    """A web server on this machine: serves `content`, in ranges, and cuts the connection after `cut` bytes."""

    content: bytes = CONTENT
    cut: int | None = None
    ranges: bool = True
    url: str = ""
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.ranges else 0
            size = len(state.content)
            if asked and state.ranges and start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if asked and state.ranges else 200)
            if asked and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            end = size if state.cut is None else state.cut
            self.wfile.write(state.content[start:end])

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        state.url = f"http://127.0.0.1:{running.server_address[1]}/a/weights.pth"
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hugging Face hub on this machine, with an empty cache."""
    from .hub import Hub, serve

    with serve(Hub()) as running:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "HF_HUB_OFFLINE": False,
            "ENDPOINT": running.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "hub"),
        }.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        yield running


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def plain(self) -> str:
        """Standard output without what sets letters bold or coloured."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.out)

    @property
    def width(self) -> int:
        """Characters of the widest line."""
        return max(map(len, self.plain.splitlines()))


@pytest.fixture
def medbench(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run one command in this process."""

    from medbench.cli import main

    def run(*words: str | Path) -> Done:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Done(status, *capsys.readouterr())

    return run
