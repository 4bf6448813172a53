"""Features of texts against the card's measured matrix rate: BERT-base-size, MiniLM-size beside it.

The rate is that of one large matrix product in the backbone's own precision, measured before and after. Operations are
counted as two for each weight of the encoder's layers and real token (no padding), and those of attention:
layers x (24 T d^2 + 4 T^2 d) for a text of T tokens and width d (Kaplan et al. 2020, section 2.1).

python benchmarks/gpu/extraction.py [--rows 20000] [--tokens 128] [--repeats 3] [--json OUT]; on a CPU: --tiny
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from workload import SIZES, checkpoint, report, row, texts

from selection.backbones import open_backbone
from selection.features import extract
from selection.hardware import default_device, default_precision
from selection.records import Precision


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="A tiny model: does it run?")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    if options.tiny:
        options.rows, options.repeats = 80, 1
    rows = []
    for size in ("tiny",) if options.tiny else ("bert-base", "minilm"):
        rows += measured(size, options)
    report(rows, options.json)


def measured(size: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Rows a second, operations a second, and those as a share of the matrix rate."""
    data, device = texts(options.rows, options.tokens, size), default_device()
    given, _ = data.part("train")
    with tempfile.TemporaryDirectory() as folder:
        precision = default_precision(device)
        backbone = open_backbone(
            checkpoint(Path(folder) / size, size), max_length=options.tokens, device=device, precision=precision
        )
        n_operations = sum(operations(size, length) for length in backbone.lengths(given))
        extract(backbone, given[: 4 * options.batch_size], batch_size=options.batch_size)
        shares, speeds, rates = [], [], []
        for _ in range(options.repeats):
            before = matrix_rate(device, precision, 256 if options.tiny else 8192)
            start = time.perf_counter()
            extract(backbone, given, batch_size=options.batch_size)
            seconds = time.perf_counter() - start
            rates.append(fmean((before, matrix_rate(device, precision, 256 if options.tiny else 8192))))
            speeds.append(len(given) / seconds)
            shares.append(100 * n_operations / seconds / rates[-1])
    return [
        row(f"{size}: features", speeds, "rows/s"),
        row(f"{size}: of the matrix rate", shares, "%"),
        row(f"{precision} matrix rate", [rate / 1e12 for rate in rates], "TFLOP/s"),
    ]


def operations(size: str, n_tokens: int) -> int:
    """Floating-point operations of the encoder's layers on a text."""
    layers, width, _ = SIZES[size]
    return layers * (24 * n_tokens * width**2 + 4 * n_tokens**2 * width)


def matrix_rate(device: str, precision: Precision, n: int, repeats: int = 10) -> float:
    """Operations a second of a product of two n x n matrices in this precision, by the settings in force."""
    import torch

    left, right = (torch.randn(n, n, device=device, dtype=getattr(torch, precision)) for _ in range(2))
    left @ right
    _settle(device)
    start = time.perf_counter()
    for _ in range(repeats):
        left @ right
    _settle(device)
    return 2 * n**3 * repeats / (time.perf_counter() - start)


def _settle(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
