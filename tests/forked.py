"""Python programs in processes of their own, quickly: one server for each test process imports torch, and forks.

Importing torch, timm and what comes with them takes five seconds, more than most of these programs do. A child of the
server has imported them, has computed nothing and has started no thread, as a new process after its imports.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import socket
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path

LIBRARIES = [
    "torch", "torchvision", "timm", "accelerate", "transformers.models.bert.modeling_bert", "pandas",
    "pyarrow.parquet", "scipy.stats", "sklearn.linear_model", "medbench.runs.execute",
]  # fmt: skip
HEAD = """
import os
os.environ.clear()
os.environ.update({variables!r})
os.chdir({folder!r})
for number, file in enumerate({files!r}, 1):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
"""


@functools.cache
def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


class Program:
    """A running program, with the methods of `subprocess.Popen` that tests ask for."""

    def __init__(self, text: str, **variables: str) -> None:
        """Start it in the current folder, with this process's environment and further variables."""
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name) / name for name in ("out", "err")]
        files = [str(file) for file in self._files]
        head = HEAD.format(variables={**os.environ, **variables}, folder=str(Path.cwd()), files=files)
        self._process = server().Process(target=exec, args=(head + text, {"__name__": "__main__"}))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait for its end; return what it wrote to standard output and to standard error."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still running after {timeout} s"
        out, err = (file.read_text() if file.exists() else "" for file in self._files)
        self._folder.cleanup()
        return out, err


def failure(program: Program) -> str:
    """Wait for the end of a program; return what it said if it failed, an empty text if it did not."""
    said = program.communicate()[1]
    return f"{program.returncode}: {said[-2000:]}" if program.returncode else ""


def ranks(text: str, n: int = 2) -> list[Program]:
    """Start a program as the n processes of one distributed run, as `torchrun` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [Program(text, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(n)]
