"""Ten MiniLM-size trials on one GPU: packed by measured memory against one at a time; multiprocessors active meanwhile.

Both are rounds of the same trials in spawned workers that have worked before, in turn. With --mps a private MPS daemon
runs meanwhile (workers' kernels then run side by side, not in turns); it is ended again, the card's settings stay.

python benchmarks/gpu/packing.py [--trials 10] [--steps 400] [--repeats 3] [--mps] [--json OUT]; on a CPU: --tiny
"""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from activity import watched
from workload import Train, checkpoint, opened, pieces, report, row, seconds_for, texts

from selection.executors.packing import packing_of
from selection.finetune import FineTuner
from selection.hardware import default_device, default_precision


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mps", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="Two tiny trials: does it run?")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    if options.tiny:
        options.trials, options.steps, options.repeats = 2, 2, 1
    with tempfile.TemporaryDirectory() as folder, private_mps(Path(folder)) if options.mps else nullcontext():
        report(measured(options, Path(folder)), options.json)


def measured(options: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    size, device = ("tiny" if options.tiny else "minilm"), default_device()
    data = texts(60 if options.tiny else 4000, options.tokens, size)
    source = checkpoint(folder / "checkpoint", size)
    work = Train(FineTuner(data, device=device))
    shape = {"batch": options.batch_size, "tokens": options.tokens, "precision": default_precision(device)}
    trials = pieces(folder, source, options.trials, steps=options.steps, **shape)
    short = pieces(folder, source, options.trials, steps=2, **shape)
    times: dict[str, list[float]] = {"one at a time": [], "packed": []}
    active: dict[str, list[float]] = {"one at a time": [], "packed": []}
    with opened(work, 1) as one, opened(work, "auto") as packed:
        for name, executor in (("one at a time", one), ("packed", packed)):
            seconds_for(executor, short, folder / f"warm {name}")
            seconds_for(executor, short, folder / f"warm again {name}")
        for repeat in range(options.repeats):
            for name, executor in (("one at a time", one), ("packed", packed)):
                with watched() as activity:
                    times[name].append(seconds_for(executor, trials, folder / f"{name} {repeat}"))
                active[name] += activity.percent
    done = options.trials * options.steps
    rows = [row(f"{name}: throughput", [done / one for one in taken], "steps/s") for name, taken in times.items()]
    ratios = [alone / together for alone, together in zip(times["one at a time"], times["packed"], strict=True)]
    rows.append(row("packed against one at a time", ratios, "times"))
    rows += [row(f"{name}: multiprocessors active", found, "%") for name, found in active.items() if found]
    if not active["packed"]:
        print(f"multiprocessors: {activity.why_not}")
    return [*rows, row("workers at most", [float(packing_of("auto").ceiling)], "workers")]


@contextmanager
def private_mps(folder: Path) -> Iterator[None]:
    """A daemon of CUDA's Multi-Process Service for this process and those it starts."""
    before = {name: os.environ.get(name) for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")}
    os.environ["CUDA_MPS_PIPE_DIRECTORY"] = os.environ["CUDA_MPS_LOG_DIRECTORY"] = str(folder / "mps")
    (folder / "mps").mkdir()
    subprocess.run(["nvidia-cuda-mps-control", "-d"], check=True)
    try:
        yield
    finally:
        subprocess.run(["nvidia-cuda-mps-control"], input="quit\n", text=True, check=False)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


if __name__ == "__main__":
    main()
