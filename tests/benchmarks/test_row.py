"""What a benchmark counts: wall-clock time, and CPU time including that of children."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.row import cost_of, costs_by_turns

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_sleep_costs_time_and_no_work() -> None:
    (slept,) = costs_by_turns(lambda: time.sleep(0.2), rounds=2)
    assert slept.wall >= 0.2
    assert slept.cpu < 0.1


def test_work_of_a_child_counts() -> None:
    worked = cost_of(lambda: subprocess.run([sys.executable, "-S", "-c", BUSY], check=True))
    assert worked.cpu >= 0.3
    assert worked.wall >= 0.3
