"""A dataset as one vector: the mean of its training rows under a small fixed encoder, to tell which datasets are alike.

The default encoders have no weights, so vectors of any two zoos compare: hashed character n-grams of texts (language,
domain, style), colours and edges of images. A checkpoint can take their place. Knows datasets and features; does not
know what vectors are used for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selection.backbones import Backbone
from selection.datasets import Dataset
from selection.errors import InputError
from selection.features import FeatureCache, extract
from selection.images import open_image

FloatArray = NDArray[np.float64]

_ROWS = 256
_DECIMALS = 4  # kept as text beside many others
_TEXT_WIDTH, _LONGEST, _CHARACTERS = 256, 4, 500
_STEP, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # odd, as in splitmix64
_SIDE, _CELLS, _ANGLES, _COLOURS = 48, 3, 8, 8


@dataclass(frozen=True, slots=True)
class Embedding:
    """A dataset's mean vector, rounded to 4 decimals, and the encoder it is by; only those of one encoder compare."""

    by: str
    vector: tuple[float, ...]


def embed(dataset: Dataset, *, encoder: Backbone | None = None, cache: FeatureCache | None = None) -> Embedding:
    """Embeds at most 256 rows of the train part, evenly spaced. Same rows and encoder, same vector.

    Of a text the first 500 characters are read: without an encoder that takes a tenth of a second.

    Raises:
        InputError: a dataset without training rows, or an encoder that reads something else.
        CheckpointError: the encoder fails on the rows.
        DatasetError: an image cannot be read.
    """
    rows, _ = dataset.part("train")
    if not rows:
        raise InputError(f"{dataset.name}: got no training rows; wanted at least one to embed")
    rows = [rows[place] for place in np.linspace(0, len(rows) - 1, min(len(rows), _ROWS)).astype(int)]
    if encoder is not None:
        if encoder.modality != dataset.modality:
            raise InputError(
                f"got the encoder {encoder.name}, which reads {encoder.modality}; wanted one for {dataset.modality}, "
                f"which {dataset.name} holds"
            )
        return _embedding(encoder.digest, extract(encoder, rows, cache=cache).features)
    if dataset.modality == "text":
        return _embedding("hashed n-grams 1", _texts(rows))
    return _embedding("colours and edges 1", np.stack([_image(row) for row in rows]))


def _embedding(by: str, vectors: Any) -> Embedding:
    mean = np.asarray(vectors, dtype=np.float64).mean(axis=0)
    return Embedding(by, tuple((np.round(mean, _DECIMALS) + 0.0).tolist()))  # no -0.0


def _texts(rows: Sequence[Any]) -> FloatArray:
    """(N, 256): signed counts of hashed character n-grams, each row of length 1.

    Numpy's own: to import scikit-learn's vectorizer takes longer than all else that a recall does.
    """
    counts = np.stack([_ngrams(str(row)[:_CHARACTERS]) for row in rows])
    return np.asarray(counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-12))


def _ngrams(text: str) -> FloatArray:
    """(256,): each n-gram of 1 to 4 characters, in lower case and with single spaces, counts +1 or -1 in one place.

    A space alone is none: it would be a third of the vector.
    """
    plain = f" {' '.join(text.lower().split())} "
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    counts = np.zeros(_TEXT_WIDTH)
    grams = np.zeros_like(codes)
    for n in range(_LONGEST):
        grams = grams[: len(codes) - n] * _STEP + codes[n:] + np.uint64(1)
        mixed = (grams ^ (grams >> np.uint64(31))) * _MIX
        places = (mixed >> np.uint64(32)) % np.uint64(_TEXT_WIDTH)
        signs = np.where(mixed >> np.uint64(63), -1.0, 1.0) * ((codes != ord(" ")) if n == 0 else 1.0)
        counts += np.bincount(places.astype(np.int64), signs, minlength=_TEXT_WIDTH)
    return counts


def _image(row: Any) -> FloatArray:
    """Histograms of each colour channel, and of the edges' directions in 3 x 3 cells, weighted by their strength."""
    pixels = np.asarray(open_image(row).resize((_SIDE, _SIDE)), dtype=np.float64) / 255
    colours = [np.histogram(channel, bins=_COLOURS, range=(0, 1))[0] for channel in pixels.reshape(-1, 3).T]
    down, across = np.gradient(pixels.mean(axis=2))
    angle = np.floor((np.arctan2(down, across) / np.pi % 1) * _ANGLES).astype(int) % _ANGLES
    strength = np.hypot(down, across)
    cell = np.arange(_SIDE) * _CELLS // _SIDE
    place = (cell[:, None] * _CELLS + cell) * _ANGLES + angle
    edges = np.bincount(place.ravel(), strength.ravel(), minlength=_CELLS**2 * _ANGLES)
    return np.concatenate([np.concatenate(colours) / _SIDE**2, edges / max(float(np.linalg.norm(edges)), 1e-12)])
