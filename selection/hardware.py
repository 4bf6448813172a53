"""What this machine computes on, and how: the device, its threads, and the precision it multiplies in natively."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from selection.records import Precision


def default_device() -> str:
    """The first GPU, or the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return "bfloat16" if fast is not None and fast() else "float32"


def autocast(device: str, precision: Precision) -> Any:
    """A context in which matrix products run in this precision; weights stay as they are."""
    return torch.autocast(device.split(":")[0], torch.bfloat16, enabled=precision == "bfloat16")


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Bounds torch to `n` threads for the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
