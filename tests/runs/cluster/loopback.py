"""A real Slurm of one node on this machine's loopback: no systemd, no cgroups, no accounting; needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
CONF = """
ClusterName=toy
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=100000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=2
MinJobAge=600
InactiveLimit=0
MaxArraySize={longest}
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=24:00:00 DefaultTime=00:10:00 State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes={node} MaxTime=01:00:00 State=UP PriorityTier=10
"""


def lacking() -> str:
    """Return what this machine lacks for a Slurm of its own; empty: nothing."""
    if os.name != "posix" or os.geteuid() != 0:
        return "only root can start Slurm's daemons"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"Slurm is not installed here: no {absent[0]}" if absent else ""


@contextlib.contextmanager
def running(folder: Path, cpus: int = 2, longest: int = 1001) -> Iterator[dict[str, str]]:
    """Start a Slurm below a folder and yield the variables of a shell that uses it; end all that it started."""
    for name in ("state", "spool", "dev"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    for path in (folder, folder / "munge.key"):
        path.chmod(0o700)
    node = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(
        CONF.format(folder=folder, node=node, user="root", ports=_free_ports(2), cpus=cpus, longest=longest).lstrip()
    )
    for number in range(2):  # twins of /dev/null: their number becomes CUDA_VISIBLE_DEVICES
        os.mknod(folder / "dev" / f"gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"NodeName={node} Name=gpu File={folder}/dev/gpu[0-1]\n")
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}  # nproc obeys it
    environment["SLURM_CONF"] = str(conf)
    munge = [f"--{name}={folder}/munge.{end}" for name, end in MUNGE.items()]
    try:
        for words in (["munged", "--force", "--num-threads=2", *munge], ["slurmctld", "-c"], ["slurmd", "-c"]):
            subprocess.run(words, env=environment, check=True, capture_output=True, timeout=30)
        _wait_until_idle(environment)
        yield {"SLURM_CONF": str(conf)}
    finally:
        _end(folder, environment)


MUNGE = {"key-file": "key", "socket": "socket", "seed-file": "seed", "pid-file": "pid", "log-file": "log"}


def _wait_until_idle(environment: dict[str, str]) -> None:
    state = ""
    for _ in range(200):
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        if (state := done.stdout.split("\n")[0]) == "idle":
            return
        time.sleep(0.1)
    raise RuntimeError(f"Slurm's node is '{state}', not idle")


def steps() -> list[psutil.Process]:
    """Return the Python processes of the tasks of the Slurm that SLURM_CONF names."""
    own, found = os.environ["SLURM_CONF"], []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "submitit.core._submit" in process.cmdline() and process.environ().get("SLURM_CONF") == own:
                found.append(process)
    return found


def _end(folder: Path, environment: dict[str, str]) -> None:
    with contextlib.suppress(subprocess.SubprocessError):
        subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True, timeout=10)
    for _ in range(50):
        told = subprocess.run(["squeue", "-h"], env=environment, capture_output=True, text=True)
        if not told.stdout:
            break
        time.sleep(0.1)
    ends = {"slurmd": "slurmd.pid", "slurmctld": "slurmctld.pid", "munged": "munge.pid"}
    for name, file in ends.items():
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int((folder / file).read_text()))
            if process.name() == name:  # the number may be another's by now
                process.terminate()
                _wait_until_ended(process)


def _wait_until_ended(process: psutil.Process) -> None:
    for _ in range(100):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    process.kill()


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
