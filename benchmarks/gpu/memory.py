"""Trials that together want more than the card has: none may fail for it.

Each holds `--share` of the card beside its training, so that more than 1 / share at once run out of memory. Twice: a
fixed number of workers, which must back off, and "auto", which should not come to it. On a CPU nothing runs out.

python benchmarks/gpu/memory.py [--trials 8] [--workers 4] [--share 0.4] [--json OUT]; on a CPU: --tiny
"""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from workload import Piece, Train, checkpoint, pieces, report, row, texts

from selection.executors.local import LocalExecutor
from selection.executors.packing import Workers
from selection.finetune import FineTuner
from selection.hardware import default_device, default_precision


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.4)
    parser.add_argument("--tiny", action="store_true", help="One tiny trial: does it run?")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    if options.tiny:
        options.trials, options.steps = 1, 2
    logging.basicConfig(level=logging.ERROR)
    device, size = default_device(), "tiny" if options.tiny else "minilm"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shape = {"batch": 32, "tokens": 64, "precision": default_precision(device)}
        source = checkpoint(folder / "checkpoint", size)
        trials = pieces(folder, source, options.trials, steps=options.steps, **shape)
        work = Train(FineTuner(texts(60 if options.tiny else 2000, 64, size), device=device), ballast(options.share))
        rows = [one for workers in (options.workers, "auto") for one in tried(work, trials, workers, folder)]
    report(rows, options.json)


def ballast(share: float) -> int:
    import torch

    return round(share * torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0


def tried(work: Train, trials: Sequence[Piece], workers: Workers, folder: Path) -> list[dict[str, object]]:
    """How many failed, and how many at once there were in the end."""
    own = [Piece(one.trial, folder / f"{workers} workers" / one.folder.name) for one in trials]
    with LocalExecutor(work, workers, spawn=True) as executor:
        results = [result for _, result in executor.run(own)]
        limit = executor.packing.limit
    for result in results:
        if isinstance(result, Exception):
            print(f"failed: {result}")
    failed = sum(isinstance(result, Exception) for result in results)
    return [
        row(f"{workers} workers: trials that failed of {len(own)}", [float(failed)], "trials"),
        row(f"{workers} workers: at once in the end, at most", [float(limit)], "workers"),
    ]


if __name__ == "__main__":
    main()
