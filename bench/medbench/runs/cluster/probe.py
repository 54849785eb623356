"""What a node of a cluster sees of this machine: the same files, the same locks, the same clock, the same medbench."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from medbench.errors import MedbenchError
from medbench.records.submitted import last_lines
from medbench.storage import paths
from medbench.storage.version import version

WORD, LOCK = "word.txt", "lock"
"""Files of the folder that both look into: a word that was drawn here, and a lock that is held here."""


def look(folder: Path, cached: str) -> dict[str, Any]:
    """Return what this machine sees in a folder, and in its own cache.

    Args:
        folder: A folder that the other machine made, with a word and a lock.
        cached: Name of a folder that the other machine made in its cache, with the same word.

    Keys: `node`; `python` and `medbench` (versions); `word` (None: the folder is not there); `locked` (whether a lock
    that the other machine holds has an effect here); `time` (seconds since 1970); `offline` (whether downloads are
    off); `home` (this machine's cache); `cached` (the word in its folder; None: it is not there).
    """
    return {
        "node": platform.node(),
        "python": platform.python_version(),
        "medbench": version(),
        "word": next(iter(last_lines(folder / WORD, 1)), None),
        "locked": _locked(folder / LOCK),
        "time": time.time(),
        "offline": os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"),
        "home": str(paths.home()),
        "cached": next(iter(last_lines(paths.home() / cached / WORD, 1)), None),
    }


def _locked(lock: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError, MedbenchError):  # no locks there
        return False


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(Path(sys.argv[1]), sys.argv[2])) + "\n")
