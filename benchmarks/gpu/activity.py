"""How much of a GPU's streaming multiprocessors is active, second by second: not the driver's 'utilisation'.

By NVML's GPM metric 2, SM_UTIL ("percentage of SMs that were busy", Hopper and later), or DCGM's field 1002,
DCGM_FI_PROF_SM_ACTIVE (Volta and later, where `dcgmi` and its service are installed).
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

COMMANDS = {
    "nvidia-smi": (["nvidia-smi", "dmon", "--gpm-metrics", "2", "-d", "1", "-i", "0"], 1.0),
    "dcgmi": (["dcgmi", "dmon", "-e", "1002", "-d", "1000", "-i", "0"], 100.0),
}


@dataclass(slots=True)
class Activity:
    """`percent` of each second; empty, with the reason in `why_not`, where nothing could tell."""

    percent: list[float] = field(default_factory=list)
    why_not: str = ""


@contextmanager
def watched() -> Iterator[Activity]:
    """What the first GPU's multiprocessors did during the block."""
    found = Activity()
    source = next((name for name in COMMANDS if _tells(name)), None)
    if source is None:
        found.why_not = "neither nvidia-smi's GPM metrics (Hopper or later) nor dcgmi tell"
        yield found
        return
    command, scale = COMMANDS[source]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def read() -> None:
        for line in process.stdout or ():
            value = percent_in(line)
            if value is not None:
                found.percent.append(scale * value)

    reader = Thread(target=read, daemon=True)
    reader.start()
    try:
        yield found
    finally:
        process.terminate()
        process.wait()
        reader.join()


def percent_in(line: str) -> float | None:
    """The last column of a line of numbers; None of a heading, or where it holds none."""
    words = line.split()
    if not words or line.lstrip().startswith("#"):
        return None
    try:
        return float(words[-1])
    except ValueError:
        return None


def _tells(name: str) -> bool:
    command, _ = COMMANDS[name]
    if shutil.which(name) is None:
        return False
    told = subprocess.run([*command, "-c", "2"], capture_output=True, text=True, check=False, timeout=30).stdout
    return any(percent_in(line) is not None for line in told.splitlines())
