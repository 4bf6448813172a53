"""Rows as a model reads them, made once: token ids or pixels, kept on the model's device where they fit.

Knows tensors and memory. Does not know models, labels or steps.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

IntArray = npt.NDArray[np.int64]
Inputs = dict[str, torch.Tensor]

# Pixels stay in memory up to this share of what is free: several trials and a dataset's parts share a machine.
RESIDENT_SHARE = 0.125
CHUNK = 64


class EncodedTexts:
    """The token ids of N texts, none empty, end to end on the device. Shapes: `lengths` (N,) in tokens."""

    def __init__(self, ids: Sequence[Sequence[int]], pad: int, device: str) -> None:
        self.lengths: IntArray = np.array([len(one) for one in ids], dtype=np.int64)
        flat = np.fromiter((token for one in ids for token in one), dtype=np.int32, count=int(self.lengths.sum()))
        self._ids = torch.from_numpy(flat).to(device)
        self._lengths = torch.from_numpy(self.lengths).to(device)
        self._starts = self._lengths.cumsum(0) - self._lengths
        self._pad = pad
        self._device = device

    def inputs(self, batch: IntArray) -> Inputs:
        """`input_ids` and `attention_mask` (B, T) of the rows, padded at the end to the longest of them."""
        rows = torch.from_numpy(batch).to(self._device)
        places = torch.arange(int(self.lengths[batch].max()), device=self._device)
        mask = places < self._lengths[rows, None]  # (B, T)
        at = (self._starts[rows, None] + places).clamp(max=self._ids.numel() - 1)
        return {"input_ids": self._ids[at].long().masked_fill(~mask, self._pad), "attention_mask": mask.long()}


class EncodedImages:
    """N images: their pixels on the device where they fit, or read anew for each batch. `lengths` (N,) are 1."""

    def __init__(self, rows: Sequence[Any], preprocess: Callable[[Sequence[Any]], Any], device: str) -> None:
        self.lengths: IntArray = np.ones(len(rows), dtype=np.int64)
        self._rows = list(rows)
        self._preprocess = preprocess
        self._device = device
        self._pixels = self._resident()

    def inputs(self, batch: IntArray) -> Inputs:
        """`pixel_values` (B, 3, H, W) of the rows."""
        if self._pixels is not None:
            return {"pixel_values": self._pixels[torch.from_numpy(batch).to(self._device)]}
        return dict(self._preprocess([self._rows[i] for i in batch]).to(self._device))

    def _resident(self) -> torch.Tensor | None:
        first = self._preprocess(self._rows[:1])
        if set(first) != {"pixel_values"}:
            return None
        one = first["pixel_values"]
        if one.nbytes * len(self._rows) > RESIDENT_SHARE * free_bytes(self._device):
            return None
        pixels = torch.empty((len(self._rows), *one.shape[1:]), dtype=one.dtype, device=self._device)
        for start in range(0, len(self._rows), CHUNK):
            pixels[start : start + CHUNK] = self._preprocess(self._rows[start : start + CHUNK])["pixel_values"]
        return pixels


Encoded = EncodedTexts | EncodedImages


def free_bytes(device: str) -> int:
    """Memory that is free on a GPU, or in this machine; 0 where the system does not tell."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # not a Linux
        return 0
