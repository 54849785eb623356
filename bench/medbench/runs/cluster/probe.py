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
from medbench.storage.version import version

WORD, LOCK = "word.txt", "lock"
"""Files of the folder that both look into: a word that was drawn here, and a lock that is held here."""


def look(folder: Path) -> dict[str, Any]:
    """Return what this machine sees in a folder.

    Keys: `node`; `python` and `medbench` (versions); `word` (None: the folder is not there); `locked` (whether a lock
    that the other machine holds has an effect here); `time` (seconds since 1970); `offline` (whether downloads are
    off).
    """
    return {
        "node": platform.node(),
        "python": platform.python_version(),
        "medbench": version(),
        "word": next(iter(last_lines(folder / WORD, 1)), None),
        "locked": _locked(folder / LOCK),
        "time": time.time(),
        "offline": os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"),
        "home": os.environ.get("MEDBENCH_HOME"),
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
    sys.stdout.write(json.dumps(look(Path(sys.argv[1]))) + "\n")
